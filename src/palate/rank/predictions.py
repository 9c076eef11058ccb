"""What the heads of a model say of the next target, as tables: its genre, its type, whether it is something known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.data import Part, Split
from palate.errors import ConfigError
from palate.model import SequenceModel
from palate.model.intents import IntentHeads, label_values
from palate.rank.blocks import BLOCK
from palate.rank.model_scorer import ModelScorer, evaluating
from palate.rank.recommend import Progress
from palate.tokens import HeadSpec, Tokenizer, class_names
from palate.words import FIRST_KNOWN, QUERY, RANK

_BATCH = 2048
"""Queries that are predicted at a time."""
_BLOCK = 1 << 20
"""Targets that are counted at a time."""


class HeadTables(NamedTuple):
    """What heads said of targets, and what those were."""

    outcomes: pl.DataFrame
    """A row for each value of each target that has one: ``query``, ``head``, ``value`` (class, from 0),
    ``log_probability`` of that value, and ``predicted``, the head's most probable class."""
    training: pl.DataFrame
    """A row for each class: ``head``, ``value``, ``name``, ``targets``: how many training targets had it, ``share``:
    the same where a target with several values counts a part for each."""


def head_names(model: SequenceModel, tokenizer: Tokenizer) -> dict[str, list[str]]:
    """The heads of a model and the names of their classes; empty where it has none."""
    specs = () if model.intents is None else model.intents.specs
    return {spec.name: class_names(tokenizer, spec) for spec in specs}


