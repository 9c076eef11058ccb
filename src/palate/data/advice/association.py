"""How much one column says of another: on members that it was not learned from, or by ranks."""

from __future__ import annotations

import numpy as np
import polars as pl

from palate.data.advice.evidence import Bools, Floats, Ints

_ENOUGH = 100


def value_codes(values: pl.Series) -> Ints:
    """A number for each value, missing ones included; lists by their text."""
    if isinstance(values.dtype, pl.List | pl.Array):
        values = values.cast(pl.List(pl.String)).list.join("|")
    return values.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def lift(column: Ints, target: Ints, fit: Bools) -> float:
    """Share of the error in guessing ``target`` that knowing ``column`` removes, from 0 to 1.

    The guess is the most frequent target of the column's value among the rows of ``fit``, and it is judged on the
    others; without the column it is the most frequent target of all. So a column with a value of its own in every row
    scores nothing, however well it would determine the target in hindsight (Goodman and Kruskal's lambda, 1954, held
    out).
    """
    learned, asked = np.flatnonzero(fit), np.flatnonzero(~fit)
    if len(learned) < _ENOUGH or len(asked) < _ENOUGH:
        return 0.0
    common = int(np.bincount(target[learned]).argmax())
    width = int(target.max()) + 1
    cells, counts = np.unique(column[learned] * width + target[learned], return_counts=True)
    order = np.lexsort((-counts, cells // width))
    values, best = cells[order] // width, cells[order] % width
    first = np.append(True, values[1:] != values[:-1])
    values, best = values[first], best[first]
    place = np.minimum(np.searchsorted(values, column[asked]), len(values) - 1)
    guess = np.where(values[place] == column[asked], best[place], common)
    error = float((target[asked] != common).mean())
    if error == 0:
        return 0.0
    return max(0.0, 1 - float((target[asked] != guess).mean()) / error)


def agreement(first: pl.Series, second: pl.Series) -> float:
    """Cohen's kappa of two columns as text: 1 where they always agree, 0 where they agree as often as by chance."""
    both = pl.DataFrame({"a": first.cast(pl.String), "b": second.cast(pl.String)}).drop_nulls()
    if both.height < _ENOUGH:
        return 0.0
    equal = float((both["a"] == both["b"]).to_numpy().mean())
    if equal < 0.5:
        return 0.0
    shares = both.group_by("a").len().join(both.group_by("b").len(), left_on="a", right_on="b", suffix="_b")
    chance = float((shares["len"].cast(pl.Float64) * shares["len_b"]).sum()) / both.height**2
    return 0.0 if chance >= 1 else (equal - chance) / (1 - chance)


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation over the pairs of finite numbers; 0 where there are few, or one does not vary."""
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < _ENOUGH:
        return 0.0
    a, b = (pl.Series(each[known]).rank("average").to_numpy() for each in (first, second))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return 0.0 if scale == 0 else float((a * b).sum() / scale)


def as_floats(values: pl.Series) -> Floats:
    """A numeric or truth-value column as floats, NaN where it is missing or infinite, within ±1e150.

    Within these bounds no difference and no product of two values overflows.
    """
    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.clip(np.where(np.isfinite(numbers), numbers, np.nan), -1e150, 1e150)
