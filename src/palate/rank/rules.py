"""Which rules let an item through to a member, and which hide it: `palate.rank.candidates`, put into words."""

from __future__ import annotations

import polars as pl

from palate.data import Dataset, has_target_type
from palate.data.moment import as_moment
from palate.rank.candidates import Candidates
from palate.rank.catalogue import known_items
from palate.rank.explanation import Rule
from palate.rank.history import Histories
from palate.words import EVENT_TYPE, ITEM_ID, LAUNCH_TIME, TIMESTAMP


def rules(candidates: Candidates, dataset: Dataset, query: pl.DataFrame, column: int) -> tuple[Rule, ...]:
    """The rules for the item in ``column`` of the candidates' catalogue at the one ``query``.

    All are passed exactly where `Candidates.mask` is true.
    """
    assert len(query) == 1, "one query"
    return (*_availability(candidates, dataset, query, column), _seen(candidates, dataset, query, column))


def unscored(dataset: Dataset) -> Rule:
    """The rule that hides an item of the dataset which the run can't score."""
    described = "" if dataset.items is None else ", or with item metadata: then it is scored by what it is"
    return Rule(
        name="known",
        passed=False,
        detail=f"the run reads no metadata and had no event with it in training; train again{described}",
    )


def known_to(dataset: Dataset, item: pl.Series) -> bool:
    """Whether the dataset knows the one item, from events or from the items table."""
    return bool(known_items(dataset).is_in(item.implode()).any())


def _availability(candidates: Candidates, dataset: Dataset, query: pl.DataFrame, column: int) -> list[Rule]:
    if not dataset.has_time:
        return [Rule(name="launch", passed=True, detail="the data have no time: every item is always there")]
    span = candidates.span(column)
    started = bool(candidates.started(query)[0, column])
    if not span.exists:
        return [Rule(name="launch", passed=started, detail="the data give it neither a launch_time nor an event")]
    start = "always" if span.start is None else as_moment(span.start)
    item = candidates.catalogue[column]
    launch = None
    if dataset.items is not None and LAUNCH_TIME in dataset.items.columns:
        launch = dataset.items.filter(pl.col(ITEM_ID) == item)[LAUNCH_TIME]
    announced = launch is not None and len(launch) > launch.null_count()
    why = "its launch_time" if announced else "just after its first event"
    detail = f"available since {start} ({why})" if started else f"not available before {start} ({why})"
    found = [Rule(name="launch", passed=started, detail=detail)]
    if span.end is not None:
        ended = bool(candidates.ended(query)[0, column])
        end = as_moment(span.end)
        detail = f"no longer available since {end} (available_until)" if ended else f"available until {end}"
        found.append(Rule(name="end", passed=not ended, detail=detail))
    return found


def _seen(candidates: Candidates, dataset: Dataset, query: pl.DataFrame, column: int) -> Rule:
    seen = candidates.seen(query)
    hiding = dataset.events[seen.row[seen.column == column]]
    if hiding.height:
        return Rule(name="seen", passed=False, detail=f"already had: {_occasions(dataset, hiding)}; {_policy(dataset)}")
    earlier = dataset.events[Histories(dataset).before(query).row]
    had = earlier.filter(
        pl.Series(has_target_type(earlier, dataset.schema)) & (earlier[ITEM_ID] == candidates.catalogue[column])
    )
    if had.height:
        return Rule(name="seen", passed=True, detail=f"had: {_occasions(dataset, had)}; {_policy(dataset)}")
    return Rule(name="seen", passed=True, detail="not had before")


def _occasions(dataset: Dataset, events: pl.DataFrame) -> str:
    times = "once" if events.height == 1 else f"{events.height} times"
    kind = f" ({', '.join(events[EVENT_TYPE].drop_nulls().unique().sort())})" if EVENT_TYPE in events.columns else ""
    if not dataset.has_time:
        return f"{times}{kind}"
    last = "on" if events.height == 1 else "last on"
    return f"{times}{kind}, {last} {as_moment(int(events[TIMESTAMP][-1]))}"


def _policy(dataset: Dataset) -> str:
    policy = ", ".join(f"{kind}: {rule}" for kind, rule in dataset.schema.seen_items.items())
    return f"the schema has seen_items: {{{policy}}}"
