"""``palate tokenize``: what merging adjacent events would gain and lose."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from palate.cli.source import open_log
from palate.errors import ConfigError

if TYPE_CHECKING:
    from palate.tokens import TradeOff, TradeOffs


def tokenize_command(
    data: Annotated[Path, typer.Argument(help="Folder with events (items, users, schema.yaml), or a prepared log.")],
    sizes: Annotated[
        str | None, typer.Option(help="Sizes of the action vocabulary, as 4,8,16; otherwise a range.", metavar="SIZES")
    ] = None,
    split_kind: Annotated[
        str | None,
        typer.Option("--split", help="temporal, leave_one_out or none; otherwise the schema's.", metavar="KIND"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop where a repair of the data would be needed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Learn merges of adjacent events on the training part, and print what each vocabulary size gains and loses.

    Example: palate tokenize my-data --sizes 4,8,16,32
    """
    from palate.tokens import trade_offs

    messages = Console(stderr=True)
    wanted = None if sizes is None else _sizes(sizes)
    log = open_log(data, split_kind, strict=strict, messages=messages)
    with messages.status("learning merges"):
        found = trade_offs(log.parts, sizes=wanted)
    if as_json:
        content = asdict(found) | {"enough": found.enough().vocabulary_size}
        typer.echo(json.dumps(content, ensure_ascii=False))
        return
    _show(data, found, Console(), one_target_a_run=log.schema.one_target_a_run)


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(size) for size in text.split(",")})
    except ValueError:
        raise ConfigError(f"--sizes {text}: not a list of whole numbers", hint="as in --sizes 4,8,16") from None
    if sizes[0] < 1:
        raise ConfigError(f"--sizes {text}: a vocabulary has at least one action")
    return sizes


def _show(data: Path, found: TradeOffs, console: Console, *, one_target_a_run: bool) -> None:
    title = f"{data}: {found.events:,} training events in {found.runs:,} runs"
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("actions", justify="right")
    table.add_column("tokens per event", justify="right")
    table.add_column("history", justify="right", no_wrap=True)
    table.add_column("kept in part")
    table.add_column("new actions", ratio=1)
    for row in found.rows:
        table.add_row(str(row.vocabulary_size), *_figures(row), _names(row.names))
    table.add_section()
    table.add_row("last", *_figures(found.last_of_run), "")
    table.caption = (
        "history: tokens of a member (median / 90th percentile / most); kept in part: share of a column's values "
        "that can be read from the tokens, a summed duration as its total; last: one token a run, with the outcome of "
        "its last event"
    )
    table.caption_justify = "left"
    console.print(table)
    enough = found.enough()
    if len(found.rows) == 1:
        console.print("No two adjacent events belong to one run often enough to be merged: leave runs: keep.")
        return
    saved = 1 - enough.tokens_per_event / found.rows[0].tokens_per_event
    console.print(
        f"{enough.vocabulary_size} actions save {saved:.0%} of the tokens. To train so, put into the settings of "
        f"pretrain\n  tokenizer: {{runs: merge, max_actions: {enough.vocabulary_size}}}",
        markup=False,
        highlight=False,
    )
    if not one_target_a_run:
        console.print(
            "and into schema.yaml, so that targets are the next different item:\n  one_target_a_run: true",
            markup=False,
            highlight=False,
        )


def _figures(row: TradeOff) -> list[str]:
    lengths = " / ".join(f"{row.history_tokens[name]:,.0f}" for name in ("median", "p90", "max"))
    lost = [f"{escape(name)} {share:.1%}" for name, share in row.kept.items() if share < 0.9995]
    return [f"{row.tokens_per_event:.3f}", lengths, ", ".join(lost)]


def _names(names: tuple[str, ...]) -> str:
    shown = " ".join(escape(name) for name in names[:2])
    return shown if len(names) <= 2 else f"{shown} +{len(names) - 2}"