def predict(
    scorer: ModelScorer,
    queries: pl.DataFrame,
    heads: Sequence[str] | None = None,
    *,
    k: int = 5,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """The ``k`` most probable classes of each head at each query; all heads without ``heads``.

    Columns: ``query``, ``head``, ``rank`` (from 1), ``value`` (the name of the class), ``probability`` (those of a
    head's classes add up to 1), ``attention`` (share of the head in the intent, null where intents don't reach the
    items); sorted by query, then in the order of the heads. Raises `ConfigError` for a head that the run doesn't have.
    """
    if k < 1:
        raise ConfigError(f"k is {k}", hint="give a number of at least 1")
    if isinstance(heads, str):
        raise ConfigError(f"heads is the text {heads!r}", hint=f"give a list: [{heads!r}]")
    names = head_names(scorer.model, scorer.tokenizer)
    intents = _heads(scorer)
    wanted = list(names) if heads is None else list(dict.fromkeys(heads))
    for head in wanted:
        if head not in names:
            raise ConfigError(f"this run does not predict {head!r}", hint=f"its heads: {', '.join(names)}")
    tables = []
    for start in range(0, len(queries), _BATCH):
        block = queries[start : start + _BATCH]
        log_shares, attention = _predicted(scorer, block)
        for number, (spec, shares) in enumerate(zip(intents.specs, _split(intents, log_shares), strict=True)):
            if spec.name in wanted:
                weight = None if attention is None else attention[:, number]
                tables.append(_most_probable(block[QUERY], spec.name, names[spec.name], shares, weight, k))
        if progress is not None:
            progress(start + len(block), len(queries))
    order = pl.col("head").replace_strict({head: place for place, head in enumerate(wanted)}, return_dtype=pl.Int64)
    table = pl.concat(tables) if tables else _most_probable(queries[QUERY], "", [], torch.empty(0, 0), None, k)
    # In the order of the queries, which need not be that of their numbers.
    asked = queries.select(QUERY).with_row_index("place")
    table = table.join(asked, on=QUERY, how="left").sort("place", order, RANK)
    return table.drop("place")


def head_tables(scorer: ModelScorer, division: Split, queries: pl.DataFrame) -> HeadTables:
    """What the heads say of the targets of ``queries``, a table of `palate.data.queries`, and what they are.

    ``division`` divides the scorer's dataset. Targets whose item the run doesn't know have no labels. Labels are those
    of the target alone, whatever the heads were trained for.
    """
    names = head_names(scorer.model, scorer.tokenizer)
    intents = _heads(scorer)
    outcomes = []
    for start in range(0, len(queries), _BATCH):
        block = queries[start : start + _BATCH]
        _, token = scorer.tokens(block)
        labelled = np.flatnonzero((token >= 0) & (scorer.store.target[token] >= FIRST_KNOWN))
        if not len(labelled):
            continue
        asked = block[labelled]
        log_shares, _ = _predicted(scorer, asked)
        for spec, shares in zip(intents.specs, _split(intents, log_shares), strict=True):
            row, value = _labels(spec, scorer, token[labelled])
            outcomes.append(
                pl.DataFrame(
                    {
                        QUERY: asked[QUERY].gather(row),
                        "head": pl.repeat(spec.name, len(row), eager=True, dtype=pl.String),
                        "value": value,
                        "log_probability": shares[row, value].double().numpy(),
                        "predicted": shares.argmax(1).numpy()[row],
                    }
                )
            )
    store = scorer.store
    is_training = (division.part[store.event] == Part.TRAIN) & (store.target >= FIRST_KNOWN)
    training = np.flatnonzero(is_training)
    counts = [_counts(spec, names[spec.name], scorer, training) for spec in intents.specs]
    schema = {
        QUERY: pl.Int64,
        "head": pl.String,
        "value": pl.Int64,
        "log_probability": pl.Float64,
        "predicted": pl.Int64,
    }
    return HeadTables(pl.concat(outcomes) if outcomes else pl.DataFrame(schema=schema), pl.concat(counts))


def _heads(scorer: ModelScorer) -> IntentHeads:
    intents = scorer.model.intents
    if intents is None:
        raise ConfigError(
            "this run has no heads to predict with",
            hint="train with model: {intents: {}}, on data with item metadata or several kinds of actions",
        )
    return intents


def _predicted(scorer: ModelScorer, queries: pl.DataFrame) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log probabilities [Q, C] of all classes and the attention [Q, K] of the heads."""
    intents = _heads(scorer)
    log_shares = torch.empty(len(queries), sum(intents.sizes))
    attention = torch.empty(len(queries), len(intents.specs)) if intents.feeds else None
    with evaluating(scorer.model):
        # Of a large catalogue the items of the histories are embedded alone, as in `palate.rank.blocks`.
        tables = scorer.model.tower(scorer.described) if len(scorer.catalogue) <= BLOCK else None
        for places, state, _ in scorer.answered(queries, tables):
            found = intents(state)
            log_shares[places] = found.log_shares.float()
            if attention is not None and found.attention is not None:
                attention[places] = found.attention.float()
    return log_shares, attention


def _split(intents: IntentHeads, log_shares: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.split(log_shares, intents.sizes, dim=-1)


def _most_probable(
    query: pl.Series, head: str, names: list[str], log_shares: torch.Tensor, weight: torch.Tensor | None, k: int
) -> pl.DataFrame:
    best = torch.topk(log_shares, min(k, log_shares.shape[1]), dim=1)
    n, width = best.indices.shape
    place = best.indices.reshape(-1).numpy()
    return pl.DataFrame(
        {
            QUERY: query.gather(np.repeat(np.arange(n), width)),
            "head": pl.repeat(head, n * width, eager=True, dtype=pl.String),
            RANK: np.tile(np.arange(1, width + 1), n),
            "value": pl.Series(names, dtype=pl.String).gather(place),
            "probability": best.values.exp().reshape(-1).numpy(),
            "attention": pl.repeat(None, n * width, eager=True, dtype=pl.Float32)
            if weight is None
            else np.repeat(weight.numpy(), width),
        }
    )


def _labels(
    spec: HeadSpec, scorer: ModelScorer, token: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The known values of the targets at these rows of the store: which of them, and the class, from 0."""
    store = scorer.store
    values = label_values(
        [spec],
        scorer.described,
        item=torch.from_numpy(store.target[token].astype(np.int64) - FIRST_KNOWN),
        moment=torch.from_numpy(store.time[token]),
        outcome=torch.from_numpy(store.ids[token][:, : scorer.tokenizer.post_columns]),
        familiar=torch.from_numpy(store.familiar[token].astype(np.int32)),
    ).numpy()
    row, column = np.nonzero(values >= FIRST_KNOWN)
    return row, values[row, column] - FIRST_KNOWN


def _counts(spec: HeadSpec, names: list[str], scorer: ModelScorer, token: NDArray[np.int64]) -> pl.DataFrame:
    """The targets at these rows of the store that have each class; a row of `HeadTables.training` for each."""
    targets, share = np.zeros(spec.classes, np.int64), np.zeros(spec.classes)
    for start in range(0, len(token), _BLOCK):
        row, value = _labels(spec, scorer, token[start : start + _BLOCK])
        targets += np.bincount(value, minlength=spec.classes)
        share += np.bincount(value, weights=1 / np.bincount(row)[row], minlength=spec.classes)
    return pl.DataFrame(
        {
            "head": pl.repeat(spec.name, spec.classes, eager=True, dtype=pl.String),
            "value": np.arange(spec.classes, dtype=np.int64),
            "name": pl.Series(names, dtype=pl.String),
            "targets": targets,
            "share": share,
        }
    )
