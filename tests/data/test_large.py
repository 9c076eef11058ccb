"""A log in pieces gives what the log in memory gives: otherwise a larger log would silently be another log."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from palate.data import (
    Dataset,
    PrepareConfig,
    PreparedLog,
    Schema,
    SplitRule,
    available_from,
    divided_parts,
    prepare,
    split,
    split_parts,
)
from palate.data.large.split import select
from palate.errors import (
    DamagedRunError,
    DataError,
    MissingTableError,
    PalateError,
    RunExistsError,
    TornFileError,
    UnfinishedRunError,
    UnknownMemberError,
)

START = 1_600_000_000
ids = st.one_of(st.integers(1, 9).map(str), st.sampled_from(["1", "2", "2", "", "NULL"]))
texts = st.one_of(ids, st.sampled_from(["a", "b", "007"]))
times = st.one_of(
    st.integers(START, START + 30).map(str),
    st.integers(START, START + 3).map(lambda second: str(second * 1000)),
    st.sampled_from(["", "soon", "2024-05-01", "2024-05-01T20:15:00Z", "99999999999", "0", "1e9", "inf"]),
)
positions = st.one_of(st.integers(0, 5).map(str), st.sampled_from(["", "x", "1.5"]))
seconds = st.one_of(st.integers(-2, 90).map(str), st.sampled_from(["", "1.5", "broken", "NAN", "N/A"]))
stars = st.one_of(st.integers(1, 5).map(str), st.sampled_from(["3.0", "", "4.5"]))
kinds = st.sampled_from(["play", "play", "trailer", "heartbeat", ""])
genres = st.sampled_from(["a|b", "b", "", " | ", "c|a"])


@dataclass(frozen=True)
class Log:
    """Tables as text, and the form of the files."""

    events: dict[str, list[str]]
    items: dict[str, list[str]] | None
    users: dict[str, list[str]] | None
    form: str
    schema: str | None

    def write(self, folder: Path) -> None:
        for name, table in (("events", self.events), ("items", self.items), ("users", self.users)):
            if table is not None:
                form = self.form if name == "events" else "csv"
                _write(pl.DataFrame(table, schema=dict.fromkeys(table, pl.String)), folder / name, form)
        if self.schema is not None:
            (folder / "schema.yaml").write_text(self.schema)


def _write(table: pl.DataFrame, path: Path, form: str) -> None:
    if form == "parquet":
        table.write_parquet(path.with_suffix(".parquet"))
    elif form == "typed parquet":
        numbers = [name for name in table.columns if name not in ("event_type", "genres", "user_id")]
        table.with_columns(pl.col(numbers).cast(pl.Float64, strict=False)).write_parquet(path.with_suffix(".parquet"))
    else:
        text = table.write_csv().replace('""', "").encode()
        if form == "csv":
            path.with_suffix(".csv").write_bytes(text + b"1,2\n" * 2)
        else:
            path.with_suffix(".csv.gz").write_bytes(gzip.compress(text))


@st.composite
def logs(draw: st.DrawFn) -> Log:
    size = draw(st.integers(1, 40))

    def column(values: st.SearchStrategy[str], clean: st.SearchStrategy[str]) -> list[str]:
        return draw(st.lists(values if draw(st.booleans()) else clean, min_size=size, max_size=size))

    number = st.integers(1, 9).map(str)
    events = {
        "user_id": column(draw(st.sampled_from([ids, texts])), number),
        "item_id": column(draw(st.sampled_from([ids, texts])), number),
    }
    if draw(st.integers(0, 3)):
        events["timestamp"] = column(times, st.integers(START, START + 20).map(str))
    else:
        events["position"] = column(positions, st.integers(0, 9).map(str))
    optional: dict[str, tuple[st.SearchStrategy[str], st.SearchStrategy[str]]] = {
        "event_type": (kinds, st.sampled_from(["play", "trailer"])),
        "watched": (seconds, st.integers(0, 90).map(str)),
        "rating": (stars, st.integers(1, 5).map(str)),
        "genres": (genres, genres),
        "event_id": (st.integers(1, 60).map(str), st.sampled_from(["a", "b", "c", ""])),
        "order": (positions, st.integers(0, 3).map(str)),
        "session_id": (ids, number),
        "impressions": (genres, st.sampled_from(["1|2", "3"])),
    }
    for name, (dirty, clean) in optional.items():
        if draw(st.booleans()):
            events[name] = column(dirty, clean)
    if draw(st.booleans()):
        for name, values in events.items():
            events[name] = [*values, *values[:3]]
    items = users = None
    if draw(st.booleans()):
        known = [str(number) for number in range(1, draw(st.integers(2, 9)))]
        launches = draw(
            st.lists(st.sampled_from(["2020-09-13", "", "2021-01-01"]), min_size=len(known), max_size=len(known))
        )
        items = {"item_id": known, "launch_time": launches, "genre": ["x"] * len(known)}
    if draw(st.booleans()):
        users = {"user_id": ["1", "2", "2", "3"], "country": ["at", "de", "at", "ch"]}
    schema = None
    if "event_type" in events and draw(st.booleans()):
        schema = draw(
            st.sampled_from(
                [
                    "dropped_event_types: [heartbeat, skip]\n",
                    "least_values: {watched: 20}\n",
                    "one_target_a_run: true\n",
                    "duplicate_events: keep\n",
                    "target_event_types: null\n",
                ]
            )
        )
    if schema is None and "watched" in events and draw(st.booleans()):
        schema = f"least_values: {{watched: {draw(st.sampled_from([5, 1000]))}}}\n"
    form = draw(st.sampled_from(["csv", "csv.gz", "parquet", "typed parquet"]))
    return Log(events, items, users, form, schema)


configs = st.builds(
    PrepareConfig,
    workers=st.integers(1, 2),
    part_rows=st.just(7),
    piece_rows=st.integers(1, 50),
    partitions=st.integers(1, 6),
)


def outcome(read: Callable[[], Any]) -> tuple[object, object]:
    """What reading gives, or the error."""
    try:
        return read(), None
    except PalateError as error:
        return None, (type(error), str(error))


def whole(prepared: PreparedLog) -> pl.DataFrame:
    """The events of all parts."""
    return pl.concat([part.events for part in prepared.parts()])


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_same(prepared: PreparedLog, dataset: Dataset) -> None:
    """The prepared log holds what the dataset holds."""
    assert prepared.report == dataset.report
    assert prepared.schema == dataset.schema
    assert prepared.has_time == dataset.has_time
    assert prepared.events == dataset.events.height
    assert_frame_equal(whole(prepared), dataset.events)
    for mine, theirs in ((prepared.items, dataset.items), (prepared.users, dataset.users)):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert_frame_equal(mine, theirs)


def check(log: Log, first: PrepareConfig, second: PrepareConfig, strict: bool) -> None:
    """Two ways of cutting a log into pieces give what memory gives, in the same files."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        folder.mkdir()
        log.write(folder)
        dataset, error = outcome(lambda: Dataset.from_folder(folder, strict=strict))
        one, one_error = outcome(lambda: prepare(folder, Path(place) / "one", first, strict=strict))
        two, two_error = outcome(lambda: prepare(folder, Path(place) / "two", second, strict=strict))
        assert one_error == error
        assert two_error == error
        if isinstance(dataset, Dataset):
            assert isinstance(one, PreparedLog)
            assert isinstance(two, PreparedLog)
            assert_same(one, dataset)
            assert content(one.folder) == content(two.folder)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs(), first=configs, second=configs, strict=st.booleans())
