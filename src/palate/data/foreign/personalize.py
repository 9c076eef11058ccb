"""Amazon Personalize: interactions, items and users as CSV, each described by an Avro schema in JSON.

Without a schema the reserved names say what they mean, and the types of all other columns are found in the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from palate.data.foreign import datasets
from palate.data.foreign.avro import Field
from palate.data.foreign.cells import Cells
from palate.data.foreign.config import ConvertConfig
from palate.data.foreign.contents import Contents, contract_names, described, last_of_each
from palate.data.foreign.datasets import DatasetFile
from palate.data.foreign.text import Progress, batches, read_all
from palate.data.forms import Form, cleaned, forms, shaped, survey, total
from palate.data.infer import is_duration_name
from palate.data.report import Findings
from palate.data.schema import Column, Kind, Role, Schema
from palate.data.table import TableName
from palate.words import IMPRESSIONS, ITEM_ID, TIMESTAMP, USER_ID

_SECONDS_BELOW: Final = 10**11
_TYPES: Final[dict[Form, str]] = {
    "integer": "long",
    "whole number": "double",
    "number": "double",
    "truth value": "boolean",
    "text": "string",
    "as it is": "string",
}
"""Avro types of what is found in values."""


def read_personalize(
    folder: Path, names: tuple[str, ...], config: ConvertConfig, findings: Findings, progress: Progress | None
) -> Contents:
    """The contents of the CSV and schema files in ``folder``; problems are errors that name file and column."""
    found = datasets.find(folder, names, config, findings)
    events = _Events(found["events"], findings, progress)
    tables = {
        name: None if name not in found else _table(found[name], id_column, findings)
        for name, id_column in (("items", ITEM_ID), ("users", USER_ID))
    }

    def schema() -> Schema:
        stated: dict[str, object] = {"events": events.columns()}
        for name in ("items", "users"):
            if name in found:
                stated[name] = _columns(found[name], tables[name])
        if events.seconds:
            stated["timestamp_unit"] = "s"
        return Schema.model_validate(stated)

    return Contents("Amazon Personalize", events.read(), tables["items"], tables["users"], schema)


class _Events:
    """The interactions, read once, and what was learned on the way."""

    def __init__(self, dataset: DatasetFile, findings: Findings, progress: Progress | None) -> None:
        self._dataset = dataset
        self._findings = findings
        self._progress = progress
        self._names = _names(dataset, findings)
        self._several: set[str] = set()
        self.seconds = True

    def read(self) -> Iterator[pl.DataFrame]:
        """Events batch by batch; values that contradict the schema are an error after the last batch."""
        dataset, late = self._dataset, 0
        cells = Cells(dataset.file.path)
        fields = dataset.fields or _probe(dataset)
        for cells_of_text in batches(dataset.file, self._findings, self._progress):
            text = cells_of_text if dataset.fields else cleaned(cells_of_text)[0]
            frame = pl.DataFrame([self._read(text[field.name], field, cells) for field in fields])
            late += int((frame[TIMESTAMP].abs() >= _SECONDS_BELOW).sum())
            cells.advance(text.height)
            yield frame
        cells.check()
        if late:
            self.seconds = False
            self._findings.note(
                f"{dataset.file.path.name}: {late:,} values of TIMESTAMP are too large for the seconds that "
                "Personalize expects; the unit is inferred on reading (timestamp_unit in schema.yaml states it)"
            )

    def columns(self) -> dict[str, Column]:
        """Columns of the events that the source describes."""
        columns: dict[str, Column] = {}
        for field in self._dataset.fields or ():
            name = self._names[field.name]
            if name not in described("events", [name]):
                continue
            kind = _kind(field, several=name in self._several)
            unusable = name == "recommendation_id" or kind == Kind.TEXT
            role = Role.IGNORE if unusable else Role.POST_ACTION
            columns[name] = Column(role=role, kind=kind, duration=_is_duration(name, kind))
        context = [name for name, column in columns.items() if column.role == Role.POST_ACTION]
        context = [name for name in context if name != "event_value"]
        if context:
            self._findings.note(
                f"{', '.join(context)}: taken as known only after the choice (post_action), which can't leak; "
                "if known before it, set role: request_time in schema.yaml"
            )
        return columns

    def _read(self, text: pl.Series, field: Field, cells: Cells) -> pl.Series:
        name = self._names[field.name]
        if name == IMPRESSIONS:
            return _ids(text).alias(name)
        values = _values(text, field, cells)
        if field.categorical and values.dtype == pl.String:
            values = _without_outer_bars(values)
            if values.str.contains("|", literal=True).any():
                self._several.add(name)
        return values.alias(name)


def _table(dataset: DatasetFile, id_column: str, findings: Findings) -> pl.DataFrame:
    """Items or users."""
    text = read_all(dataset.file, findings)
    names = _names(dataset, findings)
    if dataset.fields is None:
        key = next(name for name in text.columns if names[name] == id_column)
        others, _ = cleaned(text.drop(key))
        others = shaped(others, forms(others.schema, survey(others, written=True)))
        frame = others.insert_column(0, text[key]).rename(names)
    else:
        cells = Cells(dataset.file.path)
        columns = []
        for field in dataset.fields:
            values = _values(text[field.name], field, cells)
            if field.categorical and values.dtype == pl.String:
                values = _without_outer_bars(values)
                values = _listed(values) if values.str.contains("|", literal=True).any() else values
            columns.append(values.alias(names[field.name]))
        cells.check()
        frame = pl.DataFrame(columns)
    return last_of_each(frame, id_column, dataset.file.path, findings)


def _columns(dataset: DatasetFile, frame: pl.DataFrame | None) -> dict[str, Column]:
    """Roles and kinds of a table with a schema; nothing without one."""
    if dataset.fields is None or frame is None:
        return {}
    role = Role.ITEM_METADATA if dataset.table == "items" else Role.USER_ATTRIBUTE
    names = _names(dataset, Findings())
    columns: dict[str, Column] = {}
    for field in dataset.fields:
        name = names[field.name]
        if name in described(dataset.table, [name]):
            kind = _kind(field, several=isinstance(frame.schema[name], pl.List))
            columns[name] = Column(role=role, kind=kind, duration=_is_duration(name, kind))
    return columns


def _names(dataset: DatasetFile, findings: Findings) -> dict[str, str]:
    table: TableName = dataset.table
    given = list(dataset.file.columns) if dataset.fields is None else [field.name for field in dataset.fields]
    return contract_names(table, given, datasets.KNOWN[table], dataset.file.path.name, findings)


def _values(text: pl.Series, field: Field, cells: Cells) -> pl.Series:
    if not field.nullable:
        text = cells.required(text)
    if field.whole:
        return cells.integers(text)
    if field.fractional:
        return cells.numbers(text)
    return cells.truths(text) if field.type == "boolean" else text


def _kind(field: Field, *, several: bool) -> Kind:
    if field.whole or field.fractional:
        return Kind.NUMERIC
    if field.textual:
        return Kind.TEXT
    return Kind.MULTI_CATEGORICAL if several else Kind.CATEGORICAL


def _is_duration(name: str, kind: Kind) -> bool:
    return kind == Kind.NUMERIC and is_duration_name(name)


def _without_outer_bars(text: pl.Series) -> pl.Series:
    """Cells such as ``|drama`` hold one value; what then still has a bar holds several."""
    cleaned = text.str.replace_all(r"^[\s|]*\|[\s|]*|[\s|]*\|[\s|]*$", "")
    return cleaned.set(cleaned == "", None)


def _ids(text: pl.Series) -> pl.Series:
    """``a|b`` as a list of ids, which are taken as they stand; null where nothing is left."""
    lists = text.str.split("|").list.eval(pl.element().filter(pl.element() != ""))
    return lists.set(lists.list.len() == 0, None)


def _listed(text: pl.Series) -> pl.Series:
    """``a|b`` as a list of categories without outer spaces; null where nothing is left."""
    part = pl.element().str.strip_chars()
    lists = text.str.split("|").list.eval(part.filter(part != ""))
    return lists.set(lists.list.len() == 0, None)


def _probe(dataset: DatasetFile) -> tuple[Field, ...]:
    """Types of interactions without a schema: a first pass over the file, in the same bounded memory."""
    known = datasets.REQUIRED["events"]
    facts = total(survey(cleaned(text)[0], written=True) for text in batches(dataset.file, Findings()))
    found = forms(dict.fromkeys(dataset.file.columns, pl.String()), facts)
    return tuple(
        Field(name, known[name][0] if name in known else _TYPES[found[name]], nullable=True)
        for name in dataset.file.columns
    )
