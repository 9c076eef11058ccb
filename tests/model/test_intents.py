"""If these fail, an item is chosen by the very label that is to be predicted, or heads learn what was not wanted."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.small import DAY, ITEMS, WIDTH, batch_of, catalogue

from palate.model import IntentConfig
from palate.model.intents import IntentHeads, sequences
from palate.tokens.batch import RELEASE_EDGES, Batch, Catalogue, Familiar, HeadSource, HeadSpec
from palate.words import FIRST_KNOWN

GENRES = HeadSpec(name="genres", source=HeadSource.ITEM, classes=4, start=0, width=2)
ACTION = HeadSpec(name="event_type", source=HeadSource.EVENT, classes=3, start=1)
FAMILIAR = HeadSpec(name="familiar", source=HeadSource.FAMILIAR, classes=3)
RELEASE = HeadSpec(name="release", source=HeadSource.RELEASE, classes=6)
ALL = (GENRES, ACTION, FAMILIAR, RELEASE)
C = sum(spec.classes for spec in ALL)


def intent_heads(specs: Sequence[HeadSpec] = ALL, **changes: object) -> IntentHeads:
    torch.manual_seed(0)
    made = IntentHeads(specs, IntentConfig.model_validate({"width": 5, **changes}), width=WIDTH)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def labels_of(
    specs: Sequence[HeadSpec], batch: Batch, known: Catalogue | None = None, *, horizon: str = "target"
) -> torch.Tensor:
    rows = batch.target.nonzero()[:, 0]
    made = intent_heads(specs, horizon=horizon)
    return made.labels(batch, known or catalogue(), rows, sequences(batch)[rows])


def test_the_intent_is_that_of_the_plain_formula() -> None:
    """p = softmax, e = p E, α = softmax(⟨W h, e⟩ / √W + b), h + W Σ α V e."""
    made, state = intent_heads(), torch.randn(6, WIDTH)
    found = made(state)
    assert found.attention is not None
    logits = made.predict(state)
    start, shares, embedded = 0, [], []
    for spec in ALL:
        own = slice(start, start + spec.classes)
        shares.append(logits[:, own].softmax(-1))
        embedded.append(shares[-1] @ made.values[own])
        start += spec.classes
    torch.testing.assert_close(found.log_shares.exp(), torch.cat(shares, 1))
    for row in range(6):
        fit = torch.stack([made.query(state)[row] @ each[row] for each in embedded]) / 5**0.5 + made.head_bias
        attention = fit.softmax(0)
        torch.testing.assert_close(found.attention[row], attention)
        intent = sum(attention[k] * made.value(each[row]) for k, each in enumerate(embedded))
        assert isinstance(intent, torch.Tensor)
        torch.testing.assert_close(found.state[row], state[row] + made.join(intent))


def test_predictions_reach_the_item_softly() -> None:
    """Through the probabilities: what raises one moves the state, and the item's loss teaches the heads."""
    made, state = intent_heads(), torch.randn(4, WIDTH)
    gradients = torch.autograd.grad(made(state).state.sum(), [made.predict.weight, made.values, made.head_bias])
    assert all((gradient != 0).any() for gradient in gradients)


def test_a_fresh_model_starts_without_intents() -> None:
    made = IntentHeads(ALL, IntentConfig(), width=WIDTH)
    state = torch.randn(4, WIDTH)
    torch.testing.assert_close(made(state).state, state, rtol=0, atol=0)


def test_without_feed_heads_only_predict() -> None:
    made, state = intent_heads(feed="none"), torch.randn(4, WIDTH)
    found = made(state)
    assert found.attention is None
    torch.testing.assert_close(found.state, state, rtol=0, atol=0)
    torch.testing.assert_close(found.log_shares[:, :4], made.predict(state)[:, :4].log_softmax(-1))


@pytest.mark.parametrize("without", range(len(ALL)))
def test_a_head_that_is_left_out_has_no_say(without: int) -> None:
    """The others share its attention as if it had never been there."""
    made, state = intent_heads(), torch.randn(5, WIDTH)
    whole, less = made(state), made(state, without)
    assert whole.attention is not None
    assert less.attention is not None
    assert (less.attention[:, without] == 0).all()
    others = [k for k in range(len(ALL)) if k != without]
    expected = whole.attention[:, others] / whole.attention[:, others].sum(1, keepdim=True)
    torch.testing.assert_close(less.attention[:, others], expected)
    torch.testing.assert_close(less.log_shares, whole.log_shares)
    start = sum(spec.classes for spec in ALL[:without])
    with torch.no_grad():
        made.values[start : start + ALL[without].classes] = 99.0
    torch.testing.assert_close(made(state, without).state, less.state)


