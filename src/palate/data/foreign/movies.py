"""Films and members of MovieLens, in each of its layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from palate.data.foreign.cells import Cells
from palate.data.foreign.contents import described, last_of_each
from palate.data.foreign.text import TextFile, read_all, utf8_or_latin1
from palate.data.report import Fault, Findings, Repair
from palate.data.schema import Column, Kind, Role
from palate.errors import DataError
from palate.words import ITEM_ID, USER_ID

USERS_1M: Final = ("UserID", "Gender", "Age", "Occupation", "Zip-code")
_NO_GENRES: Final = ("(no genres listed)", "unknown")
_YEAR: Final = r"\((\d{4})(?:\s*[-–]\s*(?:\d{4})?\s*)?\)[\s\"]*$"
"""The year at the end of a title; of a span such as (1983–1984), the first."""

_ITEM_KINDS: Final = {
    "title": Kind.TEXT,
    "release_year": Kind.NUMERIC,
    "release_date": Kind.TIMESTAMP,
    "genres": Kind.MULTI_CATEGORICAL,
}
_USER_KINDS: Final = {"age": Kind.NUMERIC}


def item_columns(items: pl.DataFrame) -> dict[str, Column]:
    """Roles and kinds; ids and addresses elsewhere are ignored."""
    return {
        name: Column(role=Role.ITEM_METADATA, kind=_ITEM_KINDS[name])
        if name in _ITEM_KINDS
        else Column(role=Role.IGNORE, kind=Kind.CATEGORICAL)
        for name in described("items", items.columns)
    }


def user_columns(users: pl.DataFrame) -> dict[str, Column]:
    """Roles and kinds."""
    return {
        name: Column(role=Role.USER_ATTRIBUTE, kind=_USER_KINDS.get(name, Kind.CATEGORICAL))
        for name in described("users", users.columns)
    }


def items(file: TextFile, findings: Findings) -> pl.DataFrame:
    """``movies.dat`` or ``movies.csv``: ``item_id``, ``title``, ``release_year``, ``genres`` (List(String))."""
    text = read_all(file, findings)
    cells = Cells(file.path)
    genres = text["genres"].str.split("|").list.eval(_listed(pl.element()))
    table = pl.DataFrame(
        {
            ITEM_ID: cells.integers(cells.required(text["movieId"])),
            "title": text["title"].str.strip_chars(),
            "release_year": _release_year(text["title"]),
            "genres": genres.set(genres.list.len() == 0, None),
        }
    )
    cells.check()
    _say_encoding(file, findings)
    return last_of_each(table, ITEM_ID, file.path, findings)


def with_links(items: pl.DataFrame, file: TextFile, findings: Findings) -> pl.DataFrame:
    """The films with the ids that other services have for them, as text (IMDb's have leading zeros)."""
    text = read_all(file, findings)
    cells = Cells(file.path)
    links = pl.DataFrame(
        {
            ITEM_ID: cells.integers(cells.required(text["movieId"])),
            "imdb_id": text["imdbId"],
            "tmdb_id": text["tmdbId"],
        }
    )
    cells.check()
    links = last_of_each(links, ITEM_ID, file.path, findings)
    return items.join(links, on=ITEM_ID, how="left", maintain_order="left")


def items_100k(folder: Path, findings: Findings) -> pl.DataFrame:
    """``u.item``, whose genres are flags in the order of ``u.genre``; also ``release_date`` and ``imdb_url``."""
    genres = _genres_100k(folder / "u.genre", findings)
    names = ("movie id", "movie title", "release date", "video release date", "IMDb URL", *genres)
    path = folder / "u.item"
    file = TextFile(path, names, delimiter="|", header=False, encoding=utf8_or_latin1(path))
    text = read_all(file, findings)
    cells = Cells(path)
    flags = {name: cells.truths(cells.required(text[name])) for name in genres}
    listed = [pl.when(pl.col(name)).then(pl.lit(name)) for name in genres if name not in _NO_GENRES]
    found = pl.DataFrame(flags).select(pl.concat_list(listed).list.drop_nulls()).to_series()
    dates = text["release date"].str.strip_chars().str.to_date("%d-%b-%Y", strict=False)
    unread = dates.is_null() & text["release date"].is_not_null()
    if unread.any():
        first = int(unread.arg_true()[0])
        findings.adopt(
            Repair(
                Fault.UNPARSABLE_TIME,
                path.name,
                "release date",
                int(unread.sum()),
                f"row {first + 1}: {text['release date'][first]!r}",
                "read as missing",
            )
        )
    table = pl.DataFrame(
        {
            ITEM_ID: cells.integers(cells.required(text["movie id"])),
            "title": text["movie title"].str.strip_chars(),
            "release_year": _release_year(text["movie title"]),
            "release_date": dates,
            "genres": found.set(found.list.len() == 0, None),
            "imdb_url": text["IMDb URL"],
        }
    )
    cells.check()
    _say_encoding(file, findings)
    return last_of_each(table, ITEM_ID, path, findings)


def users_100k(folder: Path, findings: Findings) -> pl.DataFrame:
    """``u.user``: ``user_id``, ``age`` in years, ``gender``, ``occupation``, ``zip_code`` as text."""
    names = ("user id", "age", "gender", "occupation", "zip code")
    path = folder / "u.user"
    text = read_all(TextFile(path, names, delimiter="|", header=False, encoding=utf8_or_latin1(path)), findings)
    cells = Cells(path)
    table = pl.DataFrame(
        {
            USER_ID: cells.integers(cells.required(text["user id"])),
            "age": cells.integers(text["age"]),
            "gender": text["gender"],
            "occupation": text["occupation"],
            "zip_code": text["zip code"],
        }
    )
    cells.check()
    return last_of_each(table, USER_ID, path, findings)


def users_1m(file: TextFile, findings: Findings) -> pl.DataFrame:
    """``users.dat``: ``user_id``, ``gender``, ``age_bracket`` and ``occupation`` as codes, ``zip_code`` as text."""
    text = read_all(file, findings)
    cells = Cells(file.path)
    table = pl.DataFrame(
        {
            USER_ID: cells.integers(cells.required(text["UserID"])),
            "gender": text["Gender"],
            "age_bracket": cells.integers(text["Age"]),
            "occupation": cells.integers(text["Occupation"]),
            "zip_code": text["Zip-code"],
        }
    )
    cells.check()
    return last_of_each(table, USER_ID, file.path, findings)


def _genres_100k(path: Path, findings: Findings) -> list[str]:
    """The names of the flags, in the order of their numbers."""
    file = TextFile(path, ("name", "number"), delimiter="|", header=False)
    cells = Cells(path)
    table = read_all(file, findings)
    numbers = cells.integers(cells.required(table["number"]))
    cells.check()
    names = table.with_columns(numbers).sort("number")["name"]
    if names.null_count() or names.n_unique() != len(names):
        raise DataError(f"{path}: genres without a name, or named twice: {names.to_list()}", hint="copy the file again")
    return names.to_list()


def _listed(genre: pl.Expr) -> pl.Expr:
    name = genre.str.strip_chars()
    return name.filter((name != "") & ~name.is_in(list(_NO_GENRES)))


def _release_year(titles: pl.Series) -> pl.Series:
    return titles.str.extract(_YEAR).cast(pl.Int64)


def _say_encoding(file: TextFile, findings: Findings) -> None:
    if file.encoding != "utf8":
        findings.note(f"{file.path.name} was read as Latin-1, since it is not UTF-8")
