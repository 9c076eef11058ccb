"""A log with everything that a model can use: metadata, launches, groups, impressions, sessions, runs."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from palate.data import Column, Dataset, Kind, Role, Schema, SplitRule
from palate.model import ModelConfig, NextConfig, PresentationConfig, TransformerConfig
from palate.tokens import PackConfig, TokenizerConfig, WindowConfig
from palate.tokens.ages import AgeConfig
from palate.tokens.metadata import MetadataConfig
from palate.tokens.rewards import RatingReward, RewardConfig
from palate.train import PretrainConfig

START = 1_700_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
NAMES = [f"t{number:02d}" for number in range(32)]
"""Items with events; some of them late."""
QUIET = [f"q{number}" for number in range(6)]
"""Items of the table that nobody touches."""


def world(
    seed: int = 0,
    *,
    members: int = 16,
    has_time: bool = True,
    runs: bool = False,
    session_id: bool = False,
    kind: Literal["temporal", "leave_one_out"] = "temporal",
) -> Dataset:
    """``runs``: members stay with an item for several events, of which one is a target."""
    rng = np.random.default_rng(seed)
    rows = []
    for member in range(members):
        now, session = START + int(rng.integers(0, 30 * DAY)), 0
        for _ in range(int(rng.integers(2, 22))):
            there = max(4, int(len(NAMES) * min(1.0, (now - START) / (45 * DAY))))  # new items come in
            item = NAMES[int(rng.integers(there))]
            for _ in range(int(rng.geometric(0.5)) if runs else 1):
                shown = [NAMES[each] for each in rng.permutation(there)[:4]]
                if rng.random() < 0.7 and item not in shown:
                    shown[int(rng.integers(4))] = item
                rows.append(
                    {
                        "user_id": f"m{member:02d}",
                        "item_id": item,
                        "timestamp": now,
                        "event_type": str(rng.choice(["play", "buy", "trailer"], p=[0.6, 0.25, 0.15])),
                        "event_value": float(rng.integers(10, 6000)),
                        "rating": float(rng.integers(1, 6)) if rng.random() < 0.5 else None,
                        "device": str(rng.choice(["tv", "web"])),
                        "tags": [str(tag) for tag in rng.permutation(["a", "b", "c"])[: rng.integers(0, 3)]],
                        "impressions": shown if rng.random() < 0.6 else None,
                        "session_id": f"s{session}",
                    }
                )
                now += int(rng.integers(1, 25 * 60_000))
            if rng.random() < 0.5:
                now, session = now + int(rng.integers(HOUR, 3 * DAY)), session + 1
    events = pl.DataFrame(rows, schema_overrides={"impressions": pl.List(pl.String)})
    if not has_time:
        position = pl.int_range(pl.len()).over("user_id").alias("position")
        events = events.with_columns(position).drop("timestamp")
    if not session_id:
        events = events.drop("session_id")
    schema = Schema(
        events={
            "event_value": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC),
            "rating": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC),
            "tags": Column(role=Role.POST_ACTION, kind=Kind.MULTI_CATEGORICAL),
            "device": Column(role=Role.REQUEST_TIME, kind=Kind.CATEGORICAL),
        },
        items={
            "group_id": Column(role=Role.ITEM_METADATA, kind=Kind.CATEGORICAL),
            "genres": Column(role=Role.ITEM_METADATA, kind=Kind.MULTI_CATEGORICAL),
            "origin": Column(role=Role.ITEM_METADATA, kind=Kind.CATEGORICAL),
            "minutes": Column(role=Role.ITEM_METADATA, kind=Kind.NUMERIC),
            "title": Column(role=Role.ITEM_METADATA, kind=Kind.TEXT),
        },
        target_event_types=("play", "buy"),
        seen_items={"play": "allow", "buy": "allow"},
        one_target_a_run=runs,
        split=SplitRule(kind=kind if has_time else "leave_one_out"),
    )
    return Dataset.from_frames(events, items_table(seed), schema=schema)


def items_table(seed: int = 0) -> pl.DataFrame:
    """Metadata of all items; some launches are unknown, some lie in the future."""
    rng = np.random.default_rng([seed, 1])
    ids = NAMES + QUIET
    genres = ["drama", "comedy", "crime", "war"]
    return pl.DataFrame(
        {
            "item_id": ids,
            "group_id": [f"g{number // 3}" if number % 4 else None for number in range(len(ids))],
            "genres": [[str(each) for each in rng.permutation(genres)[: rng.integers(0, 4)]] for _ in ids],
            "origin": [str(rng.choice(["us", "se", "kr"])) for _ in ids],
            "minutes": [float(rng.integers(20, 180)) for _ in ids],
            "title": [" ".join(rng.choice(["night", "river", "king", "storm"], 2)) for _ in ids],
            "launch_time": [
                START + int(rng.integers(-20, 10)) * DAY if number % 3 == 0 else None for number in range(len(ids))
            ],
        },
        schema_overrides={"launch_time": pl.Int64},
    )


def everything(*, merge: bool = False, has_time: bool = True, context: int = 12, **changes: object) -> PretrainConfig:
    """Settings with every part of the model on; ``changes`` are those of the model."""
    parts: dict[str, object] = {
        "encoder": TransformerConfig(width=16, heads=2, blocks=2),
        "next": NextConfig(n=3, share=0.5),
        "presentation": PresentationConfig(share=0.7, places=4),
    }
    return PretrainConfig(
        tokenizer=TokenizerConfig(
            runs="merge" if merge else "keep",
            least_merges=2,
            metadata=MetadataConfig(text_width=4),
            ages=AgeConfig(step_hours=5, half_life_days=2),
        ),
        windows=WindowConfig(context=context, overlap=3, open_runs=0.5),
        packing=PackConfig(batch_tokens=120),
        model=ModelConfig.model_validate(parts | changes),
        rewards=RewardConfig(
            event_types={"buy": 3.0},
            rating=RatingReward(),
            recency_half_life_days=20 if has_time else None,
        ),
    )


def with_events(dataset: Dataset, events: pl.DataFrame) -> Dataset:
    """The dataset with other events, in the order of the contract."""
    return Dataset(events, dataset.items, dataset.users, dataset.schema, dataset.report)


def with_items(dataset: Dataset, items: pl.DataFrame | None) -> Dataset:
    """The dataset with another table of items."""
    return Dataset(dataset.events, items, dataset.users, dataset.schema, dataset.report)
