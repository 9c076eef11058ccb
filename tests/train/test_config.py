"""If these fail, settings that can't be trained with end in a traceback, after the log has been encoded."""

from pathlib import Path

import pytest

from palate.errors import ConfigError
from palate.train import PretrainConfig


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seed": 2**31}, "seed"),
        ({"optimizer": {"betas": [0.9, 1.0]}}, "betas"),
        ({"optimizer": {"betas": [-0.1, 0.9]}}, "betas"),
        ({"model": {"encoder": {"kind": "transformer", "time_buckets": 40_000}}}, "time_buckets"),
    ],
)
def test_out_of_range(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PretrainConfig.parse(settings, source="test")


def test_a_folder_of_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder, not a file"):
        PretrainConfig.from_yaml(tmp_path)
