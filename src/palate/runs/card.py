"""The model card: what a run is, for a person who finds its folder."""

from __future__ import annotations

from collections.abc import Mapping

from palate.data import Schema
from palate.tokens import Side, Tokenizer


def model_card(
    *,
    tokenizer: Tokenizer,
    parameters: int,
    encoder: str,
    context: int,
    facts: Mapping[str, str],
    figures: Mapping[str, str],
) -> str:
    """Markdown: use, data, fields, model, figures, limits. ``facts`` and ``figures`` are rows of two tables."""
    schema = tokenizer.schema
    fields = [
        f"| {field.name} | {'known when asked' if field.side == Side.REQUEST_TIME else 'known afterwards'} "
        f"| {field.size:,} |"
        for field in tokenizer.fields
    ]
    lines = [
        "# A Palate run",
        "",
        "A model of what each member will choose next, learned from an event log. Use it with",
        "`palate recommend RUN DATA` and `palate evaluate RUN DATA`, or in Python with",
        "`palate.FoundationModel.from_pretrained(RUN)`.",
        "",
        "## Training",
        "",
        "| what | value |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        "## Model",
        "",
        f"{encoder} with {parameters:,} parameters and a context of {context:,} events; the exact softmax over all",
        "items that exist at the moment. " + _time(tokenizer),
        "",
        "| field | when | indices |",
        "| --- | --- | --- |",
        *fields,
        "",
        "## Figures",
        "",
        "On the validation part; `metrics.json` has their protocol. Choices were made on this part, so that the",
        "figures flatter a little: `palate evaluate` measures the test part.",
        "",
        "| metric | value |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in figures.items()),
        *(["| none | everything was trained on |"] if not figures else []),
        "",
        "## Limits",
        "",
        f"It knows the {len(tokenizer.items.values):,} items that had a training event; newer ones are not recommended",
        "before it is trained again. " + _seen(schema) + " Its weights keep traces of the members' histories:",
        "treat the folder as personal data.",
        "",
    ]
    return "\n".join(lines)


def _time(tokenizer: Tokenizer) -> str:
    if tokenizer.has_time:
        return "Times are known to the millisecond and used."
    return "The log had positions and no times: all time features are off."


def _seen(schema: Schema) -> str:
    policy = "may be recommended again" if schema.seen_policy() == "allow" else "are not recommended again"
    return f"Items that a member has had {policy}."
