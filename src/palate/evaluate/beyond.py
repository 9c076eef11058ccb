"""What accuracy doesn't say of recommendations: how much of the catalogue, how well known, how unlike each other.

- Coverage@k: the share of the catalogue that stands in somebody's first k.
- Novelty@k: mean self-information, in bits, of the first k items: −log2((c + 1) / (N + V)) where c of the N training
  events are of the item and V is the size of the catalogue (Zhou et al. 2010, with add-one smoothing, so that
  items without an event have a finite one).
- Diversity@k: mean over pairs of the first k items of 1 − cosine of their sets of metadata values (intra-list
  distance, Ziegler et al. 2005; for sets the cosine is |a ∩ b| / √(|a|·|b|)). Items without a value are left out, and
  queries with fewer than two items with one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from palate.words import ITEM_ID, QUERY, RANK

Floats = npt.NDArray[np.float64]


def coverage(recommendations: pl.DataFrame, k: int, catalogue_size: int) -> float:
    """Share of the catalogue, 0 to 1, among the first ``k`` of any query."""
    return recommendations.filter(pl.col(RANK) <= k)[ITEM_ID].n_unique() / catalogue_size


def novelty(
    recommendations: pl.DataFrame, queries: pl.Series, k: int, popularity: pl.DataFrame, catalogue_size: int
) -> Floats:
    """Mean self-information in bits of each query's first ``k`` items, [n_queries]; NaN where it has none.

    ``popularity`` has ``item_id`` and ``events``, the number of training events; absent items have none.
    """
    total = float(popularity["events"].sum()) + catalogue_size
    per_query = (
        recommendations.filter(pl.col(RANK) <= k)
        .join(popularity.select(ITEM_ID, "events"), on=ITEM_ID, how="left")
        .with_columns(bits=-((pl.col("events").fill_null(0) + 1) / total).log(2))
        .group_by(QUERY)
        .agg(pl.col("bits").mean())
    )
    joined = queries.to_frame(QUERY).join(per_query, on=QUERY, how="left", maintain_order="left")
    return joined["bits"].fill_null(np.nan).to_numpy()


def diversity(recommendations: pl.DataFrame, queries: pl.Series, k: int, values: pl.DataFrame) -> Floats:
    """Mean pairwise distance of each query's first ``k`` items, [n_queries]; NaN where there is no pair.

    ``values`` has ``item_id`` and ``value``, one row a metadata value of an item, each pair once.
    """
    items = values[ITEM_ID].unique(maintain_order=True)
    item_rows = items.to_frame().with_row_index("row")
    coded = values.join(item_rows, on=ITEM_ID, maintain_order="left")
    column = coded["value"].rank("dense").to_numpy().astype(np.int64) - 1
    row = coded["row"].to_numpy()
    per_item = np.bincount(row, minlength=len(items))
    unit = sparse.csr_array(
        (1 / np.sqrt(per_item[row]), (row, column)), shape=(len(items), int(column.max(initial=-1)) + 1)
    )
    places = queries.to_frame(QUERY).with_row_index("place")
    shown = (
        recommendations.filter(pl.col(RANK) <= k)
        .join(item_rows, on=ITEM_ID)
        .join(places, on=QUERY)
        .select("place", "row")
    )
    lists = sparse.csr_array(
        (np.ones(len(shown)), (shown["place"].to_numpy(), shown["row"].to_numpy())),
        shape=(len(queries), len(items)),
    )
    size = np.asarray(lists.sum(axis=1)).ravel()
    summed = lists @ unit  # |Σ v|² = n + 2·Σ over pairs of the cosine, for unit vectors v
    squared = np.asarray(summed.multiply(summed).sum(axis=1)).ravel()
    pairs = size * (size - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, 1 - (squared - size) / pairs, np.nan)


def metadata_values(items: pl.DataFrame, column: str, *, separator: str | None) -> pl.DataFrame:
    """The values of a categorical column as rows of ``item_id`` and ``value``, each pair once, nulls left out.

    A cell may hold a list; text is divided at ``separator``, where one is given.
    """
    table = items.select(ITEM_ID, pl.col(column).alias("value"))
    if separator is not None and table.schema["value"] == pl.String:
        table = table.with_columns(pl.col("value").str.split(separator))
    if isinstance(table.schema["value"], pl.List):
        table = table.explode("value")
    text = table.with_columns(pl.col("value").cast(pl.String).str.strip_chars())
    return text.filter(pl.col("value").is_not_null() & (pl.col("value") != "")).unique(maintain_order=True)
