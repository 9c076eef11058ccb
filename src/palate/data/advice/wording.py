"""How figures, rows and lines of the schema read in messages."""

from __future__ import annotations

from datetime import UTC, datetime

import yaml

from palate.data.schema import Column, Role


def percent(share: float) -> str:
    """A share as a percentage; a share that would read as none, or all, but is not says so."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 <= share < 1:
        return ">99.9 %"
    return f"{share:.1%}".replace("%", " %").replace(".0 %", " %")


def moment_text(milliseconds: int) -> str:
    """A moment as ISO 8601 text to the second, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_text(day: int) -> str:
    """A day since the epoch as ISO 8601 text."""
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 member``, ``1,200 members``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def row_text(**values: object) -> str:
    """An example: names and values."""
    return ", ".join(f"{name} {_short(value)}" for name, value in values.items())


def schema_line(table: str, name: str, column: Column, role: Role) -> str:
    """The line of schema.yaml that gives a column another role, and where it stands."""
    entry = column.model_copy(update={"role": role}).model_dump(mode="json", exclude_defaults=True)
    flow = yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10_000)
    return f"`{flow.strip()}` under {table} in schema.yaml"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
