"""Every baseline, found by itself, keeps the promises of a scorer; a user would lose a fair comparison otherwise."""

import inspect
import pkgutil
from importlib import import_module

import polars as pl
import pytest
import torch

import palate.baselines
from palate.baselines.popular import PopularConfig
from palate.baselines.recent import RecentPopularConfig
from palate.data.dataset import Dataset
from palate.data.split import Part, present_queries, queries, split
from palate.errors import ConfigError
from palate.rank.candidates import Candidates
from palate.rank.catalogue import known_items
from palate.rank.recommend import recommend

K = 20


def baselines():
    """All classes of the room that score and can be fitted to a dataset alone."""
    found = {}
    for module in pkgutil.iter_modules(palate.baselines.__path__, "palate.baselines."):
        for name, member in vars(import_module(module.name)).items():
            if inspect.isclass(member) and hasattr(member, "score") and hasattr(member, "fit"):
                found[name] = member
    return found


def rolling(cls):
    """The configuration that lets a baseline roll on, where it has one."""
    return {"Popular": PopularConfig(rolling=True), "RecentPopular": RecentPopularConfig(rolling=True)}.get(
        cls.__name__
    )


def settings(config):
    """The argument of ``fit``, where there is one to give."""
    return [] if config is None else [config]


FOUND = baselines()
CASES = [
    pytest.param(cls, config, id=name + (" rolling" if config else ""))
    for name, cls in FOUND.items()
    for config in dict.fromkeys([None, rolling(cls)])
]


def test_all_baselines_are_found():
    assert {"Popular", "RecentPopular", "ItemKnn", "Ease", "Transitions"} <= set(FOUND)


@pytest.mark.parametrize(("cls", "config"), CASES)
def test_keeps_the_contract_with_time(cls, config, timed):
    check(
        timed, cls.fit(timed, split(timed), *settings(config)), lambda: cls.fit(timed, split(timed), *settings(config))
    )


@pytest.mark.parametrize(("cls", "config"), CASES)
def test_keeps_the_contract_without_time_or_refuses(cls, config, ordered):
    if cls.__name__ == "RecentPopular" or config is not None:
        with pytest.raises(ConfigError, match="timestamps"):
            cls.fit(ordered, split(ordered), *settings(config))
    else:
        check(ordered, cls.fit(ordered, split(ordered)), lambda: cls.fit(ordered, split(ordered)))


def check(dataset, scorer, again):
    assert scorer.catalogue.equals(known_items(dataset))
    asked = queries(dataset, split(dataset), Part.TEST)
    scores = scorer.score(asked.drop("item_id"))
    assert scores.shape == (len(asked), len(scorer.catalogue))
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    single = torch.cat([scorer.score(asked[row]) for row in range(0, len(asked), 10)])
    assert torch.allclose(single, scores[::10], atol=1e-6), "the other queries of a block must not matter"

    table = recommend(scorer, dataset, asked, k=K)
    mask = Candidates(dataset, scorer.catalogue).mask(asked)
    for row, query in zip(mask, asked["query"], strict=True):
        items = table.filter(pl.col("query") == query)["item_id"]
        allowed = set(scorer.catalogue.filter(pl.Series(row.numpy())))
        assert len(items) == min(K, len(allowed))
        assert set(items) <= allowed
    assert recommend(again(), dataset, asked, k=K).equals(table), "fitted again it recommends the same"
    assert len(recommend(scorer, dataset, present_queries(dataset), k=3))


@pytest.mark.parametrize(("cls", "config"), CASES)
def test_only_earlier_events_count(cls, config, timed):
    """What comes after a query may not change its ranking; for what is frozen, nothing after the cut may."""
    parts = split(timed)
    asked = queries(timed, parts, Part.TEST).sort("timestamp").head(5)
    moment = asked["timestamp"].max()
    before = cls.fit(timed, parts, *settings(config)).score(asked)
    later = pl.col("timestamp") > moment
    changed = timed.events.with_columns(item_id=pl.when(later).then(2).otherwise("item_id"))
    other = Dataset(changed, timed.items, timed.users, timed.schema, timed.report)
    assert known_items(other).is_in(known_items(timed).implode()).all()
    after = cls.fit(other, parts, *settings(config))
    kept = timed_columns(known_items(timed), after.catalogue)
    assert torch.equal(before[:, kept], after.score(asked))


def timed_columns(catalogue, items):
    place = {item: column for column, item in enumerate(catalogue)}
    return [place[item] for item in items]
