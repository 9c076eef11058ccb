"""Writing a data folder from foreign contents: streamed, and all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq
import yaml

from palate.data.foreign.contents import Contents
from palate.data.foreign.tally import Tally
from palate.data.report import Findings
from palate.data.schema import SCHEMA_FILE, Role, Schema
from palate.files import new_folder

_ROW_GROUP: Final = 1 << 20

_SCHEMA_HEADER: Final = (
    "# What Palate takes each column for, as far as the source said it. Lines that are missing are inferred on\n"
    "# reading: palate data inspect shows the whole schema, and --write-schema writes it.\n"
    "# Roles: request_time (known before the item is chosen: device, page), post_action (known only afterwards:\n"
    "# rating, duration), item_metadata, user_attribute, ignore.\n"
    "# Kinds: categorical, multi_categorical (several values in a cell), numeric, timestamp, text, vector.\n"
)


@dataclass(frozen=True)
class Conversion:
    """What was converted."""

    folder: Path
    format: str
    counts: dict[str, int]
    """``events``; ``members`` and ``items`` in them; ``described_items`` and ``described_members`` in tables."""
    event_types: dict[str, int]
    """Events of each type, where there are types."""
    repairs: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {**asdict(self), "folder": str(self.folder), "repairs": list(self.repairs), "notes": list(self.notes)}


def write_contents(contents: Contents, target: Path, *, source: str, findings: Findings, strict: bool) -> Conversion:
    """Write the data folder; with ``strict`` a `StrictError` that lists every repair, and no folder."""
    tally = Tally()
    with new_folder(target) as aside:
        write_batches(tally.counted(contents.events), aside / "events.parquet")
        for name, table in (("items", contents.items), ("users", contents.users)):
            if table is not None:
                write_batches(iter([table]), aside / f"{name}.parquet")
        if strict:
            findings.refuse(source)
        schema = contents.schema()
        (aside / SCHEMA_FILE).write_text(_schema_text(schema), encoding="utf-8")
        conversion = _conversion(contents, target, tally, findings)
        (aside / "README.md").write_text(_readme(conversion, schema, source), encoding="utf-8")
    return conversion


def write_batches(frames: Iterator[pl.DataFrame], path: Path) -> None:
    """Write frames with the same columns one after another into a Parquet file."""
    writer: pq.ParquetWriter | None = None
    try:
        for frame in frames:
            table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=_ROW_GROUP)
    finally:
        if writer is not None:
            writer.close()


def _conversion(contents: Contents, target: Path, tally: Tally, findings: Findings) -> Conversion:
    counts = tally.counts
    for name, table in (("described_items", contents.items), ("described_members", contents.users)):
        if table is not None:
            counts[name] = table.height
    return Conversion(
        folder=target,
        format=contents.format,
        counts=counts,
        event_types=tally.event_types,
        repairs=tuple(map(str, findings.repairs)),
        notes=tuple(findings.notes),
    )


def _schema_text(schema: Schema) -> str:
    """The stated part of a schema, one line a column."""
    lines = [_SCHEMA_HEADER]
    for table in ("events", "items", "users"):
        if columns := schema.columns(table):
            lines.append(f"\n{table}:\n")
            for name, column in columns.items():
                lines.append(f"  {_yaml({name: column.model_dump(mode='json', exclude_defaults=True)}, flow=None)}")
    stated = schema.model_dump(mode="json", exclude_unset=True, exclude={"events", "items", "users"})
    lines += [
        f"\n{_yaml({name: value}, flow=None if isinstance(value, list) else False)}" for name, value in stated.items()
    ]
    return "".join(lines)


def _yaml(content: dict[str, object], *, flow: bool | None) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=10_000)
    return text


def _readme(conversion: Conversion, schema: Schema, source: str) -> str:
    counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in conversion.counts.items())
    lines = [
        f"# {source}, converted from {conversion.format}",
        "",
        f"Made by `palate data convert` from `{source}`: {counted}.",
    ]
    if conversion.event_types:
        types = ", ".join(f"{name} {count:,}" for name, count in conversion.event_types.items())
        lines.append(f"Types of events: {types}.")
    if schema.target_event_types:
        lines.append(f"To be predicted: {', '.join(schema.target_event_types)}; other types are input only.")
    rows = [
        f"| {table} | `{name}` | {column.role} | {'' if column.role == Role.IGNORE else column.kind} |"
        for table in ("events", "items", "users")
        for name, column in schema.columns(table).items()
    ]
    if rows:
        lines += ["", "| table | column | role | kind |", "| --- | --- | --- | --- |", *rows]
        lines += ["", "Columns that are not listed have a meaning of their own, or are inferred on reading."]
    else:
        lines += ["", "The source says nothing about its columns: those without a meaning of their own are inferred."]
    for title, found in (("Decisions", conversion.notes), ("Repairs", conversion.repairs)):
        if found:
            lines += ["", f"## {title}", "", *(f"- {text}" for text in found)]
    return "\n".join(lines) + "\n"