def test_an_item_has_all_its_values_in_equal_shares() -> None:
    """Unknown values and padding are no label; an item without a known value is none at all."""
    known = catalogue()
    known.metadata[:5, :2] = torch.tensor([[2, 5], [4, 0], [1, 3], [1, 1], [0, 0]])
    found = labels_of((GENRES,), batch_of([2, 3, 4, 5, 6]), known)
    expected = [[0.5, 0, 0, 0.5], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert found.tolist() == expected


def test_the_label_of_an_action_is_that_of_the_target_s_own_event() -> None:
    batch = batch_of([2, 3, 0, 4])
    batch.outcome[:, 1] = torch.tensor([2, 4, 3, 1])
    batch.outcome[:, 0] = 3  # another field
    assert labels_of((ACTION,), batch).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_familiar_is_numbered_as_it_is_named() -> None:
    batch = batch_of([2, 3, 4])
    batch.familiar[:] = torch.tensor([Familiar.DISCOVER, Familiar.CONTINUE, Familiar.AGAIN])
    assert labels_of((FAMILIAR,), batch).tolist() == torch.eye(3).tolist()


def test_release_classes_begin_at_their_edges() -> None:
    """A title on its launch day is in the first; one of unknown launch in none, and nothing else costs by it."""
    ages = [0, DAY - 1, DAY, 6 * DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY - 1, 365 * DAY, 4000 * DAY, -DAY]
    classes = [0, 0, 1, 1, 2, 3, 4, 4, 5, 5, 0]
    assert RELEASE_EDGES[0] == DAY
    known = catalogue()
    known.launch[0] = 1000 * DAY
    batch = batch_of([2] * len(ages))
    batch = batch._replace(query_time=torch.tensor(ages) + 1000 * DAY)
    found = labels_of((RELEASE,), batch, known)
    assert found.argmax(1).tolist() == classes
    assert (found.sum(1) == 1).all()
    unknown = labels_of((RELEASE,), batch_of([ITEMS + 1]), known)
    assert unknown.tolist() == [[0.0] * 6]


def test_a_missing_label_costs_nothing() -> None:
    """Neither in its head nor in others; the mean over heads is over all of them."""
    made, state = intent_heads(), torch.randn(3, WIDTH)
    labels = torch.zeros(3, C)
    labels[0, 1] = labels[0, 5] = 1.0  # row 0: two of four heads; row 1: none; row 2: one, of no weight
    labels[2, 9] = 1.0
    weight = torch.tensor([2.0, 1.0, 0.0])
    found = made(state)
    loss = made.loss(found, labels, weight)
    expected = -2.0 * (found.log_shares[0, 1] + found.log_shares[0, 5]) / len(ALL)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, [made.predict.bias])
    assert (gradient[:7] != 0).all()
    assert (gradient[7:] == 0).all(), "a head without a label learns"


def plain_rest(own: list[list[float]], sizes: list[int], sequence: list[int], session: list[int]) -> list[list[float]]:
    """The mean over a row and those behind it in its sequence and session that have a label, head by head."""
    found = []
    for row in range(len(own)):
        stop = row
        while stop < len(own) and sequence[stop] == sequence[row] and session[stop] == session[row]:
            stop += 1
        cells, start = [], 0
        for size in sizes:
            labels = [each[start : start + size] for each in own[row:stop]]
            labelled = [each for each in labels if sum(each) > 0]
            cells += np.mean(labelled, axis=0).tolist() if labelled else [0.0] * size
            start += size
        found.append(cells)
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 10**6), st.booleans())
def test_the_rest_of_a_session_is_that_of_a_plain_loop(lengths: list[int], seed: int, padded: bool) -> None:
    rng = np.random.default_rng(seed)
    T = sum(lengths)
    targets = rng.integers(2, ITEMS + 2, T)
    targets[rng.random(T) < 0.3] = 0
    if padded:
        targets[np.cumsum(lengths) - 1] = 0
    batch = batch_of(targets.tolist(), lengths=lengths)
    session = np.concatenate([np.cumsum(rng.random(length) < 0.3) for length in lengths])
    batch = batch._replace(
        session=torch.from_numpy(session.astype(np.int32)),
        familiar=torch.from_numpy(rng.integers(0, 4, T).astype(np.int32)),
        outcome=torch.from_numpy(rng.integers(0, 5, (T, 4)).astype(np.int32)),
    )
    known = catalogue()
    known.metadata[:, :2] = torch.from_numpy(rng.integers(0, 6, (ITEMS, 2)))
    rows = batch.target.nonzero()[:, 0]
    own = labels_of(ALL, batch, known)
    sizes = [spec.classes for spec in ALL]
    of_row = sequences(batch)[rows].tolist()
    expected = plain_rest(own.tolist(), sizes, of_row, session[rows.numpy()].tolist())
    found = labels_of(ALL, batch, known, horizon="session")
    torch.testing.assert_close(found, torch.tensor(expected).reshape(found.shape), rtol=1e-5, atol=1e-6)


def test_a_session_ends_with_its_window() -> None:
    """Two members' first sessions have one number, and nothing of each other."""
    batch = batch_of([2, 3, 4, 5], lengths=[2, 2])
    batch.familiar[:] = torch.tensor([1, 2, 3, 3])
    found = labels_of((FAMILIAR,), batch, horizon="session")
    assert found.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_sequences_are_numbered_through_all_rectangles() -> None:
    batch = batch_of([2] * 7, lengths=[3, 1, 3])
    assert sequences(batch).tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert FIRST_KNOWN == 2
