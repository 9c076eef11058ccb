"""Whether validation and test can be believed: their size, and targets that can't be hit."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from palate.data.advice.evidence import Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.parts import PartFigures
from palate.data.advice.wording import count, percent
from palate.words import ITEM_ID, USER_ID

_HIT_RATE = 0.2
"""The HR@10 whose standard error is stated."""


def check_held_out(evidence: Evidence) -> Iterator[Finding]:
    """No split, or parts that are too small, cold or unreachable."""
    parts = evidence.parts
    if parts.figures is None:
        yield Finding(
            code="no_split",
            severity=Severity.ERROR,
            what=f"The log can't be split into training, validation and test: {parts.note}.",
            table="events",
            advice="Take a longer log, or write under split in schema.yaml `kind: leave_one_out`; `kind: none` trains "
            "on everything and measures nothing.",
            measure="parts of the split",
            figure=0,
            bound="at least",
            threshold=3,
        )
        return
    held_out = {name: part for name, part in parts.figures.items() if name != "train"}
    yield from _small(evidence, held_out)
    yield from _cold(evidence, held_out)


def standard_error(targets: int) -> float:
    """Of HR@10 = 0.2 over that many independent targets: sqrt(p (1 - p) / n)."""
    return sqrt(_HIT_RATE * (1 - _HIT_RATE) / targets)


def _small(evidence: Evidence, parts: dict[str, PartFigures]) -> Iterator[Finding]:
    most = evidence.config.max_standard_error
    temporal = evidence.dataset.schema.split.kind == "temporal"
    empty = [name for name, part in parts.items() if not part.targets]
    for name in empty:
        yield Finding(
            code="empty_part",
            severity=Severity.ERROR,
            what=f"The {name} part has no target, so nothing can be measured on it.",
            table="events",
            advice="Lower train_share under split in schema.yaml, or check that the target event types still occur at "
            "the end of the log.",
            measure=f"targets in {name}",
            figure=0,
            bound="at least",
            threshold=1,
        )
    small = {name: part.targets for name, part in parts.items() if part.targets and standard_error(part.targets) > most}
    if small:
        smallest = min(small.values())
        error = standard_error(smallest)
        needed = round(_HIT_RATE * (1 - _HIT_RATE) / most**2)
        sizes = " and ".join(f"{count(targets, 'target')} in {name}" for name, targets in small.items())
        yield Finding(
            code="small_parts",
            severity=Severity.WARNING,
            what=f"With {sizes}, HR@10 has a standard error of {error:.3f} at best (at HR@10 = 0.2).",
            table="events",
            advice=f"Differences below {2 * error:.2f} mean nothing. About {needed:,} targets a part are needed: "
            + ("lower train_share under split in schema.yaml, use leave_one_out, or " if temporal else "")
            + "take more members.",
            measure="standard error of HR@10",
            figure=error,
            bound="at most",
            threshold=most,
        )


def _cold(evidence: Evidence, parts: dict[str, PartFigures]) -> Iterator[Finding]:
    config = evidence.config
    cold = {name: part.cold_item_share for name, part in parts.items() if part.cold_item_share is not None}
    new = {name: part.new_member_share for name, part in parts.items() if part.new_member_share is not None}
    gone = {name: part.unreachable_share for name, part in parts.items() if part.unreachable_share is not None}
    if max(cold.values(), default=0) > config.max_cold:
        yield Finding(
            code="cold_items",
            severity=Severity.WARNING,
            what=f"{_shares(cold)} of the targets are on items without a training event.",
            table="events",
            column=ITEM_ID,
            advice=f"Only what describes them can predict them ({', '.join(evidence.telling_columns)}): retrain often, "
            "and read the slice `target popularity: cold` of `palate evaluate` apart."
            if evidence.telling_columns
            else "Ids alone can't predict them: describe the items (genres, text) in the items table, retrain often, "
            "and read the slice `target popularity: cold` of `palate evaluate` apart.",
            measure="share of targets on cold items",
            figure=max(cold.values()),
            bound="at most",
            threshold=config.max_cold,
        )
    if max(new.values(), default=0) > config.max_cold:
        yield Finding(
            code="new_members",
            severity=Severity.WARNING,
            what=f"{_shares(new)} of the targets are of members without an earlier event.",
            table="events",
            column=USER_ID,
            advice="Nothing is known of them but the request: give request-time columns (device, locale) and member "
            "attributes, and read the slice `member: cold` of `palate evaluate` apart.",
            measure="share of targets of new members",
            figure=max(new.values()),
            bound="at most",
            threshold=config.max_cold,
        )
    if max(gone.values(), default=0) > config.max_unreachable:
        yield Finding(
            code="unreachable_targets",
            severity=Severity.WARNING,
            what=f"{_shares(gone)} of the targets are on items that are not yet available at that moment (before "
            "their launch, or their very first event).",
            table="events",
            column=ITEM_ID,
            advice=f"They are misses for every ranking: at most {percent(1 - max(gone.values()))} can be hit. Give the "
            "items table a launch_time where a launch is known before the first event.",
            measure="share of unreachable targets",
            figure=max(gone.values()),
            bound="at most",
            threshold=config.max_unreachable,
        )


def _shares(shares: dict[str, float]) -> str:
    return " and ".join(f"{percent(share)} ({name})" for name, share in shares.items())
