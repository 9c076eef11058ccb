"""There and back: what a foreign source says must not change on its way through Palate.

Tables are compared as Palate reads them, after both ways. Texts are of all of Unicode that the format can hold; what it
can't hold is tested apart.
"""

from __future__ import annotations

import string
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.data.foreign import samples

from palate.data import Column, Dataset, Kind, Role, Schema
from palate.data.foreign import Target, convert, export
from palate.errors import ConfigError, DataError, MissingColumnError

MISSING = ("N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "\\N")
SETTINGS = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def text(without: str = "", min_size: int = 1) -> st.SearchStrategy[str]:
    """Text with separators, quotes, line ends and rare characters in it; never one that stands for missing."""
    characters = st.one_of(
        st.sampled_from([sign for sign in " ,;|\"'\t\n\r\\/éß日\u200d\u00a0🎬" if sign not in without]),
        st.sampled_from(string.ascii_letters + string.digits),
        st.characters(codec="utf-8", exclude_characters=without + "\0", exclude_categories=["Cs"]),
    )
    return st.text(characters, min_size=min_size, max_size=8).filter(lambda value: value not in MISSING)


def columns(rows: int, **kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, list[Any]]]:
    return st.fixed_dictionaries({name: st.lists(kind, min_size=rows, max_size=rows) for name, kind in kinds.items()})


def optional(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), kind)


def number() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def logs(draw: st.DrawFn, *, not_in_text: str, not_in_id: str, not_in_value: str) -> dict[str, pl.DataFrame]:
    """A data folder's tables with every kind of column, in a format that forbids some characters."""
    rows = draw(st.integers(1, 6))
    ids = st.one_of(st.sampled_from(["007", "b", "ü 2"]), text(not_in_id))
    if " " in not_in_id:
        ids = st.one_of(st.sampled_from(["007", "b"]), text(not_in_id))
    values = st.lists(text(not_in_value), max_size=3)
    events = draw(
        columns(
            rows,
            user_id=text(not_in_text),
            item_id=ids,
            timestamp=st.integers(1_000_000_000, 1_700_000_000),
            event_type=st.sampled_from(["watch", "click", "watch, again"]),
            event_value=optional(number()),
            impressions=optional(st.lists(ids, min_size=1, max_size=3)),
            device=optional(text(not_in_text + "|")),
        )
    )
    members = draw(st.integers(1, 4))
    users = draw(columns(members, age=optional(st.integers(0, 99)), plan=optional(text(not_in_text + "|"))))
    items = draw(
        columns(
            draw(st.integers(1, 4)),
            launch_time=optional(st.integers(1_000_000_000, 1_700_000_000)),
            genres=optional(values),
            price=optional(number()),
            description=optional(text(not_in_text)),
        )
    )
    tables = {
        "events": pl.DataFrame(
            events, schema_overrides={"impressions": pl.List(pl.String), "event_value": pl.Float64, "device": pl.String}
        ),
        "items": pl.DataFrame(
            items,
            schema_overrides={
                "genres": pl.List(pl.String),
                "price": pl.Float64,
                "description": pl.String,
                "launch_time": pl.Int64,
            },
        ),
        "users": pl.DataFrame(users, schema_overrides={"age": pl.Int64, "plan": pl.String}),
    }
    for name, key in (("items", "item_id"), ("users", "user_id")):
        count = tables[name].height
        keys = draw(st.lists(text(not_in_id), min_size=count, max_size=count, unique=True))
        tables[name] = tables[name].insert_column(0, pl.Series(key, keys))
    return tables


SCHEMA = Schema(
    events={
        "event_value": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC),
        "device": Column(role=Role.POST_ACTION, kind=Kind.CATEGORICAL),
    },
    items={
        "genres": Column(role=Role.ITEM_METADATA, kind=Kind.MULTI_CATEGORICAL),
        "price": Column(role=Role.ITEM_METADATA, kind=Kind.NUMERIC),
        "description": Column(role=Role.ITEM_METADATA, kind=Kind.TEXT),
    },
    users={
        "age": Column(role=Role.USER_ATTRIBUTE, kind=Kind.NUMERIC),
        "plan": Column(role=Role.USER_ATTRIBUTE, kind=Kind.CATEGORICAL),
    },
    timestamp_unit="s",
)


def write_folder(folder: Path, tables: dict[str, pl.DataFrame], schema: Schema = SCHEMA) -> Path:
    folder.mkdir()
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    schema.write(folder / "schema.yaml")
    return folder


