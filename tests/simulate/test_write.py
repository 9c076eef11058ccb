"""What is written: the same bytes for the same settings, readable without repair, the truth apart."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from palate.data import Dataset
from palate.errors import ConfigError
from palate.simulate import Simulation, preset, simulate

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
    assert dataset.schema.seen_policy("play") == "exclude"
    assert dataset.items is not None
    assert dataset.items.height == service.config.items


def test_the_truth_is_not_among_the_tables(service: Simulation, tmp_path: Path) -> None:
    folder = service.write(tmp_path / "service")
    hidden = {"intent", "match", "log_probability", "liked", "trailer", "quality", "archetypes", "successor", "member"}
    for table in folder.glob("*.parquet"):
        assert hidden.isdisjoint(pl.read_parquet_schema(table)), table.name
    dataset = Dataset.from_folder(folder)
    for frame in (dataset.events, dataset.items, dataset.users):
        assert frame is not None
        assert hidden.isdisjoint(frame.columns)


def test_a_taken_folder_is_left_alone(service: Simulation, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="already exists"):
        service.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failed_write_leaves_nothing(service: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, path: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(type(service.truth), "write", fail)
    with pytest.raises(OSError, match="no space"):
        service.write(tmp_path / "service")
    assert list(tmp_path.iterdir()) == []
