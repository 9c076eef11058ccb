"""MovieLens folders as downloaded: which files a layout has, and how their columns are called here.

Ratings are events of the type ``rate``, tags are events of the type ``tag``; only ratings are to be predicted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from palate.data.foreign import movies
from palate.data.foreign.contents import Contents
from palate.data.foreign.text import Progress, TextFile, batches, header, utf8_or_latin1
from palate.data.report import Fault, Findings, Repair
from palate.data.schema import Column, Kind, Role, Schema
from palate.errors import MissingColumnError, MissingTableError, TornFileError
from palate.words import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID

RATE: Final = "rate"
TAG: Final = "tag"
_RATING: Final = "rating"
_MARKS: Final = ("u.data", "ratings.dat", "ratings.csv")
"""Files that only MovieLens folders have."""


@dataclass(frozen=True)
class Layout:
    """The files of a MovieLens folder."""

    name: str
    ratings: str
    movies: str
    members: str | None = None
    tags: str | None = None
    also: tuple[str, ...] = ()
    """Other files that are needed."""
    optional: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """Files without which there is nothing to convert."""
        return (self.ratings, self.movies, *((self.members,) if self.members else ()), *self.also)


_100K: Final = Layout("MovieLens 100K", "u.data", "u.item", "u.user", also=("u.genre",))
_1M: Final = Layout("MovieLens 1M", "ratings.dat", "movies.dat", "users.dat")
_10M: Final = Layout("MovieLens 10M", "ratings.dat", "movies.dat", tags="tags.dat", also=("tags.dat",))
_CSV: Final = Layout(
    "MovieLens CSV (latest, 20M, 25M, 32M)",
    "ratings.csv",
    "movies.csv",
    tags="tags.csv",
    optional=("tags.csv", "links.csv"),
)

_CSV_HEADERS: Final = {
    "ratings.csv": ("userId", "movieId", "rating", "timestamp"),
    "movies.csv": ("movieId", "title", "genres"),
    "tags.csv": ("userId", "movieId", "tag", "timestamp"),
    "links.csv": ("movieId", "imdbId", "tmdbId"),
}


def is_movielens(names: tuple[str, ...]) -> bool:
    """Whether a folder with these files is one of MovieLens."""
    return any(name in names for name in _MARKS)


def layout_of(names: tuple[str, ...], where: Path) -> Layout:
    """The layout of a folder; `MissingTableError` where a file that it needs is missing."""
    if "u.data" in names:
        layout = _100K
    elif "ratings.csv" in names:
        layout = _CSV
    elif "ratings.dat" not in names:
        raise MissingTableError(
            f"{where}: no ratings of MovieLens; it holds {', '.join(names[:8]) or 'no files'}",
            hint=f"one of {', '.join(_MARKS)} must lie there",
        )
    elif "users.dat" not in names and "tags.dat" not in names:
        raise MissingTableError(
            f"{where}: ratings.dat, but neither users.dat nor tags.dat",
            hint="MovieLens 1M has ratings.dat, movies.dat and users.dat; 10M has ratings.dat, movies.dat and tags.dat",
        )
    else:
        layout = _1M if "users.dat" in names else _10M
    missing = [name for name in layout.needed if name not in names]
    if missing:
        raise MissingTableError(
            f"{where}: {layout.name} without {' and '.join(missing)}; it holds {', '.join(names[:8])}",
            hint=f"this layout has {', '.join(layout.needed)}; copy all of them",
        )
    return layout


def used_files(names: tuple[str, ...], where: Path) -> tuple[str, ...]:
    """The files that are read; errors as in `layout_of`."""
    layout = layout_of(names, where)
    return (*layout.needed, *(name for name in layout.optional if name in names))


def read_movielens(
    folder: Path, names: tuple[str, ...], where: Path, findings: Findings, progress: Progress | None
) -> Contents:
    """The contents of a folder with these files; ``where`` is what messages about missing files call it."""
    layout = layout_of(names, where)
    used = used_files(names, where)
    unused = [name for name in names if name not in used]
    if unused:
        more = f" and {len(unused) - 12} more" if len(unused) > 12 else ""
        findings.note(f"not read: {', '.join(unused[:12])}{more}")
    users: pl.DataFrame | None
    if layout is _100K:
        items = movies.items_100k(folder, findings)
        users = movies.users_100k(folder, findings)
    else:
        items = movies.items(_text_file(folder / layout.movies), findings)
        users = movies.users_1m(_text_file(folder / layout.members), findings) if layout.members else None
    if "links.csv" in used:
        items = movies.with_links(items, _text_file(folder / "links.csv"), findings)
    tags = layout.tags if layout.tags in used else None
    if tags is not None:
        findings.note(
            "tags are compared without regard to case, width and spacing; they are input, not to be predicted"
        )
    return Contents(
        format=layout.name,
        events=_events(folder, layout.ratings, tags, findings, progress),
        items=items,
        users=users,
        schema=lambda: _schema(items, users, with_tags=tags is not None),
    )


def _text_file(path: Path) -> TextFile:
    if path.suffix == ".csv":
        expected = _CSV_HEADERS[path.name]
        found = header(path, ",")
        if found != expected:
            raise MissingColumnError(
                f"{path}: the header is {','.join(found)[:120]} instead of {','.join(expected)}",
                hint="MovieLens files are read as downloaded",
            )
        return TextFile(path, expected, quoted=path.name != "ratings.csv")
    if path.name == "u.data":
        return TextFile(path, _CSV_HEADERS["ratings.csv"], delimiter="\t", header=False)
    columns = {
        "ratings.dat": _CSV_HEADERS["ratings.csv"],
        "movies.dat": _CSV_HEADERS["movies.csv"],
        "tags.dat": _CSV_HEADERS["tags.csv"],
        "users.dat": movies.USERS_1M,
    }[path.name]
    encoding = "utf8" if path.name == "ratings.dat" else utf8_or_latin1(path)
    return TextFile(path, columns, delimiter="::", header=False, encoding=encoding)


def _events(
    folder: Path, ratings: str, tags: str | None, findings: Findings, progress: Progress | None
) -> Iterator[pl.DataFrame]:
    with_tags = tags is not None
    yield from _rows(_text_file(folder / ratings), RATE, findings, progress, with_tags=with_tags)
    if tags is not None:
        yield from _rows(_text_file(folder / tags), TAG, findings, progress, with_tags=True)


def _rows(
    file: TextFile, event_type: str, findings: Findings, progress: Progress | None, *, with_tags: bool
) -> Iterator[pl.DataFrame]:
    """Events of one file; rows in which a number can't be read are left out and recorded."""
    rating = pl.col("rating").str.strip_chars().cast(pl.Float64, strict=False) if event_type == RATE else pl.lit(None)
    tag = normalised("tag") if event_type == TAG else pl.lit(None)
    columns = {
        USER_ID: _integer("userId"),
        ITEM_ID: _integer("movieId"),
        TIMESTAMP: _integer("timestamp"),
        EVENT_TYPE: pl.lit(event_type),
        _RATING: rating.cast(pl.Float64),
        **({TAG: tag.cast(pl.String)} if with_tags else {}),
    }
    needed = [USER_ID, ITEM_ID, TIMESTAMP, *([_RATING] if event_type == RATE else [])]
    kept = dropped = 0
    example = ""
    for text in batches(file, findings, progress):
        frame = text.select(**columns)
        readable = frame.select(pl.all_horizontal(pl.col(needed).is_not_null())).to_series()
        if not readable.all():
            if not dropped:
                first = int((~readable).arg_true()[0])
                cells = ["" if cell is None else cell for cell in text.row(first)]
                example = f"row {kept + first + 1}: {file.delimiter.join(cells)[:60]!r}"
            dropped += int((~readable).sum())
            frame = frame.filter(readable)
        kept += frame.height
        if frame.height:
            yield frame
    if dropped > kept:
        raise TornFileError(
            f"{file.path}: {dropped:,} of {dropped + kept:,} rows hold no numbers where they should, e.g. {example}",
            hint=f"the columns are {', '.join(file.columns)}, without quotes",
        )
    if dropped:
        findings.adopt(Repair(Fault.MALFORMED_ROW, file.path.name, None, dropped, f"{example} (no number)", "dropped"))


def normalised(column: str) -> pl.Expr:
    """Free text as a category: compatible characters unified (NFKC), lower case, single spaces; empty is null."""
    text = pl.col(column).str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(text != "").then(text)


def _integer(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars().cast(pl.Int64, strict=False)


def _schema(items: pl.DataFrame, users: pl.DataFrame | None, *, with_tags: bool) -> Schema:
    events = {_RATING: Column(role=Role.POST_ACTION, kind=Kind.NUMERIC)}
    if with_tags:
        events[TAG] = Column(role=Role.POST_ACTION, kind=Kind.CATEGORICAL)
    return Schema(
        events=events,
        items=movies.item_columns(items),
        users={} if users is None else movies.user_columns(users),
        timestamp_unit="s",
        target_event_types=(RATE,),
    )
