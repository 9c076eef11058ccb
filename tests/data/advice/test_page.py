"""The page must stand alone, and nothing in the data may run or break out of its place in it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from palate.data import inspect
from palate.data.advice import PartFigures
from palate.data.advice.evidence import Evidence
from palate.data.advice.page import page, write_page
from palate.data.advice.plots import plots

from .conftest import Log

EVIL = "<script>alert('x')</script>\"&"


class Reader(HTMLParser):
    """Collects the tags and attributes of a page, and fails on tags that are not closed."""

    VOID = frozenset({"meta", "br", "img", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def evil(clean: Log) -> Log:
    """Ids, event types, values and column names that are markup, and formulas, and have no glyph."""
    named = clean.with_events(
        pl.lit(EVIL).alias("user_id"),
        (pl.col("event_type") + EVIL + " $x_1$ 映画").alias("event_type"),
        pl.when(pl.col("device") == "tv").then(pl.lit(EVIL)).alias(f"col{EVIL}"),
    )
    return Log(named.events, clean.items.with_columns(pl.lit(EVIL).alias("maker")), None)


def test_nothing_from_elsewhere(clean: Log) -> None:
    dataset = clean.dataset()
    text = page(dataset, inspect(dataset), title="clean")
    read = Reader(text)
    assert read.open == []
    assert not {"script", "link", "iframe", "object", "embed", "img", "image", "foreignobject"} & set(read.tags)
    for name, value in read.attributes:
        assert not name.startswith("on"), name
        if name in ("src", "href", "xlink:href", "data", "action"):
            assert value.startswith("#"), value
    assert not re.search(r"@import|url\((?!#)", text)
    assert {"header", "figure", "svg"} <= set(read.tags)
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids)), "ids are unique over all plots"
    assert read.tags.count("figure") == 7


def test_ticks_of_small_shares_differ(clean: Log) -> None:
    evidence = Evidence(clean.dataset())
    held = PartFigures(100, 100, 50, new_member_share=0.008, cold_item_share=0.037, unreachable_share=0.0)
    evidence.parts = replace(evidence.parts, figures={"validation": held, "test": held})
    plot = list(plots(evidence, {}))[-1]
    ticks = re.findall(r"text-anchor: end[^>]*>([^<]+)<", plot.svg)
    assert len(ticks) > 2
    assert len(ticks) == len(set(ticks)), ticks


def test_a_duration_is_named(clean: Log) -> None:
    dataset = clean.dataset()
    assert any(column.duration for column in dataset.schema.events.values())
    assert "numeric, duration" in page(dataset, inspect(dataset), title="clean")


def test_markup_in_the_data_is_text(evil: Log) -> None:
    dataset = evil.dataset()
    inspection = inspect(dataset)
    text = page(dataset, inspection, title=EVIL)
    read = Reader(text)
    assert "script" not in read.tags
    assert read.open == []
    assert EVIL in read.text
    assert "$x_1$" in read.text, "no formula is typeset"
    assert "constant_column" in {each.code for each in inspection.findings}


def test_the_same_data_make_the_same_page(clean: Log) -> None:
    dataset = clean.dataset()
    assert page(dataset, inspect(dataset), title="a") == page(dataset, inspect(dataset), title="a")


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_small_logs_have_a_page(clean: Log, rows: int) -> None:
    dataset = clean.having(events=clean.events.head(rows), schema=type(clean.schema)()).dataset()
    assert "few_targets" in page(dataset, inspect(dataset), title="small")


def test_positions_only(clean: Log) -> None:
    events = clean.events.select("user_id", "item_id", pl.int_range(pl.len()).over("user_id").alias("position"))
    dataset = Log(events, None, None).dataset()
    text = page(dataset, inspect(dataset), title="no times")
    assert "Events a day" not in text
    assert "no_times" in text


def test_the_file_appears_whole(clean: Log, tmp_path: Path) -> None:
    dataset = clean.dataset()
    inspection = inspect(dataset)
    out = tmp_path / "new" / "report.html"
    write_page(out, dataset, inspection, title="first")
    write_page(out, dataset, inspection, title="second")
    assert "second" in out.read_text(encoding="utf-8")
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
