"""Which format it is, archives, and what is left when something goes wrong."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.data.foreign import samples

from palate.data import Dataset, prepare
from palate.data.foreign import ConvertConfig, Format, convert
from palate.errors import ConfigError, DataError, MissingTableError, PalateError, TornFileError

MAKERS: dict[str, Callable[..., Path]] = {
    "MovieLens 100K": samples.movielens_100k,
    "MovieLens 1M": samples.movielens_1m,
    "MovieLens 10M": samples.movielens_10m,
    "MovieLens CSV (latest, 20M, 25M, 32M)": samples.movielens_csv,
    "Amazon Personalize": samples.personalize,
    "RecBole atomic files": samples.recbole,
}


def zipped(folder: Path, path: Path, inside: str = "data") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}/{file.name}")
        archive.writestr("__MACOSX/data/._ratings.csv", b"\0\1")
    return path


@pytest.mark.parametrize("name", MAKERS)
def test_an_archive_says_the_same_as_its_folder(tmp_path: Path, name: str) -> None:
    folder = MAKERS[name](tmp_path / "data")
    plain = convert(folder, tmp_path / "plain")
    packed = convert(zipped(folder, tmp_path / "data.zip"), tmp_path / "packed")
    assert plain.format == packed.format == name
    for file in ("events", "items", "users"):
        if (tmp_path / "plain" / f"{file}.parquet").exists():
            assert pl.read_parquet(tmp_path / "plain" / f"{file}.parquet").equals(
                pl.read_parquet(tmp_path / "packed" / f"{file}.parquet")
            )
    schemas = [(tmp_path / out / "schema.yaml").read_text() for out in ("plain", "packed")]
    assert schemas[0] == schemas[1]
    Dataset.from_folder(tmp_path / "packed", strict=True)


def test_equal_sources_make_equal_files(tmp_path: Path) -> None:
    folder = samples.personalize(tmp_path / "data")
    for out in ("first", "second"):
        convert(folder, tmp_path / out)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../ratings.csv", "userId,movieId,rating,timestamp\n1,1,1,1\n")
    with pytest.raises(DataError, match=r"'../ratings.csv' would lie outside"):
        convert(tmp_path / "bad.zip", tmp_path / "out")


def test_two_files_of_one_name_in_an_archive_are_refused(tmp_path: Path) -> None:
    folder = samples.movielens_csv(tmp_path / "data")
    path = zipped(folder, tmp_path / "data.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/ratings.csv", "userId,movieId,rating,timestamp\n1,1,1,1\n")
    with pytest.raises(DataError, match=r"several members are called ratings.csv: data/ratings.csv, other/ratings.csv"):
        convert(path, tmp_path / "out")


def test_a_torn_archive_is_named(tmp_path: Path) -> None:
    path = zipped(samples.movielens_csv(tmp_path / "data"), tmp_path / "data.zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TornFileError, match=r"data.zip: not a whole zip archive: .*download it again"):
        convert(path, tmp_path / "out")
    start = whole.index(b"data/ratings.csv") + len("data/ratings.csv")
    path.write_bytes(whole[: start + 5] + b"\xff\xff\xff\xff\xff" + whole[start + 10 :])
    with pytest.raises(TornFileError, match=r"data.zip: the member ratings.csv is damaged"):
        convert(path, tmp_path / "out")


def test_an_archive_packed_in_a_way_that_is_not_read_says_so(tmp_path: Path) -> None:
    """Windows packs archives above 2 GiB so."""
    path = zipped(samples.movielens_csv(tmp_path / "data"), tmp_path / "data.zip")
    deflate64 = b"\x09\x00"
    content = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.find(sign)
        while start >= 0:
            content[start + place : start + place + 2] = deflate64
            start = content.find(sign, start + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data.zip: .*unpack the archive first"):
        convert(path, tmp_path / "out")


def test_errors_in_an_archive_name_the_archive(tmp_path: Path) -> None:
    folder = samples.movielens_csv(tmp_path / "data", movies__csv="movieId,title,genres\nten,Ten,Drama\n")
    with pytest.raises(DataError, match=r"data.zip/movies.csv: column movieId") as found:
        convert(zipped(folder, tmp_path / "data.zip"), tmp_path / "out")
    assert str(found.value).startswith(str(tmp_path / "data.zip"))


def nothing(folder: Path) -> Path:
    return samples.write(folder, notes__txt="hello", photo__jpg=b"\xff\xd8")


def both(folder: Path) -> Path:
    return samples.recbole(samples.personalize(folder))


def prepared(folder: Path) -> Path:
    source = folder.parent / "source"
    source.mkdir()
    (source / "events.csv").write_text("user_id,item_id,timestamp\n1,1,1\n1,2,2\n")
    return prepare(source, folder).folder


def ours(folder: Path) -> Path:
    return samples.write(folder, events__csv="user_id,item_id,timestamp\n1,1,1\n")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            nothing,
            ("no format was recognised; it holds notes.txt, photo.jpg", "movielens: u.data", "recbole: NAME.inter"),
        ),
        (both, ("files of several formats: personalize, recbole", "--format personalize")),
        (ours, ("looks like a data folder of Palate already", "--to personalize")),
        (prepared, ("this is a prepared log", "--to writes the data folder")),
    ],
)
def test_an_unclear_format_lists_what_there_is(
    tmp_path: Path, make: Callable[[Path], Path], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as found:
        convert(make(tmp_path / "data"), tmp_path / "out")
    assert all(word in str(found.value) for word in words), str(found.value)


def test_a_stated_format_decides(tmp_path: Path) -> None:
    found = convert(both(tmp_path / "data"), tmp_path / "out", ConvertConfig(format=Format.RECBOLE))
    assert found.format == "RecBole atomic files"
    with pytest.raises(MissingTableError, match="no ratings of MovieLens"):
        convert(tmp_path / "data", tmp_path / "other", ConvertConfig(format=Format.MOVIELENS))


@pytest.mark.parametrize("name", ["nowhere", "data/notes.txt"])
def test_a_source_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    nothing(tmp_path / "data")
    with pytest.raises(MissingTableError, match=name):
        convert(tmp_path / name, tmp_path / "out")


def test_a_folder_that_holds_something_is_not_written_over(tmp_path: Path) -> None:
    source = samples.recbole(tmp_path / "data")
    samples.write(tmp_path / "out", precious__txt="mine")
    with pytest.raises(ConfigError, match="out: already exists and is not empty"):
        convert(source, tmp_path / "out")
    assert (tmp_path / "out" / "precious.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    convert(source, tmp_path / "empty")


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    source = samples.recbole(tmp_path / "data", tiny__user="user_id:token\tage:float\nu1\told\n")
    with pytest.raises(PalateError):
        convert(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
