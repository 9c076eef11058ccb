"""One thing found in a dataset, with what to do about it and the figure it was judged by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from palate.data.table import TableName


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """Results would be wrong or worthless."""
    WARNING = "warning"
    """Results would be worse, or read wrongly."""
    INFO = "info"
    """Good to know; nothing needs to be done."""


_ORDER = list(Severity)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found, where, an example, what to do, and the figure with its threshold."""

    code: str
    """Stable name in snake_case."""
    severity: Severity
    what: str
    """One sentence with numbers."""
    table: TableName
    column: str | None = None
    example: str | None = None
    advice: str
    """A concrete next step: a line of schema.yaml, a command, a setting."""
    measure: str
    """What the figure measures."""
    figure: float
    bound: Literal["at most", "at least"]
    threshold: float
    """A healthy dataset has ``figure`` at most, or at least, this."""

    @property
    def where(self) -> str:
        """Table and column as ``table.column``."""
        return self.table if self.column is None else f"{self.table}.{self.column}"

    @property
    def judged_by(self) -> str:
        """The figure and its threshold in words."""
        return f"{self.measure}: {_number(self.figure)} ({self.bound} {_number(self.threshold)})"


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first; equal severities in the order in which they came."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def at_least(findings: Iterable[Finding], severity: Severity) -> tuple[Finding, ...]:
    """The findings that are as severe as ``severity``, or more."""
    return tuple(each for each in findings if _ORDER.index(each.severity) <= _ORDER.index(severity))


def _number(value: float) -> str:
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1g}"
