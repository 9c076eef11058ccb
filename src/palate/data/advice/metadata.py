"""Whether columns say something: missing, constant or unique values, items without a description."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from palate.data.advice.evidence import Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, percent, row_text, schema_line
from palate.data.schema import Column, Kind, Role
from palate.data.table import TableName
from palate.words import ENTITY_TYPE, EVENT_TYPE, GROUP_ID, ITEM_ID

_TABLES: tuple[TableName, ...] = ("events", "items", "users")
_ENOUGH = 20
_NEARLY_ALL = 0.95
"""Share of missing values from which a column is not for rows of that kind."""


def check_metadata(evidence: Evidence) -> Iterator[Finding]:
    """Columns that tell little, and items that nothing is known of."""
    for table in _TABLES:
        frame = evidence.frame(table)
        for name, column in evidence.used(table).items():
            assert frame is not None
            if name in frame.columns and frame.height >= _ENOUGH:
                yield from _column(evidence, table, frame[name], column)
    yield from _items(evidence)


def _column(evidence: Evidence, table: TableName, values: pl.Series, column: Column) -> Iterator[Finding]:
    name, config = values.name, evidence.config
    ignored = schema_line(table, name, column, Role.IGNORE)
    missing = values.null_count() / len(values)
    if missing > config.max_missing and name != GROUP_ID and not _belongs_to_some(evidence, table, values):
        yield Finding(
            code="missing_values",
            severity=Severity.INFO if table == "events" else Severity.WARNING,
            what=f"{percent(missing)} of {table}.{name} is missing.",
            table=table,
            column=name,
            advice="If members seldom give it, nothing is wrong: a missing value is a value of its own. Otherwise fill "
            "it from the source."
            if table == "events"
            else f"Fill it from the source; if that is all there is, weigh {ignored}.",
            measure="share of missing values",
            figure=missing,
            bound="at most",
            threshold=config.max_missing,
        )
    if column.kind == Kind.VECTOR:
        return
    filled = values.drop_nulls()
    different = filled.n_unique()
    if len(filled) and different == 1:
        yield Finding(
            code="constant_column",
            severity=Severity.WARNING,
            what=f"{table}.{name} has the same value in every row" + (" that has one." if missing else "."),
            table=table,
            column=name,
            example=row_text(**{name: filled[0]}),
            advice=f"It tells nothing apart: {ignored}.",
            measure="different values",
            figure=1,
            bound="at least",
            threshold=2,
        )
    share = different / max(1, len(filled))
    if column.kind == Kind.CATEGORICAL and share > config.max_unique and len(filled) >= _ENOUGH:
        yield Finding(
            code="unique_values",
            severity=Severity.WARNING,
            what=f"{table}.{name} has {count(different, 'different value')} in {len(filled):,} rows, like an id.",
            table=table,
            column=name,
            example=row_text(**{name: filled[0]}),
            advice=f"A category that never comes back teaches nothing: {ignored}, or kind: text if it is prose.",
            measure="share of different values",
            figure=share,
            bound="at most",
            threshold=config.max_unique,
        )


def _belongs_to_some(evidence: Evidence, table: TableName, values: pl.Series) -> bool:
    """Whether a column is for some rows and not for others: for an event type, an entity type, items of a group."""
    frame = evidence.frame(table)
    assert frame is not None
    for name in (EVENT_TYPE, ENTITY_TYPE, GROUP_ID):
        if name not in frame.columns or name == values.name:
            continue
        owner = frame[name] if name != GROUP_ID else frame[name].is_null()
        missing = pl.DataFrame({"owner": owner, "missing": values.is_null()})
        shares = missing.group_by("owner").agg(pl.col("missing").mean())["missing"]
        if (shares <= evidence.config.max_missing).any() and (shares > _NEARLY_ALL).any():
            return True
    return False


def _items(evidence: Evidence) -> Iterator[Finding]:
    items, config = evidence.dataset.items, evidence.config
    if not evidence.telling_columns:
        yield Finding(
            code="no_item_metadata",
            severity=Severity.WARNING,
            what="There is no items table." if items is None else "The items table has no categories, text or vectors.",
            table="items",
            advice="Give items.parquet (item_id, and categories, text or vectors): without it an item is unknown until "
            "members have found it, and no page can say what a member likes.",
            measure="telling columns of items",
            figure=0,
            bound="at least",
            threshold=1,
        )
    if items is None:
        return
    acted_on = int(items[ITEM_ID].is_in(evidence.item_ids.implode()).sum())
    share = 1 - acted_on / items.height
    if share > config.max_unused_items:
        idle = items[ITEM_ID].filter(~items[ITEM_ID].is_in(evidence.item_ids.implode()))
        yield Finding(
            code="items_never_acted_on",
            severity=Severity.INFO if acted_on else Severity.ERROR,
            what=f"{count(items.height - acted_on, 'row')} of the items table ({percent(share)}) have no event.",
            table="items",
            column=ITEM_ID,
            example=row_text(item_id=idle[0]),
            advice="Check that both tables write ids alike (`007` and `7` differ); items that are gone for good need "
            "an available_until, or they stay candidates."
            if evidence.dataset.has_time
            else "Check that both tables write ids alike (`007` and `7` differ); leave out items that are gone for "
            "good, or they stay candidates.",
            measure="share of items without an event",
            figure=share,
            bound="at most",
            threshold=config.max_unused_items,
        )
