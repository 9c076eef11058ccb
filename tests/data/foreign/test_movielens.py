"""MovieLens as downloaded: if these fail, somebody's first try with Palate does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.data.foreign import samples

from palate.data import Dataset
from palate.data.foreign import ConvertConfig, convert
from palate.errors import (
    ColumnTypeError,
    DataError,
    EmptyTableError,
    MissingColumnError,
    MissingTableError,
    PalateError,
    StrictError,
    TornFileError,
)

MAKERS = (samples.movielens_100k, samples.movielens_1m, samples.movielens_10m, samples.movielens_csv)


def tables(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    return pl.read_parquet(folder / "events.parquet"), pl.read_parquet(folder / "items.parquet")


@pytest.mark.parametrize("make", MAKERS)
def test_every_layout_is_read_without_a_repair(tmp_path: Path, make: Callable[..., Path]) -> None:
    found = convert(make(tmp_path / "source"), tmp_path / "out")
    assert not found.repairs
    dataset = Dataset.from_folder(tmp_path / "out", strict=True)
    assert dataset.events.height == found.counts["events"] == sum(found.event_types.values())
    assert dataset.report.time_unit == "seconds (stated)"
    assert dataset.schema.target_event_types == ("rate",)
    assert dataset.events.schema["user_id"] == pl.Int64
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"events.parquet", "items.parquet", "README.md"}


def test_100k(tmp_path: Path) -> None:
    convert(samples.movielens_100k(tmp_path / "source"), tmp_path / "out")
    events, items = tables(tmp_path / "out")
    assert events.rows() == [(user, item, time, "rate", rating) for user, item, rating, time in samples.RATINGS]
    assert items["title"].to_list() == ["Le Film Noyé (1994)", "Wolves: A Tale, Told (1995)", "unknown"]
    assert items["genres"].to_list() == [["Action", "Drama"], ["Comedy"], None]
    assert items["release_year"].to_list() == [1994, 1995, None]
    assert [str(day) for day in items["release_date"]] == ["1994-01-01", "1995-02-14", "None"]
    assert pl.read_parquet(tmp_path / "out" / "users.parquet")["zip_code"].to_list() == ["85711", "02139", "T8H1N"]


def test_1m(tmp_path: Path) -> None:
    found = convert(samples.movielens_1m(tmp_path / "source"), tmp_path / "out")
    events, items = tables(tmp_path / "out")
    assert events.height == len(samples.RATINGS)
    assert items["title"][1] == "Wolves: A Tale (a.k.a. Loups) (1995)"
    assert items["genres"][2].to_list() == ["Children's", "Comedy"]
    users = pl.read_parquet(tmp_path / "out" / "users.parquet")
    assert users.row(1) == (2, "M", 56, 16, "02139")
    assert "movies.dat was read as Latin-1, since it is not UTF-8" in found.notes
    assert "not read: README" in found.notes


def test_tags_are_events(tmp_path: Path) -> None:
    found = convert(samples.movielens_csv(tmp_path / "source"), tmp_path / "out")
    assert found.event_types == {"rate": 3, "tag": 3}
    events, items = tables(tmp_path / "out")
    tags = events.filter(pl.col("event_type") == "tag")
    assert tags["tag"].to_list() == ["slow burn, very", "slow burn", None]
    assert tags["rating"].null_count() == 3
    assert items["title"][1] == 'Talk "Loud" (1983–1984)'
    assert items["genres"].to_list() == [["Action", "Drama"], None, ["Comedy"]]
    assert items["release_year"].to_list() == [1994, 1983, None]
    assert items["imdb_id"][0] == "0114709"


def test_10m_tags_may_hold_colons(tmp_path: Path) -> None:
    convert(samples.movielens_10m(tmp_path / "source"), tmp_path / "out")
    events, items = tables(tmp_path / "out")
    assert events["tag"].to_list() == [None, None, None, "slow burn", "wolf: the"]
    assert items["title"][0] == "Le Film Noyé (1994)"


BAD: dict[str, tuple[Callable[..., Path], dict[str, str | bytes], type[PalateError], tuple[str, ...]]] = {
    "rows with other cells": (
        samples.movielens_csv,
        {"ratings__csv": "userId,movieId,rating,timestamp\n1,10\n1,20\n7,10,5.0,964982224\n"},
        TornFileError,
        (
            "ratings.csv: 2 rows don't have the 4 cells userId, movieId, rating, timestamp",
            "2 cells instead of 4: '1,10'",
        ),
    ),
    "rows of something else": (
        samples.movielens_1m,
        {"ratings__dat": "a::b::c::d\n1::10::4::978300760\nx::y::1::2\n"},
        TornFileError,
        ("ratings.dat: 2 of 3 rows hold no numbers where they should", "row 1: 'a::b::c::d'", "the columns are userId"),
    ),
    "another header": (
        samples.movielens_csv,
        {"ratings__csv": "user,item,stars,when\n1,10,4.0,964982703\n"},
        MissingColumnError,
        ("ratings.csv: the header is user,item,stars,when instead of userId,movieId,rating,timestamp",),
    ),
    "an id that is none": (
        samples.movielens_csv,
        {"movies__csv": "movieId,title,genres\nten,Ten (1979),Comedy\n10,Eleven,Drama\n"},
        ColumnTypeError,
        ("movies.csv: column movieId: 1 values are not a whole number, e.g. row 1: 'ten'",),
    ),
    "another encoding": (
        samples.movielens_csv,
        {"movies__csv": "movieId,title,genres\n10,Noyé (1994),Drama\n".encode("latin-1")},
        DataError,
        ("movies.csv: not UTF-8 text, e.g. line 2: '10,Noy", "iconv -t utf-8"),
    ),
    "no ratings": (
        samples.movielens_csv,
        {"ratings__csv": "userId,movieId,rating,timestamp\n"},
        EmptyTableError,
        ("ratings.csv: the file has no rows",),
    ),
    "an empty file": (samples.movielens_csv, {"movies__csv": ""}, EmptyTableError, ("movies.csv: the file is empty",)),
    "genres twice": (
        samples.movielens_100k,
        {"u__genre": "Action|0\nAction|1\nDrama|2\nComedy|3\nWar|4\n"},
        DataError,
        ("u.genre: genres without a name, or named twice",),
    ),
    "a flag that is none": (
        samples.movielens_100k,
        {"u__item": "10|Film (1994)|01-Jan-1994||http://us.example|0|1|x|1|0\n"},
        ColumnTypeError,
        ("u.item: column Comedy: 1 values are not true or false, e.g. row 1: 'x'",),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(tmp_path: Path, case: str) -> None:
    make, changed, error, words = BAD[case]
    source = make(tmp_path / "source", **changed)
    with pytest.raises(error) as found:
        convert(source, tmp_path / "out")
    assert all(word in str(found.value) for word in words), str(found.value)
    assert found.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["source"], "something was left behind"


@pytest.mark.parametrize(
    ("make", "gone", "words"),
    [
        (samples.movielens_100k, "u.genre", ("MovieLens 100K without u.genre", "u.data, u.item, u.user, u.genre")),
        (samples.movielens_1m, "movies.dat", ("MovieLens 1M without movies.dat",)),
        (samples.movielens_1m, "users.dat", ("ratings.dat, but neither users.dat nor tags.dat",)),
        (samples.movielens_csv, "movies.csv", ("without movies.csv", "this layout has ratings.csv, movies.csv")),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, make: Callable[..., Path], gone: str, words: tuple[str, ...]) -> None:
    source = make(tmp_path / "source")
    (source / gone).unlink()
    with pytest.raises(MissingTableError) as found:
        convert(source, tmp_path / "out")
    assert all(word in str(found.value) for word in words), str(found.value)


def test_torn_lines_are_counted_and_cost_nothing_else(tmp_path: Path) -> None:
    lines = ("userId,movieId,rating,timestamp", "1,10,4.0,964982703", "1,20,0.5,964981247", "7,10,five,964982225")
    torn = "\n".join((*lines, "7,10,5.0,964982224", "7,20,1.0"))
    source = samples.movielens_csv(tmp_path / "source", ratings__csv=torn)
    found = convert(source, tmp_path / "out")
    assert found.event_types["rate"] == 3
    assert found.repairs == (
        "ratings.csv: malformed row in 1 row, e.g. 3 cells instead of 4: '7,20,1.0': dropped",
        "ratings.csv: malformed row in 1 row, e.g. row 3: '7,10,five,964982225' (no number): dropped",
    )
    with pytest.raises(StrictError, match=r"source: 2 repairs needed: ratings.csv: malformed row"):
        convert(source, tmp_path / "strict", ConvertConfig(strict=True))
    assert not (tmp_path / "strict").exists()


def test_a_film_listed_twice_keeps_its_last_row(tmp_path: Path) -> None:
    films = "movieId,title,genres\n10,Old (1994),Drama\n20,Other,Drama\n10,New (1995),Comedy\n"
    found = convert(samples.movielens_csv(tmp_path / "source", movies__csv=films), tmp_path / "out")
    assert found.repairs == (
        "movies.csv, column item_id: duplicate id in 1 row, e.g. row 1: 10: the last row of each id is kept",
    )
    assert tables(tmp_path / "out")[1]["title"].to_list() == ["Other", "New (1995)"]
