"""What is written: the same bytes for the same settings, readable without repair, the truth apart."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from palate.data import Dataset, Part, queries, split
from palate.errors import ConfigError
from palate.simulate import Oracle, Simulation, preset, simulate, simulate_to
from palate.simulate import block as block_module

WRITE = "import sys; from palate.simulate import preset, simulate; simulate(preset('tiny')).write(sys.argv[1])"


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_equal_settings_give_equal_bytes_on_any_number_of_threads(service: Simulation, tmp_path: Path) -> None:
    here = hashes(service.write(tmp_path / "here"))
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    environment = {**os.environ, **single, "POLARS_MAX_THREADS": "1"}
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "there")], env=environment, check=True)
    assert hashes(tmp_path / "there") == here


def test_equal_settings_give_equal_bytes_on_any_number_of_processes(tmp_path: Path) -> None:
    """The blocks of members are the same whoever makes them; so many members are two blocks."""
    config = preset("tiny", members=8_300, days=3)
    service = block_module.make_service(config)
    assert len(block_module.blocks(config, len(service.catalogue.first))) > 1
    simulate_to(config, tmp_path / "one", processes=1)
    simulate_to(config, tmp_path / "two", processes=2)
    simulation = simulate(config, processes=1)
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one") == hashes(simulation.write(tmp_path / "memory"))
    # Rows of the tables of truth refer to each other across blocks.
    queries = simulation.truth.plays.tail(50)
    assert (Oracle.read(tmp_path / "two").scores(queries) == simulation.oracle().scores(queries)).all()


def test_another_seed_gives_another_service(service: Simulation) -> None:
    other = simulate(preset("tiny", seed=1))
    assert not other.events.equals(service.events)
    assert not other.items["title"].equals(service.items["title"])
    both = service.events.join(other.events, on=["user_id", "item_id", "timestamp"])
    assert both.height < 5


def test_the_data_load_without_any_repair(service: Simulation, tmp_path: Path) -> None:
    dataset = Dataset.from_folder(service.write(tmp_path / "service"), strict=True)
    assert dataset.events.height == service.events.height
    assert dataset.schema.target_event_types == ("play",)
    assert dataset.schema.seen_policy("play") == "allow"
    assert not dataset.schema.one_target_a_run
    assert dataset.items is not None
    assert dataset.items.height == service.config.items


def test_the_oracles_answer_for_every_query(service: Simulation) -> None:
    """What evaluation asks are plays of the truth, also where the tables come without a file."""
    dataset = Dataset.from_frames(service.events, service.items, service.users, schema=service.schema)
    asked = queries(dataset, split(dataset), Part.TEST)
    assert service.oracle().scores(asked).shape == (asked.height, service.config.items)


def test_the_schema_says_of_seen_items_what_would_be_inferred(service: Simulation) -> None:
    schema = service.schema.model_copy(update={"seen_items": {}})
    dataset = Dataset.from_frames(service.events, service.items, service.users, schema=schema)
    assert dataset.schema.seen_policy("play") == service.schema.seen_policy("play")


def test_the_truth_is_not_among_the_tables(service: Simulation, tmp_path: Path) -> None:
    folder = service.write(tmp_path / "service")
    hidden = {
        "intent", "match", "relevance", "propensity", "liked", "trailer", "quality", "archetypes", "via", "member",
        "taste", "begins", "ends", "left", "type", "comfort", "place", "viewing",
    }  # fmt: skip
    for table in folder.glob("*.parquet"):
        assert hidden.isdisjoint(pl.read_parquet_schema(table)), table.name
    dataset = Dataset.from_folder(folder)
    for frame in (dataset.events, dataset.items, dataset.users):
        assert frame is not None
        assert hidden.isdisjoint(frame.columns)


def test_late_events_stand_behind_later_ones_and_are_read_in_order(service: Simulation) -> None:
    late = simulate(preset("tiny", late_share=0.1))
    assert late.truth.plays.equals(service.truth.plays), "truth is of what happened, not of when the log heard of it"
    assert not late.events["timestamp"].is_sorted()
    assert service.events["timestamp"].is_sorted()
    assert (late.events["timestamp"].diff().drop_nulls() < 0).mean() > 0.02
    read, plain = (
        Dataset.from_frames(one.events, one.items, one.users, schema=one.schema, strict=True) for one in (late, service)
    )
    assert read.events.equals(plain.events)


def test_duplicated_events_are_found_and_dropped(service: Simulation) -> None:
    twice = simulate(preset("tiny", duplicate_share=0.05))
    extra = twice.events.height - service.events.height
    assert 0.03 < extra / service.events.height < 0.07
    dataset = Dataset.from_frames(twice.events, twice.items, twice.users, schema=twice.schema)
    assert sum(repair.rows for repair in dataset.report.repairs) == extra
    plain = Dataset.from_frames(service.events, service.items, service.users, schema=service.schema)
    assert dataset.events.equals(plain.events)


def test_truth_can_be_left_out(tmp_path: Path) -> None:
    written = simulate_to(preset("tiny"), tmp_path / "service", truth=False)
    assert not (tmp_path / "service" / "truth").exists()
    assert sum(written.events.values()) == Dataset.from_folder(tmp_path / "service").events.height


def test_a_taken_folder_is_left_alone(service: Simulation, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="already exists"):
        service.write(tmp_path)
    with pytest.raises(ConfigError, match="already exists"):
        simulate_to(preset("tiny"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failed_write_leaves_nothing(service: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, path: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(type(service.truth), "write_service", fail)
    with pytest.raises(OSError, match="no space"):
        service.write(tmp_path / "service")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    code = (
        "import sys; from palate.simulate import preset, simulate_to; "
        "simulate_to(preset('service', members=60_000, sessions_per_day=0.3), sys.argv[1], processes=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "service")])
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".service.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "service").exists()
    assert list(tmp_path.glob(".service.*")), "it had begun"