def test_a_log_in_pieces_is_the_log_in_memory(
    log: Log, first: PrepareConfig, second: PrepareConfig, strict: bool
) -> None:
    check(log, first, second, strict)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs(), first=configs, second=configs, strict=st.sampled_from([False, False, False, True]))
def test_many_logs_in_pieces_are_the_logs_in_memory(
    log: Log, first: PrepareConfig, second: PrepareConfig, strict: bool
) -> None:
    check(log, first, second, strict)


def service(events: int = 3000, members: int = 60, seed: int = 0) -> pl.DataFrame:
    """A log with distinct times."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": pl.Series(rng.integers(0, members, events)).cast(pl.String),
            "item_id": rng.integers(0, 40, events),
            "timestamp": START + rng.permutation(events * 5)[:events],
            "event_type": rng.choice(["play", "trailer"], events),
            "watched": np.round(rng.random(events) * 100, 1),
            "event_id": rng.permutation(events),
        }
    )


def written(log: pl.DataFrame, folder: Path, items: pl.DataFrame | None = None) -> Path:
    folder.mkdir()
    log.write_parquet(folder / "events.parquet")
    if items is not None:
        items.write_parquet(folder / "items.parquet")
    return folder


SMALL = PrepareConfig(piece_rows=700, partitions=4, part_rows=500, workers=2)


def test_equal_times_of_a_source_sorted_by_item_follow_the_hash_in_pieces_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    log = pl.DataFrame(
        {
            "user_id": rng.integers(0, 20, 600),
            "item_id": rng.integers(0, 30, 600),
            "timestamp": START + rng.integers(0, 5, 600),
        }
    ).sort("item_id", maintain_order=True)
    folder = written(log, tmp_path / "data")
    prepared = prepare(folder, tmp_path / "out", PrepareConfig(piece_rows=37, partitions=3))
    assert "hash" in prepared.report.order_rule
    assert_same(prepared, Dataset.from_folder(folder))


def test_columns_are_judged_by_the_same_rows(tmp_path: Path) -> None:
    log = service(450_000, 500).with_columns(
        pl.when(pl.int_range(pl.len()) % 7 == 3).then(None).otherwise(pl.col("item_id")).alias("item_id"),
        (pl.int_range(pl.len()) // 3).cast(pl.String).alias("device"),
    )
    folder = written(log, tmp_path / "data")
    prepared = prepare(folder, tmp_path / "out", PrepareConfig(piece_rows=100_000, partitions=3))
    assert_same(prepared, Dataset.from_folder(folder))


def test_a_shuffled_source_gives_the_same_files(tmp_path: Path) -> None:
    log = service()
    first = prepare(written(log, tmp_path / "a"), tmp_path / "a-out", SMALL)
    second = prepare(written(log.sample(fraction=1, shuffle=True, seed=1), tmp_path / "b"), tmp_path / "b-out", SMALL)
    assert content(first.folder) == content(second.folder)


def test_duplicated_rows_give_the_same_events_and_are_counted(tmp_path: Path) -> None:
    log = service()
    first = prepare(written(log, tmp_path / "a"), tmp_path / "a-out", SMALL)
    doubled = pl.concat([log, log.sample(500, seed=3)])
    second = prepare(written(doubled, tmp_path / "b"), tmp_path / "b-out", SMALL)
    assert [repair.rows for repair in second.report.repairs] == [500]
    changed = {"report.json", "manifest.json"}
    parts = [
        {name: text for name, text in content(each.folder).items() if name not in changed} for each in (first, second)
    ]
    assert parts[0] == parts[1]


@pytest.mark.parametrize("form", ["events.parquet", "events.csv.gz"])
def test_a_torn_file_is_a_named_error(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    log = service()
    if form.endswith("parquet"):
        log.write_parquet(folder / form)
    else:
        (folder / form).write_bytes(gzip.compress(log.write_csv().encode()))
    torn = (folder / form).read_bytes()[:-2000]
    (folder / form).write_bytes(torn)
    with pytest.raises(TornFileError, match=form):
        prepare(folder, tmp_path / "out", SMALL)


class Stopped(Exception):  # noqa: N818
    """The power fails."""


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_preparation_that_was_cut_off_goes_on_to_the_same_files(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    _write(service(1500), folder / "events", form)
    expected = content(prepare(folder, tmp_path / "whole", SMALL).folder)
    stops = 0
    steps: list[str] = []

    def stop(stage: str, done: int, total: int) -> None:
        steps.append(stage)
        if len(steps) > stops:
            raise Stopped

    for _ in range(100):
        steps.clear()
        try:
            prepared = prepare(folder, tmp_path / "out", SMALL, resume=True, progress=stop)
            break
        except Stopped:
            stops += 3
            with pytest.raises(UnfinishedRunError, match=r"cut off.*--resume"):
                prepare(folder, tmp_path / "out", SMALL)
    assert stops > 12
    assert content(prepared.folder) == expected
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost(tmp_path: Path) -> None:
    folder = written(service(40_000, 500), tmp_path / "data")
    config = PrepareConfig(piece_rows=2000, partitions=20, part_rows=3000)
    expected = content(prepare(folder, tmp_path / "whole", config).folder)
    code = (
        "import sys; from palate.data import prepare, PrepareConfig; print(flush=True); "
        "prepare(*sys.argv[1:3], PrepareConfig.model_validate_json(sys.argv[3]), resume=True)"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "out"), config.model_dump_json()]
    journal = tmp_path / ".out.preparing" / "journal.jsonl"
    rng = np.random.default_rng(0)
    kills = lines = 0
    while True:
        lines += int(rng.integers(1, 16))
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            while child.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= lines):
                time.sleep(0.001)
            time.sleep(rng.random() * 0.02)
            child.kill()
        if child.returncode == 0:
            break
        kills += 1
    assert kills > 2
    assert content(tmp_path / "out") == expected


def test_a_source_that_changed_is_no_longer_the_one_that_was_begun(tmp_path: Path) -> None:
    folder = written(service(), tmp_path / "data")

    def stop(stage: str, done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        prepare(folder, tmp_path / "out", SMALL, progress=stop)
    service(seed=2).write_parquet(folder / "events.parquet")
    with pytest.raises(DataError, match="have changed"):
        prepare(folder, tmp_path / "out", SMALL, resume=True)


def test_some_members_see_each_item_when_the_whole_log_does(tmp_path: Path) -> None:
    log = service(400, 20)
    described = pl.DataFrame(
        {"item_id": [1, 2, 99], "launch_time": ["2020-01-01", None, "2020-01-01"], "genre": ["a", "b", "c"]}
    )
    for name, items in (("with", described), ("without", None)):
        folder = written(log, tmp_path / name, items)
        prepared = prepare(folder, tmp_path / f"{name}-out", SMALL.model_copy(update={"part_rows": 60}))
        dataset = Dataset.from_folder(folder)
        some = prepared.read(["3", "17", "5"])
        assert_frame_equal(some.events, dataset.events.filter(pl.col("user_id").is_in(["3", "17", "5"])))
        assert_frame_equal(available_from(some), available_from(dataset))
    with pytest.raises(UnknownMemberError, match="nobody"):
        prepared.read(["3", "nobody"])


def test_members_of_another_type_of_id_are_unknown(tmp_path: Path) -> None:
    log = service(300, 10).with_columns(pl.col("user_id").rank("dense").cast(pl.Int64))
    prepared = prepare(written(log, tmp_path / "data"), tmp_path / "out", SMALL)
    assert prepared.read([1, 2]).events["user_id"].n_unique() == 2
    with pytest.raises(UnknownMemberError, match=r"no event of member u17.*are integers"):
        prepared.read(["u17"])


def test_parts_hold_whole_members_and_say_where_they_begin(tmp_path: Path) -> None:
    prepared = prepare(written(service(), tmp_path / "data"), tmp_path / "out", SMALL)
    assert len(prepared.log_parts) > 3
    row, last = 0, ""
    for part, dataset in zip(prepared.log_parts, prepared.parts(), strict=True):
        users = dataset.events["user_id"]
        assert (part.first_row, part.rows, part.members) == (row, len(users), users.n_unique())
        assert last < users[0] == part.first_member
        row, last = row + part.rows, users[-1]
        assert last == part.last_member
    assert prepared.members == 60


def test_folders_that_are_taken_damaged_or_no_log_are_named(tmp_path: Path) -> None:
    folder = written(service(), tmp_path / "data")
    prepared = prepare(folder, tmp_path / "out", SMALL)
    with pytest.raises(RunExistsError):
        prepare(folder, tmp_path / "out", SMALL)
    with pytest.raises(MissingTableError, match="no prepared log"):
        PreparedLog.open(folder)
    PreparedLog.open(tmp_path / "out", verify=True)
    part = prepared.folder / prepared.log_parts[0].file
    damaged = bytearray(part.read_bytes())
    damaged[100] ^= 1
    part.write_bytes(damaged)
    with pytest.raises(DamagedRunError, match="part-00000"):
        PreparedLog.open(tmp_path / "out", verify=True)
    part.unlink()
    with pytest.raises(DamagedRunError, match="is missing"):
        PreparedLog.open(tmp_path / "out")


def test_a_folder_that_came_in_between_costs_no_work(tmp_path: Path) -> None:
    folder = written(service(), tmp_path / "data")

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "sorting the events":
            raise Stopped

    with pytest.raises(Stopped):
        prepare(folder, tmp_path / "out", SMALL, progress=stop)
    (tmp_path / "out").mkdir()
    with pytest.raises(RunExistsError):
        prepare(folder, tmp_path / "out", SMALL, resume=True)
    (tmp_path / "out").rmdir()
    stages: list[str] = []
    prepare(folder, tmp_path / "out", SMALL, resume=True, progress=lambda stage, done, total: stages.append(stage))
    assert "looking at the events" not in stages, "what was done is not done again"


def test_a_given_schema_is_used(tmp_path: Path) -> None:
    folder = written(service(), tmp_path / "data")
    schema = Schema(dropped_event_types=("trailer",))
    assert_same(prepare(folder, tmp_path / "out", SMALL, schema=schema), Dataset.from_folder(folder, schema=schema))


def test_the_split_of_a_log_in_parts_is_that_of_the_log(tmp_path: Path) -> None:
    folder = written(service().with_columns(pl.col("timestamp") // 50 * 50), tmp_path / "data")
    prepared, dataset = prepare(folder, tmp_path / "out", SMALL), Dataset.from_folder(folder)
    for rule in (
        SplitRule(),
        SplitRule(train_share=0.5, validation_share=0.5),
        SplitRule(kind="leave_one_out"),
        SplitRule(kind="none"),
    ):
        expected, divided = split(dataset, rule), split_parts(prepared, rule)
        assert divided.cuts == expected.cuts
        assert divided.members_without_test == expected.members_without_test
        parts = [part.part for _, part in divided_parts(prepared, divided)]
        assert np.concatenate(parts).tolist() == expected.part.tolist()


def test_a_split_that_is_impossible_for_the_log_is_so_in_parts(tmp_path: Path) -> None:
    folder = written(service().with_columns(pl.lit(START).alias("timestamp")), tmp_path / "data")
    prepared = prepare(folder, tmp_path / "out", SMALL)
    assert outcome(lambda: split_parts(prepared)) == outcome(lambda: split(Dataset.from_folder(folder)))


@given(
    values=st.lists(st.integers(-(2**50), 2**50), min_size=1, max_size=30),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_ranks_are_found_without_sorting(values: list[int], shares: list[float]) -> None:
    pieces = [np.array(values[first : first + 7]) for first in range(0, len(values), 7)]
    ranks = [round(share * len(values)) for share in shares]
    ordered = [*sorted(values), max(values) + 1]
    found = select(lambda: pieces, ranks, min(values), max(values), len(values))
    assert [value for value, _ in found] == [ordered[rank] for rank in ranks]
    assert [below for _, below in found] == [sum(each < ordered[rank] for each in values) for rank in ranks]
