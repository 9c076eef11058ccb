"""The run folder: one trained model on disk, sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from palate.errors import ConfigError, DamagedRunError, RunError
from palate.model import ModelConfig, SequenceModel
from palate.runs.files import verify, whole_folder
from palate.runs.network import network
from palate.tokens import Tokenizer, WindowConfig, read_tokenizer, write_tokenizer
from palate.words import ITEM_ID

FORMAT: Final = 4


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run, read and verified."""

    folder: Path
    model: SequenceModel
    tokenizer: Tokenizer
    windows: WindowConfig
    config: dict[str, object]
    """Content of ``config.yaml``."""

    @classmethod
    def read(cls, folder: Path | str) -> Run:
        """Read a run folder.

        Raises `RunError` where there is none, `DamagedRunError` or `FormatVersionError` where it can't be trusted.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder}: no such run", hint="palate pretrain DATA --out RUN makes one")
        verify(folder, format_version=FORMAT)
        content = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        try:
            windows = WindowConfig.parse(content["windows"], source="windows")
            model_config = ModelConfig.parse(content["model"], source="model")
        except (KeyError, ConfigError) as error:
            raise DamagedRunError(f"{folder / 'config.yaml'}: {error}") from error
        tokenizer = read_tokenizer(folder)
        model = network(model_config, tokenizer, context=windows.context)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        model.eval()
        return cls(folder=folder, model=model, tokenizer=tokenizer, windows=windows, config=content)


def write_run(
    target: Path,
    *,
    config: str,
    tokenizer: Tokenizer,
    items: pl.DataFrame | None,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    metrics: str,
    card: str,
    extra: Mapping[str, bytes],
) -> None:
    """Write and seal a run folder; ``extra`` are further files by relative path.

    Raises `RunExistsError` where ``target`` exists.
    """
    with whole_folder(target, format_version=FORMAT) as aside:
        (aside / "config.yaml").write_text(config, encoding="utf-8")
        write_tokenizer(tokenizer, aside)
        catalogue(tokenizer, items).write_parquet(aside / "catalogue.parquet")
        save_file({name: tensor.contiguous() for name, tensor in model.items()}, aside / "model.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in optimizer.items()}, aside / "optimizer.safetensors")
        (aside / "metrics.json").write_text(metrics, encoding="utf-8")
        (aside / "README.md").write_text(card, encoding="utf-8")
        for name, content in extra.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def catalogue(tokenizer: Tokenizer, items: pl.DataFrame | None) -> pl.DataFrame:
    """Items known to the run in the order of their indices: counts, launch and all metadata."""
    table = tokenizer.items.table.rename({"value": ITEM_ID})
    if items is None:
        return table
    return table.join(items, on=ITEM_ID, how="left", maintain_order="left")
