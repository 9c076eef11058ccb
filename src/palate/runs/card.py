"""The model card: what a run is, for a person who finds its folder."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from palate.data import Schema
from palate.model import ModelConfig, ObjectiveConfig, SasRecConfig, SequenceModel
from palate.runs.parts import parts
from palate.tokens import Side, Tokenizer
from palate.tokens.rewards import RewardConfig

_SOFTMAX = {
    "exact": "the exact softmax over all items that exist at the moment",
    "sampled": "a softmax over items sampled in each step, corrected for how they were drawn",
    "auto": "a softmax over the items that exist at the moment",
}


class HeadFigure(NamedTuple):
    """How right a head was on the validation part."""

    head: str
    targets: int
    """Targets that have a value in it."""
    accuracy: float
    """Share of them of whose values the most probable class is one."""
    majority: str
    """The class that most training targets have."""
    majority_accuracy: float
    """The same share for who always says the majority."""


def model_card(
    *,
    model: SequenceModel,
    config: ModelConfig,
    tokenizer: Tokenizer,
    objective: ObjectiveConfig,
    rewards: RewardConfig | None,
    context: int,
    facts: Mapping[str, str],
    figures: Mapping[str, str],
    heads: Sequence[HeadFigure],
) -> str:
    """Markdown: use, data, parts, fields, figures, limits. ``facts`` and ``figures`` are rows of two tables."""
    encoder = config.encoder
    parameters = sum(parameter.numel() for parameter in model.parameters())
    lines = [
        "# A Palate run",
        "",
        "A model of what each member will choose next, learned from an event log. Use it with",
        "`palate recommend RUN DATA`, `palate explain RUN DATA` and `palate evaluate RUN DATA`, or in Python with",
        "`palate.FoundationModel.from_pretrained(RUN)`.",
        "",
        "## Training",
        "",
        *_table(("what", "value"), facts.items()),
        "",
        "## Model",
        "",
        _paragraph(
            f"A {encoder.kind} of width {encoder.width} and {encoder.blocks} blocks with {parameters:,} parameters and "
            f"a context of {context:,} events; {_SOFTMAX[objective.softmax]}. " + _time(tokenizer)
        ),
        "",
        *_table(("part", "in this run"), parts(model, config, tokenizer, objective, rewards).items()),
        "",
        *_fields(config, tokenizer),
        "",
        "## Figures",
        "",
        "On the validation part; `metrics.json` has their protocol. Choices were made on this part, so that the",
        "figures flatter a little: `palate evaluate` measures the test part.",
        "",
        *_table(("metric", "value"), figures.items() or [("none", "everything was trained on")]),
        "",
        *_heads(heads),
        "## Limits",
        "",
        _paragraph(f"{_new_items(model, tokenizer)} {_seen(tokenizer.schema)}"),
        "",
        "Its weights keep traces of the members' histories: treat the folder as personal data.",
        "",
    ]
    return "\n".join(lines)


def _fields(config: ModelConfig, tokenizer: Tokenizer) -> list[str]:
    if isinstance(config.encoder, SasRecConfig):
        return ["Of events it reads which item they were with, and nothing else."]
    known = {Side.REQUEST_TIME: "known when asked", Side.POST_ACTION: "known afterwards"}
    rows = [(field.name, known[field.side], f"{field.size:,}") for field in tokenizer.fields]
    return _table(("field of events", "when", "indices"), rows)


def _heads(heads: Sequence[HeadFigure]) -> list[str]:
    if not heads:
        return []
    rows = [
        (each.head, f"{each.targets:,}", f"{each.accuracy:.4f}", f"{each.majority_accuracy:.4f}", each.majority)
        for each in heads
    ]
    return [
        "How often the most probable class of a head is one of the target's own, and how often the majority, the class",
        "that most training targets have, would be:",
        "",
        *_table(("head", "targets", "accuracy", "of the majority", "majority"), rows),
        "",
    ]


def _time(tokenizer: Tokenizer) -> str:
    if tokenizer.has_time:
        return "Times are known to the millisecond and used."
    return "The log had positions and no times: all time features are off."


def _new_items(model: SequenceModel, tokenizer: Tokenizer) -> str:
    known = f"It knows the {tokenizer.trained:,} items that had a training event by their ids"
    if model.tower.metadata is None:
        return f"{known} alone; newer ones are not recommended before it is trained again."
    return (
        f"{known} and by their metadata. Newer ones are recommended without another training, by their metadata alone, "
        "as soon as the items table of the data has them; a value that training did not have, a new genre say, tells "
        "it nothing."
    )


def _seen(schema: Schema) -> str:
    policies = dict.fromkeys(schema.seen_items.values())
    if len(policies) > 1:
        rules = ", ".join(f"{kind}: {policy}" for kind, policy in schema.seen_items.items())
        return f"Whether items that a member has had are recommended again goes by how they were had ({rules})."
    policy = "may be recommended again" if schema.seen_policy() == "allow" else "are not recommended again"
    return f"Items that a member has had {policy}."


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(header), _row(["---"] * len(header)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)
