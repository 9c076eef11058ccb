"""The figures of docs/evaluation.md; a user would lose a reference that published figures can be held against."""

import pytest

from palate.baselines.ease import Ease
from palate.baselines.knn import ItemKnn
from palate.baselines.popular import Popular, PopularConfig
from palate.baselines.recent import RecentPopular, RecentPopularConfig
from palate.baselines.transitions import Transitions
from palate.data.dataset import Dataset
from palate.data.split import Part, queries, split
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.rank.recommend import recommend


@pytest.fixture(scope="module")
def loaded():
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "cls", "config", "ndcg", "hr"),
    [
        ("ml-1m", Popular, None, 0.0180, 0.0369),
        ("ml-1m", ItemKnn, None, 0.0403, 0.0805),
        ("ml-1m", Ease, None, 0.0536, 0.1086),
        ("ml-1m", Transitions, None, 0.1259, 0.2144),
        ("movietweetings", Transitions, None, 0.0469, 0.0862),
        ("movietweetings", Popular, None, 0.0379, 0.0815),
        ("movietweetings", Popular, PopularConfig(rolling=True), 0.0454, 0.0990),
        ("movietweetings", RecentPopular, None, 0.0491, 0.1023),
        ("movietweetings", RecentPopular, RecentPopularConfig(rolling=True), 0.1029, 0.1926),
        ("movietweetings", ItemKnn, None, 0.0413, 0.0812),
    ],
)
def test_figures_of_the_evaluation_data(loaded, evaluation_data, folder, cls, config, ndcg, hr):
    if folder not in loaded:
        loaded[folder] = Dataset.from_folder(evaluation_data / folder)
    dataset = loaded[folder]
    parts = split(dataset)
    asked = queries(dataset, parts, Part.TEST)
    settings = [] if config is None else [config]
    values = accuracy(ranks(recommend(cls.fit(dataset, parts, *settings), dataset, asked), asked), (10,))
    assert values["ndcg@10"].mean() == pytest.approx(ndcg, abs=0.0002)
    assert values["hr@10"].mean() == pytest.approx(hr, abs=0.0004)
