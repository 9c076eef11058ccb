"""``palate data inspect``: what a data folder holds, how it was understood, and what to do about it."""

from __future__ import annotations

import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from palate.data import ANY_TYPE, INFERRED, SCHEMA_FILE, Dataset, Inspection, Role, Schema, inspect
from palate.data.advice import Finding, PartFigures, Severity, at_least
from palate.data.advice.drawing import require_matplotlib
from palate.data.advice.page import write_page
from palate.errors import ConfigError, SchemaError

_SPLIT_CAPTION = (
    "shares of targets: of members without an earlier event; on items without a training event; "
    "on items that are not yet available"
)
_PAGES = (".html", ".htm")
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold blue"}


class FailOn(StrEnum):
    """From which severity on findings make the command fail."""

    ERROR = "error"
    WARNING = "warning"


def inspect_command(
    data: Annotated[Path, typer.Argument(help="Folder with events, and where they exist items, users, schema.yaml.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop where a repair would be needed.")] = False,
    write_schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the schema there, to be corrected.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with plots there; an older one is replaced.")
    ] = None,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit status 1 where there are findings of this severity or worse.")
    ] = None,
) -> None:
    """Check a data folder, and say what it holds, how it was understood and what to do about it.

    Example: palate data inspect my-data --html report.html --fail-on error
    """
    if write_schema is not None and write_schema.exists():
        raise SchemaError(f"{write_schema}: already exists", hint="name another file, or delete this one")
    if html is not None:
        require_matplotlib()
        if html.is_dir():
            raise ConfigError(f"--html {html}: is a folder", hint=f"name a file, such as {html / 'report.html'}")
        if html.exists() and html.suffix.lower() not in _PAGES:
            raise ConfigError(f"--html {html}: exists and is no page", hint="only .html and .htm files are replaced")
    messages = Console(stderr=True)
    with messages.status("reading"):
        dataset = Dataset.from_folder(data, strict=strict)
        figures = inspect(dataset)
    if write_schema is not None:
        dataset.schema.write(write_schema)
    if html is not None:
        with messages.status("drawing"):
            write_page(html, dataset, figures, title=data.resolve().name)
    if as_json:
        typer.echo(json.dumps(figures.to_dict(), ensure_ascii=False, allow_nan=False))
    else:
        _show(data, dataset, figures, Console())
    if html is not None:
        messages.print(f"page: {html}", markup=False, highlight=False, soft_wrap=True)
    if fail_on is not None:
        serious = at_least(figures.findings, Severity(fail_on))
        if serious:
            messages.print(f"failed: {_counted(serious)} (--fail-on {fail_on})", markup=False, highlight=False)
            raise typer.Exit(1)


def _show(data: Path, dataset: Dataset, figures: Inspection, console: Console) -> None:
    console.print(_facts(data, figures))
    if figures.event_types:
        console.print(_event_types(figures))
    console.print(_distributions(figures))
    if figures.split is not None:
        console.print(_split(dataset.schema, figures, figures.split))
    if figures.split_note is not None:
        console.print(f"split: {figures.split_note}", markup=False)
    if dataset.schema.events or dataset.schema.items or dataset.schema.users:
        console.print(_columns(dataset.schema, figures))
    _show_report(dataset, console)
    console.print(_advice(figures.findings))
    if dataset.report.schema_source == INFERRED:
        written = data / SCHEMA_FILE
        console.print(
            f"to correct the schema: palate data inspect {data} --write-schema {written}", markup=False, soft_wrap=True
        )


def _table(title: str, *texts: str, numbers: tuple[str, ...] = ()) -> Table:
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _facts(data: Path, figures: Inspection) -> Table:
    table = _table(str(data))
    table.show_header = False
    table.add_row("events", f"{figures.events:,}")
    table.add_row("members", f"{figures.members:,}" + _described(figures.described_members))
    unseen = f", {figures.items_without_events:,} of them without an event" if figures.items_without_events else ""
    table.add_row("items", f"{figures.items:,}" + _described(figures.described_items, unseen))
    if figures.first_time is not None:
        table.add_row("time", f"{figures.first_time} to {figures.last_time}")
    else:
        table.add_row("time", "none: positions only, so time features are off")
    table.add_row("density", f"{figures.density:.3%} of all pairs of member and item")
    table.add_row("repeats", f"{figures.repeat_share:.1%} of the events are on an item the member already had")
    table.add_row("concentration", f"{figures.top_item_share:.1%} of the events are on the top 1 % of the items")
    return table


