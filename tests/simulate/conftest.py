"""One small simulated service for the tests of this room."""

import polars as pl
import pytest

from palate.simulate import Simulation, preset, simulate


@pytest.fixture(scope="session")
def service() -> Simulation:
    return simulate(preset("tiny"))


@pytest.fixture(scope="session")
def plays(service: Simulation) -> pl.DataFrame:
    """Plays in order of member and time, with what is known of their items and of what led to them."""
    return (
        service.truth.plays.select("user_id", "timestamp", "begins", "ends", "viewing")
        .join(service.events.filter(pl.col("event_type") == "play"), on=["user_id", "timestamp"], validate="1:1")
        .join(service.items, on="item_id", validate="m:1")
        .sort("user_id", "timestamp")
    )
