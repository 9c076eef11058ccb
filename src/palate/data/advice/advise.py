"""All checks, in the order of the data's path."""

from __future__ import annotations

from typing import Final

from palate.data.advice.calendar import check_calendar
from palate.data.advice.clock import check_clock
from palate.data.advice.duplicates import check_duplicates
from palate.data.advice.evidence import Evidence
from palate.data.advice.finding import Finding, by_severity
from palate.data.advice.heldout import check_held_out
from palate.data.advice.hindsight import check_hindsight
from palate.data.advice.members import check_members
from palate.data.advice.metadata import check_metadata
from palate.data.advice.repairs import check_repairs
from palate.data.advice.request import check_request
from palate.data.advice.sessions import check_sessions
from palate.data.advice.targets import check_targets
from palate.data.advice.values import check_values
from palate.data.advice.volume import check_volume
from palate.data.advice.zones import check_zones

CHECKS: Final = (
    check_request,
    check_hindsight,
    check_volume,
    check_held_out,
    check_targets,
    check_clock,
    check_sessions,
    check_calendar,
    check_zones,
    check_repairs,
    check_duplicates,
    check_members,
    check_values,
    check_metadata,
)


def advise(evidence: Evidence) -> tuple[Finding, ...]:
    """What was found and what to do about it, errors first."""
    return by_severity(finding for check in CHECKS for finding in check(evidence))
