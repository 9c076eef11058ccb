"""If these fail, the same log gives other tokens when its file is shuffled, doubled or cut off."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from palate.data import Dataset, split
from palate.errors import TornFileError
from palate.tokens import Tokenizer, TokenizerConfig
from tests.tokens.test_merges import merging, viewings


def digest(folder: Path, config: TokenizerConfig) -> tuple[str, int]:
    dataset = Dataset.from_folder(folder)
    division = split(dataset)
    store = Tokenizer.fit(dataset, division, config).encode(dataset, division)
    return store.digest(), sum(repair.rows for repair in dataset.report.repairs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dataset = viewings(members=30, seed=5)
    dataset.events.write_parquet(tmp_path / "events.parquet")
    dataset.schema.write(tmp_path / "schema.yaml")
    return tmp_path


@pytest.mark.parametrize("config", [TokenizerConfig(runs="keep"), merging()], ids=["keep", "merge"])
@pytest.mark.parametrize("seed", range(3))
def test_another_order_of_the_rows(folder: Path, config: TokenizerConfig, seed: int) -> None:
    wanted, repairs = digest(folder, config)
    assert repairs == 0
    events = pl.read_parquet(folder / "events.parquet")
    events[np.random.default_rng(seed).permutation(events.height)].write_parquet(folder / "events.parquet")
    assert digest(folder, config) == (wanted, 0)


@pytest.mark.parametrize("config", [TokenizerConfig(runs="keep"), merging()], ids=["keep", "merge"])
def test_rows_that_come_twice(folder: Path, config: TokenizerConfig) -> None:
    wanted, _ = digest(folder, config)
    events = pl.read_parquet(folder / "events.parquet")
    again = events.sample(50, seed=0)
    pl.concat([events, again]).write_parquet(folder / "events.parquet")
    assert digest(folder, config) == (wanted, 50)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off(folder: Path, share: float) -> None:
    path = folder / "events.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(TornFileError, match=r"events.parquet"):
        digest(folder, TokenizerConfig())
