"""A tool that cries wolf is switched off: nothing may be found where nothing is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

import palate.data.advice
from palate.data import Fault
from palate.data.advice.repairs import ADVICE

from .conftest import Log, make_log

HERE = Path(__file__).parent
CODES = (
    {
        code
        for path in Path(palate.data.advice.__file__).parent.glob("*.py")
        for code in re.findall(r'code="(\w+)"', path.read_text(encoding="utf-8"))
    }
    | {code for code, _ in ADVICE.values()}
    | {"few_members", "few_items"}
)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_in_a_clean_log(seed: int) -> None:
    assert [each.what for each in make_log(seed).findings()] == []


def test_the_same_log_gives_the_same_findings(clean: Log) -> None:
    planted = clean.with_items(pl.lit("drama").alias("genre"))
    assert planted.findings() == planted.findings()


def test_every_fault_of_reading_has_advice() -> None:
    assert set(ADVICE) == set(Fault)


def test_every_code_is_documented() -> None:
    page = (HERE.parents[2] / "docs" / "inspect.md").read_text(encoding="utf-8")
    assert {code for code in CODES if f"`{code}`" not in page} == set()


def test_every_code_is_planted_in_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py") if path.name != "test_clean.py")
    assert {code for code in CODES if f'"{code}"' not in tests} == set()
