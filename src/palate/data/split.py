"""Dividing the log into training, validation and test, and the questions that each part asks.

Temporal: two moments cut the log for everybody. Leave-one-out: each member's last target tests and the one before
it validates. In both, a member's parts follow each other in time, so no part ever sees a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data.adjacent import run_starts
from palate.data.dataset import Dataset
from palate.data.moment import as_moment
from palate.data.rule import SplitRule
from palate.data.schema import Schema
from palate.errors import ConfigError, SplitError, UnknownMemberError
from palate.words import EVENT_TYPE, ITEM_ID, POSITION, QUERY, TIMESTAMP, USER_ID

HISTORY_LENGTH = "history_length"


class Part(IntEnum):
    """The part of a split that an event belongs to."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class Split:
    """Which part each event belongs to."""

    rule: SplitRule
    part: npt.NDArray[np.int8]
    """[events] aligned with ``dataset.events``; within a member never decreasing."""
    cuts: tuple[int, int] | None
    """Temporal: the two moments in milliseconds; train is before the first, validation before the second."""
    members_without_test: int = 0
    """Leave-one-out: members with fewer than three targets, who are wholly training."""

    def rows(self, part: Part) -> npt.NDArray[np.int64]:
        """Rows of the events of one part, ascending."""
        return np.flatnonzero(self.part == part)


def split(dataset: Dataset, rule: SplitRule | None = None) -> Split:
    """Divide the events by ``rule``, or by the schema's.

    Raises `ConfigError` for a temporal rule on data without time, `SplitError` when a part has no events.
    """
    rule = rule or dataset.schema.split
    if rule.kind == "none":
        return Split(rule, np.zeros(dataset.events.height, np.int8), None)
    if rule.kind == "temporal":
        return _temporal(dataset, rule)
    return _leave_one_out(dataset, rule)


