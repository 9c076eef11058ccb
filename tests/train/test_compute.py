"""If these fail, the share of the machine's peak that a training shows is made up."""

import pytest
import torch
from tests.tokens.conftest import service
from torch.utils.flop_counter import FlopCounterMode

from palate.baselines.sasrec import sasrec_recipe
from palate.data import split
from palate.model import ModelConfig, SequenceModel, TowerConfig, TransformerConfig
from palate.model import product as products
from palate.model.bias import PositionBias
from palate.model.grid import Grid, Span, grid_view
from palate.model.summary import Summaries
from palate.model.window import windowed_attention
from palate.tokens import Batch, PackConfig, Tokenizer, WindowConfig, training_catalogue
from palate.train import PretrainConfig, new_model
from palate.train.compute import Operations, measured_peak
from palate.train.material import Material
from palate.train.plan import BatchPlanner

PLAIN = PretrainConfig(
    windows=WindowConfig(context=12),
    packing=PackConfig(batch_tokens=64),
    model=ModelConfig(encoder=TransformerConfig(width=16), tower=TowerConfig(metadata=False, ages=False), intents=None),
)


def made(config: PretrainConfig) -> tuple[SequenceModel, list[Batch], float]:
    """A model, its batches, and the operations that torch counts in a step with the first."""
    dataset = service(members=12)
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    planner = BatchPlanner(Material.of(tokenizer, dataset, split(dataset)), tokenizer, config)
    plan = planner.epoch(0)
    batches = [planner.batch(plan, number) for number in range(len(plan.packs))]
    model = new_model(config, tokenizer).train()
    with FlopCounterMode(display=False) as counted:
        model.loss(batches[0], training_catalogue(tokenizer), config.objective).total.backward()
    return model, batches, float(counted.get_total_flops())


@pytest.mark.parametrize(
    ("config", "least"),
    [
        (PLAIN, 0.99),
        (sasrec_recipe(width=16, context=12, sequences=4), 1.0),
        (PretrainConfig(windows=PLAIN.windows, packing=PLAIN.packing), 0.8),
    ],
    ids=["plain", "sasrec", "default"],
)
def test_operations_are_those_that_torch_counts(
    config: PretrainConfig, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less what is computed for padding, for later rows, and (by the heads) by small products that are left out."""
    monkeypatch.setattr(products, "HAS_ONEDNN", False)  # torch does not count what oneDNN does
    model, (batch, *_), counted = made(config)
    width, blocks = model.tower.id.shape[1], len(model.encode.blocks)
    real = batch.available > 0
    lengths, start = [], 0
    for b, length in batch.rectangles:
        lengths.append(real[start : start + b * length].view(b, length).sum(1))
        start += b * length
    seen = sum(int((each * (each + 1) // 2).sum()) for each in lengths)
    computed = sum(b * length**2 for b, length in batch.rectangles)
    if not isinstance(config.model.encoder, TransformerConfig):
        counted += 12 * width * blocks * computed  # torch does not count its own attention on the processor
    else:
        counted += 4 * width * blocks * computed  # nor products that are added in place: those of keys and values
    counted -= 12 * width * blocks * (computed - seen)
    operations = Operations(model)
    counted -= operations.of_row * int((~real).sum())
    assert least * counted <= operations.of(batch) <= counted


def test_windows_cost_what_torch_counts() -> None:
    """Exactly, but for later rows of a row's own block and for later blocks, which are computed and not owed."""
    span, b, heads, width = Span(block=4, back=2, own=2, rank=3), 2, 2, 8
    rows = 9 * span.block
    moments = torch.arange(rows).repeat(b, 1)
    view = grid_view(span, torch.zeros(b, dtype=torch.int64), moments, moments, None)
    assert isinstance(view, Grid)
    query, key, value = (torch.randn(b, heads, rows, width, requires_grad=True) for _ in range(3))
    summaries = Summaries(span, heads=heads, head_width=width)
    with FlopCounterMode(display=False) as counted:
        found = windowed_attention(query, key, value, view, PositionBias(heads, span.rows), None, summaries)
        found.sum().backward()
    seen = span.seen(torch.zeros(b, dtype=torch.int64), torch.full((b,), rows))
    computed = seen.pairs + b * rows * (span.block - 1) // 2
    assert computed == b * span.computed(rows - span.block + 1)
    joined = b * span.summarised(8) ** 2
    assert joined > seen.joined > 0
    uncounted = 2 * computed  # products that are added in place
    expected = 12 * computed + span.rank * (18 * seen.pooled + 12 * joined)
    assert counted.get_total_flops() == heads * width * (expected - uncounted)


def test_a_window_that_reaches_everything_costs_what_dense_attention_does() -> None:
    def operations(**changes: int) -> float:
        encoder = TransformerConfig(width=16, **changes)
        given = PLAIN.model_copy(update={"model": PLAIN.model.model_copy(update={"encoder": encoder})})
        model, batches, _ = made(given)
        return sum(map(Operations(model).of, batches))

    assert operations(window=12, block=6) == operations() != operations(window=2, block=1)


def test_padding_is_nobody() -> None:
    """An epoch costs what its rows cost, however they are packed, but for the metadata of each step."""
    model, one, _ = made(PLAIN)
    other = made(PLAIN.model_copy(update={"packing": PackConfig(batch_tokens=200)}))[1]
    operations = Operations(model)
    assert sum(map(operations.of, one)) == pytest.approx(sum(map(operations.of, other)))
    assert len(one) > len(other)


def test_the_peak_is_that_of_the_better_product() -> None:
    a = torch.randn(256, 256)
    assert measured_peak(seconds=0.02, size=256) > 1e8
    torch.testing.assert_close(products.product(a, a), a @ a, rtol=1e-4, atol=1e-4)
