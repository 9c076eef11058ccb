"""Where each target stands in the recommendations made for its query."""

from __future__ import annotations

import polars as pl

from palate.errors import DataError, MissingColumnError
from palate.words import ITEM_ID, QUERY, RANK, USER_ID


def ranks(recommendations: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """The rank of each target among its query's recommendations, from 1; null where it was not recommended.

    ``recommendations`` has ``query``, ``rank`` and ``item_id``; ``targets`` is a table of
    `palate.data.split.queries`. Returns ``query``, ``user_id``, ``item_id`` and ``rank`` (Int64, nullable), one
    row a target in the order of ``targets``. A target that could not be recommended is a miss like any other.

    Raises `MissingColumnError`, and `DataError` where a query is listed twice among the targets or a query's
    recommendations name an item or a rank twice, since every metric would be wrong.
    """
    _need(recommendations, "recommendations", (QUERY, RANK, ITEM_ID))
    _need(targets, "targets", (QUERY, USER_ID, ITEM_ID))
    _once(targets, "targets", [QUERY])
    _once(recommendations, "recommendations", [QUERY, RANK])
    _once(recommendations, "recommendations", [QUERY, ITEM_ID])
    asked = targets.select(QUERY, USER_ID, ITEM_ID)
    return asked.join(found_among(recommendations, asked), on=[QUERY, ITEM_ID], how="left", maintain_order="left")


def found_among(recommendations: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """``query``, ``item_id`` and ``rank`` (Int64) of recommendations that are ``wanted``, of which there are fewer."""
    # The few are hashed, not the many.
    named = recommendations.select(QUERY, ITEM_ID, pl.col(RANK).cast(pl.Int64))
    return named.join(wanted.select(QUERY, ITEM_ID), on=[QUERY, ITEM_ID], how="semi")


def _need(table: pl.DataFrame, name: str, columns: tuple[str, ...]) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise MissingColumnError(
            f"{name}: no column {', '.join(missing)}; found {', '.join(table.columns)}",
            hint="use the tables of palate.rank.recommend and palate.data.queries",
        )


def _once(table: pl.DataFrame, name: str, key: list[str]) -> None:
    # Rows whose hashes differ are different; a tenth of the memory of looking at the rows themselves.
    if table.select(key).hash_rows().n_unique() == len(table):
        return
    if table.select(pl.struct(key).n_unique()).item() == len(table):
        return
    repeated = table.group_by(key, maintain_order=True).len().filter(pl.col("len") > 1)
    raise DataError(
        f"{name}: {int((repeated['len'] - 1).sum())} rows repeat {' and '.join(key)}, for example "
        f"{repeated.drop('len').row(0, named=True)}",
        hint="each query once, and each item and rank once a query",
    )
