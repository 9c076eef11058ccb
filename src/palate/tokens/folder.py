"""A tokenizer in a run folder: ``tokenizer.json``, ``schema.yaml``, vocabularies, metadata and counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.data import Schema
from palate.errors import DamagedRunError
from palate.tokens.ages import Ages
from palate.tokens.batch import Side
from palate.tokens.config import TokenizerConfig
from palate.tokens.fields import CategoricalField, Field, MultiCategoricalField, NumericField
from palate.tokens.merges import Merges
from palate.tokens.metadata import ItemMetadata
from palate.tokens.tokenizer import Tokenizer
from palate.tokens.vocabulary import Vocabulary

_DESCRIBED, _AGES = "described.parquet", "ages.parquet"


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a fitted tokenizer into ``folder``, which has none."""
    assert tokenizer.ages is not None, "a fitted tokenizer"
    (folder / "vocabulary").mkdir()
    described = []
    for number, field in enumerate(tokenizer.fields):
        entry: dict[str, object] = {"name": field.name, "side": field.side.value}
        if isinstance(field, NumericField):
            entry |= {"kind": "numeric", "knots": field.knots}
        elif isinstance(field, CategoricalField | MultiCategoricalField):
            name = f"vocabulary/{number:02d}-{_file_name(field.name)}.parquet"
            field.vocabulary.write(folder / name)
            multi = isinstance(field, MultiCategoricalField)
            entry |= {"kind": "multi_categorical" if multi else "categorical", "width": field.width}
            entry |= {"vocabulary": name, "sha256": field.vocabulary.digest()}
        described.append(entry)
    content: dict[str, object] = {
        "config": tokenizer.config.model_dump(),
        "has_time": tokenizer.has_time,
        "fields": described,
        "ages": tokenizer.ages.described(),
        "metadata": tokenizer.metadata is not None,
    }
    if tokenizer.merges is not None:
        content["merges"] = {"types": tokenizer.merges.types, "pairs": tokenizer.merges.pairs}
    (folder / "tokenizer.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    tokenizer.schema.write(folder / "schema.yaml")
    tokenizer.ages.write(folder / _AGES)
    if tokenizer.metadata is not None:
        tokenizer.metadata.write(folder)
    if tokenizer.described is not None:
        tokenizer.described.write_parquet(folder / _DESCRIBED)


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read what `write_tokenizer` wrote; a vocabulary whose hash differs is a `DamagedRunError`."""
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    fields = tuple(_read_field(folder, entry) for entry in content["fields"])
    items = fields[0]
    assert isinstance(items, CategoricalField)
    totals = items.vocabulary.table["count"].to_numpy().astype(np.int64)
    described = folder / _DESCRIBED
    return Tokenizer(
        config=TokenizerConfig.model_validate(content["config"]),
        schema=Schema.from_yaml(folder / "schema.yaml"),
        has_time=content["has_time"],
        merges=_read_merges(content.get("merges")),
        fields=fields,
        metadata=ItemMetadata.read(folder) if content["metadata"] else None,
        described=pl.read_parquet(described) if described.exists() else None,
        ages=Ages.read(folder / _AGES, content["ages"], totals),
    )


def _read_merges(content: dict[str, list[Any]] | None) -> Merges | None:
    if content is None:
        return None
    return Merges(types=tuple(content["types"]), pairs=tuple((left, right) for left, right in content["pairs"]))


def _read_field(folder: Path, entry: dict[str, object]) -> Field:
    name, side = str(entry["name"]), Side(str(entry["side"]))
    if entry["kind"] == "numeric":
        knots = entry["knots"]
        assert isinstance(knots, list)
        return NumericField(name=name, side=side, knots=tuple(map(float, knots)))
    path = folder / str(entry["vocabulary"])
    vocabulary = Vocabulary.read(path)
    if vocabulary.digest() != entry["sha256"]:
        raise DamagedRunError(f"{path} does not hold the vocabulary that tokenizer.json names")
    if entry["kind"] == "categorical":
        return CategoricalField(name=name, side=side, vocabulary=vocabulary)
    width = entry["width"]
    assert isinstance(width, int)
    return MultiCategoricalField(name=name, side=side, vocabulary=vocabulary, width=width)


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)