def assert_same(first: Dataset, second: Dataset) -> None:
    for name in ("events", "items", "users"):
        left, right = getattr(first, name), getattr(second, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert_frame_equal(left, right, check_column_order=False, abs_tol=0, rel_tol=0)
        assert first.schema.columns(name) == second.schema.columns(name)


def there_and_back(data: Path, to: Target) -> Path:
    """Exported and converted again."""
    export(data, to, data.parent / f"{data.name}-out")
    convert(data.parent / f"{data.name}-out", data.parent / f"{data.name}-back")
    return data.parent / f"{data.name}-back"


@SETTINGS
@given(logs(not_in_text="", not_in_id="|", not_in_value="|"))
def test_personalize_holds_any_text(tables: dict[str, pl.DataFrame]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = there_and_back(write_folder(Path(folder) / "data", tables), Target.PERSONALIZE)
        second = there_and_back(first, Target.PERSONALIZE)
        assert_same(Dataset.from_folder(first), Dataset.from_folder(second))
        same_content(Dataset.from_folder(Path(folder) / "data"), Dataset.from_folder(first))


@SETTINGS
@given(logs(not_in_text="\t\n\r", not_in_id="\t\n\r ", not_in_value="\t\n\r "))
def test_recbole_holds_any_text_without_tabs_and_line_ends(tables: dict[str, pl.DataFrame]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = there_and_back(write_folder(Path(folder) / "data", tables), Target.RECBOLE)
        second = there_and_back(first, Target.RECBOLE)
        assert_same(Dataset.from_folder(first), Dataset.from_folder(second))
        same_content(Dataset.from_folder(Path(folder) / "data"), Dataset.from_folder(first))


def same_content(given: Dataset, found: Dataset) -> None:
    """The first way loses no value either; only lists of which none has two values come back as single values."""
    for name in ("events", "items", "users"):
        left, right = getattr(given, name), getattr(found, name)
        for column in left.columns:
            was, now = left[column], right[column]
            if isinstance(was.dtype, pl.List) and now.dtype == pl.String:
                assert (was.list.len().fill_null(1) == 1).all()
                was = was.list.first()
            assert was.to_list() == now.to_list(), column


@pytest.mark.parametrize(
    ("make", "to"),
    [
        (samples.personalize, Target.PERSONALIZE),
        (samples.recbole, Target.RECBOLE),
        (samples.movielens_csv, Target.RECBOLE),
        (samples.movielens_1m, Target.PERSONALIZE),
    ],
)
def test_samples_come_back(tmp_path: Path, make: Callable[..., Path], to: Target) -> None:
    convert(make(tmp_path / "source"), tmp_path / "data")
    first = there_and_back(tmp_path / "data", to)
    second = there_and_back(first, to)
    assert_same(Dataset.from_folder(first, strict=True), Dataset.from_folder(second, strict=True))
    if make in (samples.personalize, samples.recbole):
        assert_same(Dataset.from_folder(tmp_path / "data"), Dataset.from_folder(first))


def loss(notes: tuple[str, ...], start: str) -> str:
    found = [note for note in notes if note.startswith(start)]
    assert len(found) == 1, notes
    return found[0]


ROWS = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"]}


def test_what_personalize_cannot_hold_is_counted(tmp_path: Path) -> None:
    events = pl.DataFrame({**ROWS, "timestamp": [1_700_000_000_123, 1_700_000_001_000, 1_700_000_002_999]})
    plot = "one\ttwo\nthree four five six seven eight nine ten"
    items = pl.DataFrame({"item_id": ["a", "b"], "cast": [["Ann Lee", "Bo"], ["Bo"]], "plot": [plot, None]})
    data = write_folder(tmp_path / "data", {"events": events, "items": items}, Schema())
    found = export(data, Target.RECBOLE, tmp_path / "out")
    assert "underscores, since spaces separate values in 1 values, e.g. 'Ann Lee'" in loss(found.notes, "items.cast")
    assert "tabs and line ends were replaced by spaces in 1 values" in loss(found.notes, "items.plot")
    convert(tmp_path / "out", tmp_path / "back")
    back = Dataset.from_folder(tmp_path / "back", strict=True)
    assert back.events["timestamp"].to_list() == events["timestamp"].to_list()
    assert back.items is not None
    assert back.items["cast"].to_list() == [["Ann_Lee", "Bo"], ["Bo"]]
    torn = events.with_columns(pl.Series("item_id", ["a\tb", "b", "a"]))
    data = write_folder(tmp_path / "torn", {"events": torn}, Schema())
    with pytest.raises(DataError, match=r"column item_id: 1 ids hold tabs or line ends, e.g. 'a\\tb'"):
        export(data, Target.RECBOLE, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("to", Target)
def test_whole_ratings_leave_as_numbers(tmp_path: Path, to: Target) -> None:
    events = pl.DataFrame({**ROWS, "timestamp": [1, 2, 3], "rating": [5, 3, 4]})
    data = write_folder(tmp_path / "data", {"events": events}, Schema(timestamp_unit="s"))
    back = Dataset.from_folder(there_and_back(data, to), strict=True)
    assert back.schema.events["rating"].kind == Kind.NUMERIC
    assert back.events["rating"].to_list() == [5, 3, 4]


def test_positions_are_no_times(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", {"events": pl.DataFrame({**ROWS, "position": [0, 1, 0]})}, Schema())
    (data / "schema.yaml").unlink()
    with pytest.raises(MissingColumnError, match="Personalize needs times, and there are only positions"):
        export(data, Target.PERSONALIZE, tmp_path / "out")
    export(data, Target.RECBOLE, tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "back")
    assert Dataset.from_folder(tmp_path / "back").events["position"].to_list() == [0, 1, 0]


def test_impressions_with_bars_and_odd_column_names_are_refused(tmp_path: Path) -> None:
    events = pl.DataFrame({**ROWS, "timestamp": [1, 2, 3], "impressions": [["a|b"], ["b"], None]})
    data = write_folder(tmp_path / "data", {"events": events}, Schema(timestamp_unit="s"))
    with pytest.raises(DataError, match=r"column impressions: 1 ids hold a bar, e.g. 'a\|b'"):
        export(data, Target.PERSONALIZE, tmp_path / "out")
    odd = pl.DataFrame({**ROWS, "timestamp": [1, 2, 3], "watched share": [0.5, 0.1, 0.2]})
    data = write_folder(tmp_path / "odd", {"events": odd}, Schema(timestamp_unit="s"))
    with pytest.raises(DataError, match=r"events.watched share: not a name that a Personalize schema can have"):
        export(data, Target.PERSONALIZE, tmp_path / "out")


def test_an_export_does_not_write_over_anything(tmp_path: Path) -> None:
    convert(samples.recbole(tmp_path / "source"), tmp_path / "data")
    with pytest.raises(ConfigError, match="source: already exists and is not empty"):
        export(tmp_path / "data", Target.RECBOLE, tmp_path / "source")
