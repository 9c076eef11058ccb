"""A data folder in a foreign format: what Palate understood of it, checked and in order."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from palate.data.dataset import Dataset
from palate.data.foreign import personalize_out, recbole_out
from palate.data.foreign.tally import Tally
from palate.data.foreign.write import Conversion
from palate.files import new_folder


class Target(StrEnum):
    """Formats that can be written."""

    PERSONALIZE = "personalize"
    RECBOLE = "recbole"


_NAMES: Final = {Target.PERSONALIZE: "Amazon Personalize", Target.RECBOLE: "RecBole atomic files"}
_WRITERS: Final[dict[Target, Callable[[Dataset, Path, str], list[str]]]] = {
    Target.PERSONALIZE: personalize_out.write_personalize,
    Target.RECBOLE: recbole_out.write_recbole,
}


def export(data: Path | str, to: Target, out: Path | str, *, strict: bool = False) -> Conversion:
    """Write a data folder in a foreign format, all of it or nothing; the log must fit into memory.

    The folder is read as for training: repaired (a `StrictError` with ``strict``), in order, roles and kinds by its
    schema. What the format can't hold is left out or replaced, and each such loss is a counted note. Raises
    `ConfigError` where ``out`` is not empty, and a `DataError` for ids that the format can't hold.
    """
    dataset = Dataset.from_folder(data, strict=strict)
    target = Path(out)
    tally = Tally()
    tally.add(dataset.events)
    counts = tally.counts
    for name, table in (("described_items", dataset.items), ("described_members", dataset.users)):
        if table is not None:
            counts[name] = table.height
    with new_folder(target) as aside:
        notes = _WRITERS[to](dataset, aside, target.resolve().name)
        conversion = Conversion(
            folder=target,
            format=_NAMES[to],
            counts=counts,
            event_types=tally.event_types,
            repairs=tuple(map(str, dataset.report.repairs)),
            notes=tuple(notes),
        )
        (aside / "README.md").write_text(_readme(conversion, Path(data).resolve().name), encoding="utf-8")
    return conversion


def _readme(conversion: Conversion, source: str) -> str:
    counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in conversion.counts.items())
    lines = [f"# {source} as {conversion.format}", "", f"Made by `palate data convert` from `{source}`: {counted}."]
    for title, found in (("What was lost or changed", conversion.notes), ("Repairs", conversion.repairs)):
        if found:
            lines += ["", f"## {title}", "", *(f"- {text}" for text in found)]
    return "\n".join(lines) + "\n"
