"""Settings of content-kNN for titles that nobody has chosen yet: what is best where other titles are hidden."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from blind import Blind, figures
from hide import Hidden

from palate.baselines.content import ContentKnn, ContentKnnConfig

DRAWS = 3
"""Rehearsals: one alone has too few titles to choose by."""
TARGETS = 2000
"""Targets of each, at most."""


def rehearsed(hidden: Hidden, share: float, config: ContentKnnConfig | None = None) -> ContentKnn:
    """A scorer with the settings that have the highest mean NDCG@10 of hidden titles, ranked among them.

    The half-life is chosen first, with equal weights, then the weight of each column, as `ContentKnn.fit` does.
    """
    config = config or ContentKnnConfig()
    plain = config.model_copy(update={"half_lives": config.half_lives[:1], "weights": config.weights[:1]})
    rehearsals = [_Rehearsal(hidden.again(share=share, seed=seed), plain) for seed in range(1, DRAWS + 1)]
    scorer = ContentKnn.fit(*hidden.log, plain)

    def best(tried: Sequence[ContentKnn]) -> ContentKnn:
        return max(tried, key=lambda each: float(np.mean([rehearsal.ndcg(each) for rehearsal in rehearsals])))

    weights = scorer.weights
    scorer = best([scorer.with_settings(half_life=half_life, weights=weights) for half_life in config.half_lives])
    for name in weights:
        scorer = best(
            [
                scorer.with_settings(half_life=scorer.half_life, weights=scorer.weights | {name: weight})
                for weight in config.weights
            ]
        )
    return scorer


class _Rehearsal:
    """Other titles that are hidden, and a scorer fitted without them."""

    def __init__(self, hidden: Hidden, plain: ContentKnnConfig) -> None:
        self._hidden = hidden
        self._scorer = ContentKnn.fit(*hidden.log, plain)
        self._targets = hidden.hidden_targets.gather_every(max(-(-len(hidden.hidden_targets) // TARGETS), 1))

    def ndcg(self, settings: ContentKnn) -> float:
        """NDCG@10 with the settings of another scorer; a column that is useless in the rehearsal has no weight."""
        weights = {name: settings.weights[name] for name in self._scorer.weights if name in settings.weights}
        scorer = self._scorer.with_settings(half_life=settings.half_life, weights=weights)
        found = figures(Blind(self._hidden, scorer.on), self._hidden, self._targets, self._hidden.items)
        return float(found["ndcg@10"].mean())
