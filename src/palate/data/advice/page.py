"""The inspection as one HTML file that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from palate.data.advice.evidence import Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.plots import Plot, plots
from palate.data.advice.wording import count, percent
from palate.data.dataset import Dataset
from palate.data.schema import Role, Schema

if TYPE_CHECKING:
    from palate.data.inspect import Inspection


def write_page(path: Path, dataset: Dataset, inspection: Inspection, *, title: str) -> None:
    """Write the page of a dataset and its inspection; the file appears whole or not at all.

    Raises `MissingExtraError` where matplotlib is not installed.
    """
    text = page(dataset, inspection, title=title)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def page(dataset: Dataset, inspection: Inspection, *, title: str) -> str:
    """The page as HTML."""
    style = files("palate.data.advice").joinpath("page.css").read_text(encoding="utf-8")
    drawn = list(plots(Evidence(dataset), inspection.missing))
    body = [
        _header(inspection, title),
        _facts(inspection),
        _section("What to do", _findings(inspection.findings)),
        _section("Pictures", f'<div class="plots">{"".join(map(_figure, drawn))}</div>'),
        _section("How the columns were understood", _columns(dataset.schema, inspection)),
        _section("What reading found", _report(dataset)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: inspection</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n<footer>Made by <code>palate data inspect</code>. Times are UTC.</footer>\n</main>\n</body>\n</html>\n"
    )


def _header(inspection: Inspection, title: str) -> str:
    counts = Counter(finding.severity for finding in inspection.findings)
    pills = [
        f'<span class="pill {severity}">{count(counts[severity], severity, _PLURAL[severity])}</span>'
        for severity in Severity
        if counts[severity]
    ] or ['<span class="pill clean">nothing found</span>']
    if inspection.first_time is None:
        period = "order known, times not"
    else:
        period = f"{inspection.first_time[:10]} to {(inspection.last_time or '')[:10]}"
    return (
        f"<header><h1>{escape(title)}</h1><p>What this log is like, and what to do about it · {period}</p>"
        f'<div class="verdict">{"".join(pills)}</div></header>'
    )


_PLURAL = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.INFO: "notes"}


def _facts(inspection: Inspection) -> str:
    facts = (
        (f"{inspection.events:,}", "events"),
        (f"{inspection.members:,}", "members"),
        (f"{inspection.items:,}", "items with events"),
        (_days(inspection), "days" if inspection.first_time else "times"),
        (f"{inspection.history_length['p50']:,.0f}", "events of the median member"),
        (percent(inspection.repeat_share), "of events on an item had before"),
        (percent(inspection.density), "of all pairs have an event"),
        (percent(inspection.top_item_share), "of events on the top 1 % of items"),
    )
    cards = "".join(f'<div class="fact"><b>{value}</b><span>{name}</span></div>' for value, name in facts)
    return f'<section class="facts">{cards}</section>'


def _days(inspection: Inspection) -> str:
    if inspection.first_time is None or inspection.last_time is None:
        return "none"
    first, last = (date.fromisoformat(each[:10]) for each in (inspection.first_time, inspection.last_time))
    return f"{(last - first).days + 1:,}"


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<p class="note">Every check passed. Next: <code>palate pretrain</code>.</p>'
    return "".join(map(_finding, findings))


def _finding(finding: Finding) -> str:
    meta = [f"<code>{escape(finding.where)}</code>", finding.code, escape(finding.judged_by)]
    if finding.example is not None:
        meta.append(f"e.g. {escape(finding.example)}")
    return (
        f'<article class="finding {finding.severity}" data-code="{finding.code}">'
        f'<h3><span class="pill {finding.severity}">{finding.severity}</span> {escape(finding.what)}</h3>'
        f'<p class="meta">{" · ".join(meta)}</p><p class="todo">{_with_code(finding.advice)}</p></article>'
    )


def _with_code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _figure(plot: Plot) -> str:
    wide = ' class="wide"' if plot.wide else ""
    return (
        f'<figure{wide} role="img" aria-label="{escape(f"{plot.title}. {plot.caption}")}"><h3>{escape(plot.title)}</h3>'
        f'{plot.svg}<figcaption class="caption">{escape(plot.caption)}</figcaption></figure>'
    )


def _columns(schema: Schema, inspection: Inspection) -> str:
    rows = []
    for table, columns in (("events", schema.events), ("items", schema.items), ("users", schema.users)):
        for name, column in columns.items():
            missing = inspection.missing.get(f"{table}.{name}")
            quiet = ' class="quiet"' if column.role == Role.IGNORE else ""
            share = "" if missing is None else percent(missing)
            kind = column.kind + (", duration" if column.duration else "")
            rows.append(
                f'<tr{quiet}>{_cells((table, name, column.role, kind))}<td class="number">{escape(share)}</td></tr>'
            )
    if not rows:
        return ""
    head = "<tr><th>table</th><th>column</th><th>role</th><th>kind</th><th class='number'>missing</th></tr>"
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{escape(value)}</td>" for value in values)


def _report(dataset: Dataset) -> str:
    return (
        '<ul class="report">'
        + "".join(f"<li>{escape(line)}</li>" for line in str(dataset.report).splitlines())
        + "</ul>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""