def _described(count: int | None, more: str = "") -> str:
    return "" if count is None else f" (table: {count:,}{more})"


def _event_types(figures: Inspection) -> Table:
    table = _table("Types of events", "event type", "use", numbers=("events", "share", "repeats"))
    for each in figures.event_types:
        use = "target" if each.target else "input only"
        table.add_row(escape(each.name), use, f"{each.events:,}", f"{each.share:.1%}", f"{each.repeat_share:.1%}")
    return table


def _distributions(figures: Inspection) -> Table:
    table = _table("How events are spread", "events of", numbers=tuple(figures.history_length))
    for name, values in (("a member", figures.history_length), ("an item", figures.item_events)):
        table.add_row(name, *(f"{value:,.1f}".removesuffix(".0") for value in values.values()))
    return table


def _split(schema: Schema, figures: Inspection, parts: dict[str, PartFigures]) -> Table:
    title = f"Split: {schema.split.kind}"
    if figures.cuts is not None:
        title += f", cut at {figures.cuts[0]} and {figures.cuts[1]}"
    columns = ("events", "targets", "members", "new members", "cold items", "not there")
    table = _table(title, "part", numbers=columns)
    table.caption, table.caption_justify = _SPLIT_CAPTION, "left"
    for name, part in parts.items():
        shares = (part.new_member_share, part.cold_item_share, part.unreachable_share)
        table.add_row(
            name,
            f"{part.events:,}",
            f"{part.targets:,}",
            f"{part.members:,}",
            *("" if share is None else f"{share:.1%}" for share in shares),
        )
    return table


def _columns(schema: Schema, figures: Inspection) -> Table:
    table = _table("Columns", "table", "column", "role", "kind", numbers=("missing",))
    for name, columns in (("events", schema.events), ("items", schema.items), ("users", schema.users)):
        for column, described in columns.items():
            missing = figures.missing.get(f"{name}.{column}")
            table.add_row(
                name,
                escape(column),
                described.role,
                described.kind + (", duration" if described.duration else ""),
                "" if missing is None else _percent(missing),
                style="dim" if described.role == Role.IGNORE else None,
            )
    return table


def _advice(findings: tuple[Finding, ...]) -> Table | Text:
    if not findings:
        return Text("\nnothing to do: every check passed\n", style="green")
    table = Table(
        title=f"What to do: {_counted(findings)}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_lines=True,
    )
    table.add_column("")
    table.add_column("found", ratio=1)
    table.add_column("what to do", ratio=1)
    for each in findings:
        found = Text(each.what)
        found.append(f"\n{each.code} · {each.where} · {each.judged_by}", style="dim")
        if each.example is not None:
            found.append(f"\ne.g. {each.example}", style="dim")
        table.add_row(Text(each.severity, style=_STYLES[each.severity]), found, Text(each.advice))
    return table


def _counted(findings: tuple[Finding, ...]) -> str:
    counts = Counter(each.severity for each in findings)
    names = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    return ", ".join(
        f"{counts[severity]} {name}{'s' * (counts[severity] > 1)}"
        for severity, name in names.items()
        if counts[severity]
    )


def _show_report(dataset: Dataset, console: Console) -> None:
    console.print(str(dataset.report), markup=False, highlight=False, soft_wrap=True)
    policies = [
        f"{policy} as candidates" + ("" if name == ANY_TYPE else f" of {name}")
        for name, policy in dataset.schema.seen_items.items()
    ]
    console.print(f"seen items: {', '.join(policies)}", markup=False, highlight=False)


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"