def is_target(dataset: Dataset, *, breaks: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
    """Whether each event is one that a model is asked to predict, ``[events]``.

    By its type; where the schema wants one target a run, the first event of each run that has an event of such a type.
    What follows one of ``breaks`` [events] has no say in what came before it.
    """
    typed = has_target_type(dataset.events, dataset.schema)
    if not dataset.schema.one_target_a_run:
        return typed
    starts = run_starts(dataset.events, dataset.schema, dataset.items)
    pieces = np.flatnonzero(starts if breaks is None else starts | breaks)
    target = np.zeros(len(typed), np.bool_)
    target[pieces] = np.logical_or.reduceat(typed, pieces)
    return target & starts


def has_target_type(events: pl.DataFrame, schema: Schema) -> npt.NDArray[np.bool_]:
    """Whether each event's type is one that the schema lists as a target, ``[events]``."""
    types = schema.target_event_types
    if types is None or EVENT_TYPE not in events.columns:
        return np.ones(events.height, np.bool_)
    return events[EVENT_TYPE].is_in(list(types)).to_numpy()


def queries(dataset: Dataset, split: Split, part: Part) -> pl.DataFrame:
    """One row for each target event of ``part``, in the order of the events.

    Columns: ``query`` (the event's row in ``dataset.events``), ``user_id``, ``item_id`` (the target), ``timestamp``
    or ``position``, ``history_length`` (the member's earlier events, of all types and parts).
    """
    assert len(split.part) == dataset.events.height, "a split of this dataset"
    rows = np.flatnonzero((split.part == part) & is_target(dataset))
    starts = dataset.member_starts
    member = np.searchsorted(starts, rows, side="right") - 1
    moment = TIMESTAMP if dataset.has_time else POSITION
    return dataset.events[rows].select(
        pl.Series(QUERY, rows, dtype=pl.Int64),
        USER_ID,
        ITEM_ID,
        moment,
        pl.Series(HISTORY_LENGTH, rows - starts[member], dtype=pl.Int64),
    )


def present_queries(
    dataset: Dataset, user_ids: pl.Series | Sequence[int | str] | None = None, at: int | None = None
) -> pl.DataFrame:
    """One row for each member asking what to do next, in the form of `queries`, with ``item_id`` null.

    ``query`` is one past the member's last row. ``at`` is the moment in milliseconds; without it, one millisecond
    after the last event of the log, so that every item with an event exists. In data without time the position is
    the one after the member's last. Rows follow ``user_ids``, each member once, or the members in ascending order.

    Raises `UnknownMemberError` for members without events, `ConfigError` for a moment that lies before them.
    """
    starts = dataset.member_starts
    ends = np.append(starts[1:], dataset.events.height)
    members = dataset.events[USER_ID][starts]
    moment = TIMESTAMP if dataset.has_time else POSITION
    table = pl.DataFrame(
        {
            QUERY: pl.Series(ends, dtype=pl.Int64),
            USER_ID: members,
            ITEM_ID: pl.repeat(None, len(members), dtype=dataset.events.schema[ITEM_ID], eager=True),
            moment: dataset.events[moment][ends - 1],
            HISTORY_LENGTH: pl.Series(ends - starts, dtype=pl.Int64),
        }
    )
    if user_ids is not None:
        wanted = as_ids(user_ids, members.dtype)
        unknown = wanted.filter(~wanted.is_in(members.implode()))
        if len(unknown):
            raise unknown_members(unknown)
        table = pl.DataFrame({USER_ID: wanted}).join(table, on=USER_ID, how="left", maintain_order="left")
        table = table.select(QUERY, USER_ID, ITEM_ID, moment, HISTORY_LENGTH)
    if not dataset.has_time:
        if at is not None:
            raise ConfigError("a moment was given, but the data have positions instead of times")
        return table.with_columns(pl.col(POSITION) + 1)
    if at is None:
        last: int = dataset.events[TIMESTAMP].max()  # type: ignore[assignment]
        at = last + 1
    late = table.filter(pl.col(TIMESTAMP) >= at)
    if late.height:
        some = f"{late.height:,} members, such as {late[USER_ID][0]}," if late.height > 1 else late[USER_ID][0]
        have = "have" if late.height > 1 else "has"
        raise ConfigError(
            f"{some} {have} events at or after the moment {as_moment(at)} UTC",
            hint="give a later moment, or read fewer events",
        )
    return table.with_columns(pl.lit(at, dtype=pl.Int64).alias(TIMESTAMP))


def as_ids(user_ids: pl.Series | Sequence[int | str], dtype: pl.DataType) -> pl.Series:
    """Different ids of members, in the given order and the log's type; `UnknownMemberError` for those without it."""
    if isinstance(user_ids, str):
        # A text is a sequence of texts, so that no type checker says it.
        raise ConfigError(f"user_ids is the text {user_ids!r}", hint=f"give a list: [{user_ids!r}]")
    given = user_ids if isinstance(user_ids, pl.Series) else pl.Series([str(value) for value in user_ids])
    text = given.cast(pl.String).unique(maintain_order=True).alias(USER_ID)
    if dtype == pl.String:
        return text
    numbers = text.cast(pl.Int64, strict=False)
    if numbers.null_count():
        raise unknown_members(text.filter(numbers.is_null()), hint="the ids of this data are integers")
    return numbers.unique(maintain_order=True)


def unknown_members(ids: pl.Series, *, hint: str | None = None) -> UnknownMemberError:
    """The error for members without an event."""
    shown = ", ".join(map(str, ids.head(3)))
    said = f"there is no event of member {shown}"
    if len(ids) > 1:
        said = f"there are no events of {len(ids):,} members: {shown}{', …' if len(ids) > 3 else ''}"
    return UnknownMemberError(said, hint=hint)


def cut_ranks(rule: SplitRule, events: int) -> tuple[int, int]:
    """Ranks, by time from 0, of the events whose times are the two cuts of a temporal split.

    A rank of ``events`` stands for the moment after all events.
    """
    return round(rule.train_share * events), round((rule.train_share + rule.validation_share) * events)


def temporal_part(times: npt.NDArray[np.int64], cuts: tuple[int, int]) -> npt.NDArray[np.int8]:
    """The part of each moment, ``[events]``."""
    part: npt.NDArray[np.int8] = (times >= cuts[0]).astype(np.int8) + (times >= cuts[1]).astype(np.int8)
    return part


def check_temporal(rule: SplitRule, counts: npt.NDArray[np.int64]) -> None:
    """Raise a `SplitError` where a part that the rule asks for has no event; ``counts`` [3] are events of each part."""
    wanted = {
        Part.TRAIN: rule.train_share,
        Part.VALIDATION: rule.validation_share,
        Part.TEST: 1 - rule.train_share - rule.validation_share,
    }
    for each, share in wanted.items():
        if share > 1e-9 and not counts[each]:
            raise SplitError(
                f"a temporal split of {int(counts.sum()):,} events leaves no event for {each.name.lower()}",
                hint="too few events or too many equal times; change the shares of the split",
            )


def leave_one_out_part(dataset: Dataset) -> tuple[npt.NDArray[np.int8], int]:
    """The part of each event, ``[events]``, and how many members have too few targets to be divided."""
    target = is_target(dataset)
    starts = dataset.member_starts
    targets = np.add.reduceat(target.astype(np.int64), starts)
    seen: npt.NDArray[np.int64] = np.cumsum(target) - target
    lengths = np.diff(np.append(starts, len(target)))
    # Targets of the member from this row on, the row's own included.
    remaining = np.repeat(seen[starts] + targets, lengths) - seen
    enough = np.repeat(targets >= 3, lengths)
    # A row lies in a later part from the row of that part's target on.
    validation = enough & ((remaining < 2) | ((remaining == 2) & target))
    test = enough & ((remaining < 1) | ((remaining == 1) & target))
    return validation.astype(np.int8) + test.astype(np.int8), int((targets < 3).sum())


def check_leave_one_out(members: int, members_without_test: int) -> None:
    """Raise a `SplitError` where no member can be divided."""
    if members_without_test == members:
        raise SplitError("no member has the three targets that leave-one-out needs", hint="use --split none")


def check_has_time(has_time: bool) -> None:
    """Raise a `ConfigError` where a temporal split has no times."""
    if not has_time:
        raise ConfigError("a temporal split needs timestamps, and the data have positions", hint="use leave_one_out")


def _temporal(dataset: Dataset, rule: SplitRule) -> Split:
    check_has_time(dataset.has_time)
    times = dataset.events[TIMESTAMP].to_numpy()
    ordered = np.append(np.sort(times), times.max() + 1)
    first, second = (int(ordered[rank]) for rank in cut_ranks(rule, len(times)))
    part = temporal_part(times, (first, second))
    check_temporal(rule, np.bincount(part, minlength=3))
    return Split(rule, part, (first, second))


def _leave_one_out(dataset: Dataset, rule: SplitRule) -> Split:
    part, short = leave_one_out_part(dataset)
    check_leave_one_out(len(dataset.member_starts), short)
    return Split(rule, part, None, members_without_test=short)
