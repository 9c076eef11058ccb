"""An explanation as a person reads it: the rules, where the item stands, and what moved it."""

from __future__ import annotations

import math
import textwrap

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from palate.data.moment import as_moment
from palate.rank.explanation import Age, EventEffect, Explanation, Part, Rule, Standing

_GOOD = 10
"""Ranks up to here are shown as good ones."""
_LOUD = 0.005
"""Effects below are rounded to nothing."""
_LONG = 140
"""Longer values of metadata are cut; the object has them whole."""


def explanation_tables(found: Explanation, *, most: int = 5) -> RenderableType:
    """Everything, with the ``most`` past things that spoke for the item and as many against."""
    shown: list[RenderableType] = [_headline(found), Text(), _rules(found.rules)]
    if found.standing is not None:
        shown += [Text(), _standing(found.standing)]
        shown += [Text(), _score(found.parts, found.age), *_events(found.events, most), *_intents(found)]
        shown += _metadata(found)
    shown += [Text(note, style="dim") for note in found.notes]
    if found.standing is not None:
        shown.append(
            Text(
                "Effects are log-odds of the item among the candidates, with minus without: +0.69 doubles its odds.\n"
                "They say what moved this model's score, not what made the member choose.",
                style="dim",
            )
        )
    return Group(*shown)


def _rules(rules: tuple[Rule, ...]) -> Table:
    table = Table.grid(padding=(0, 1))
    for rule in rules:
        mark = Text("  yes", style="green") if rule.passed else Text("  no", style="red")
        table.add_row(mark, Text(rule.name, style="bold"), Text(rule.detail))
    return table


def _headline(found: Explanation) -> Text:
    called = f"{found.item_id}" if found.title is None else f"{found.title} ({found.item_id})"
    text = Text.assemble((called, "bold"), f" for {found.user_id}")
    if found.moment is not None:
        text.append(f" at {as_moment(found.moment)} UTC")
    standing = found.standing
    if found.hidden_by:
        text.append(": hidden", style="bold red")
    elif standing is not None:
        assert standing.rank is not None, "a candidate has a rank"
        style = "bold green" if standing.rank <= _GOOD else "bold"
        text.append(f": rank {standing.rank:,} of {standing.candidates:,}", style=style)
    return text


def _standing(standing: Standing) -> Text:
    rank = "no candidate" if standing.rank is None else f"rank {standing.rank:,} of {standing.candidates:,} candidates"
    alone = 1 / (1 + math.exp(-standing.log_odds_without_history))
    return Text(
        f"{rank}; without rules {standing.rank_of_all:,} of {standing.items:,} items\n"
        f"probability {_percent(standing.probability)} among the candidates; "
        f"{_percent(alone)} for a member without a history"
    )


def _score(parts: tuple[Part, ...], age: Age | None) -> RenderableType:
    table = _table("the score", "part", ("adds", "above the mean candidate"))
    for part in parts:
        table.add_row(part.name, _signed(part.value), _signed(part.above_mean))
    total = [sum(part.value for part in parts), sum(part.above_mean for part in parts)]
    table.add_section()
    table.add_row("score", *(_signed(value) for value in total))
    if age is None:
        return table
    words = []
    if age.id_share is not None:
        taught = "" if age.training_events is None else f", after {_times(age.training_events, 'training event')}"
        words.append(f"id counts {age.id_share:.0%}, metadata {1 - age.id_share:.0%}{taught}")
    if age.days_since_launch is not None:
        days = age.days_since_launch
        words.append(f"{days:,.0f} days since its launch" if days >= 0 else f"{-days:,.0f} days before its launch")
    if age.events is not None:
        words.append(f"{age.events} events so far")
    if age.demand is not None:
        words.append(f"demand {age.demand:,.2g}")
    if age.counted_to is not None:
        words.append(f"counted up to {as_moment(age.counted_to)}")
    return Group(table, Padding(Text("; ".join(words)), (0, 0, 0, 2)), Text())


def _events(events: tuple[EventEffect, ...], most: int) -> list[RenderableType]:
    loud = [each for each in events if abs(each.effect) >= _LOUD]
    speaking_for = [each for each in loud if each.effect > 0][:most]
    against = [each for each in reversed(loud) if each.effect < 0][:most]
    if not events:
        return []
    if not loud:
        return [Text("none of the past events moved it\n")]
    shown = _table("past events", "", ("effect",))
    for name in ("what", "events", "last"):
        shown.add_column(name)
    for heading, rows in (("for", speaking_for), ("against", against)):
        for number, each in enumerate(rows):
            types = ", ".join(f"{count} {kind}" for kind, count in each.types.items()) or f"{each.events}"
            last = "" if each.last is None else as_moment(each.last)
            shown.add_row("" if number else heading, f"{each.effect:+.2f}", Text(_what(each)), Text(types), last)
        shown.add_section()
    left = len(events) - len(speaking_for) - len(against)
    return [shown, *([Text(f"  and {left} more that moved it less\n")] if left else [])]


def _what(thing: EventEffect) -> str:
    if thing.is_group:
        return f"{thing.what}: several" if thing.title is None else f"{thing.what}: {thing.title}, and others"
    return thing.what if thing.title is None else f"{thing.title} ({thing.what})"


def _intents(found: Explanation) -> list[RenderableType]:
    if not found.intents:
        return []
    shown = _table("intents", "head", ("effect", "share"))
    for name in ("predicted", "the item's own"):
        shown.add_column(name)
    for each in found.intents:
        own = ""
        if each.own_probability is not None:
            own = f"{', '.join(each.own)} {_percent(each.own_probability)}"
        shown.add_row(
            Text(each.head),
            "" if each.effect is None else _signed(each.effect),
            "" if each.attention is None else f"{each.attention:.0%}",
            Text(f"{each.predicted} {_percent(each.probability)}"),
            Text(own),
        )
    return [shown]


def _metadata(found: Explanation) -> list[RenderableType]:
    if not found.metadata:
        return []
    shown = _table("metadata", "column", ("effect",))
    shown.add_column("value")
    for each in found.metadata:
        value = "unknown" if each.value is None else textwrap.shorten(each.value, _LONG, placeholder=" …")
        shown.add_row(Text(each.column), _signed(each.effect), Text(value))
    return [shown]


def _table(title: str, first: str, numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _signed(value: float) -> str:
    """``+0.12``; what rounds to nothing has no sign."""
    return "0.00" if abs(value) < _LOUD else f"{value:+.2f}"


def _times(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.01 else f"{share:.2%}"
