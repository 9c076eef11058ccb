"""After the training: what items without an id are taken for, learned from the items that have one.

First their vectors: those of trained items are regressed on metadata (`palate.train.ridge`), outputs by how much they
move scores (in the metric of the states' covariance), the mean score by itself, and inputs. Strengths are chosen by
leaving out each item alone, as a new episode of a known series comes, and whole titles, as a new series does.

Then how they compare with the others. Each step takes a tenth of the trained items for new: they get what the
regression predicts of them without their title, half of them lose their events as well, and the loss of the items
tells how far predictions should differ (they are shrunken). Nobody continues what is new to all: so what age and
demand say of an item without an id is then fitted on discoveries, the targets of titles that their member did not
know. Last with all items taken for new: what is to be said of them, and of demand, where no id is trusted.

Last, how far the ids of trained items are trusted, behind the training: validation says, by its later half, since
weights get older while they are in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from palate.model import ItemTables, SequenceModel
from palate.model.inferred import InferredItems
from palate.model.loss import Choices
from palate.model.model import questions
from palate.model.tower import AgeTable, point
from palate.tokens import Batch, Catalogue
from palate.tokens.batch import AGE_SHAPE, Familiar, MetadataKind, MetadataSpec
from palate.train.plan import BatchPlanner
from palate.train.ridge import Fitted, choose, fit
from palate.words import FIRST_KNOWN, GROUP_ID

ANCHORS = 4096
"""Trained items that are regressed on, at most; drawn by how well they are known."""
CHOOSING = 1024
"""Of these, how many choose the strengths."""
FOLDS = 40
STEPS = 150
READ = 1 << 16
"""Targets that are learned from; all where there are fewer."""
STATES = 20_000
"""Of these, how many say how states vary."""
DISCOVERIES = 10
"""For each number of a state; with fewer of them all targets stand for them."""
TARGETS = 1024
"""Of a step; a tenth of all where that is less."""
TAKEN_FOR_NEW = 0.1
RATE = 0.05
_ROWS = 512
"""Of a kernel that are made at a time."""
TRUSTS = (1.0, 0.75, 0.5, 0.25, 0.0)


@dataclass(frozen=True, kw_only=True)
class NewItems:
    """What was found."""

    anchors: int
    explained: dict[str, float]
    """Share of the variance between trained items that is predicted of a title that is left out."""
    taste: float
    """What predicted vectors are multiplied by."""
    loudness: float
    """What they and their biases are multiplied by once more where no id is trusted."""
    trust: float = 1.0
    """Share of a trained item's score that is that of its id and metadata."""


class _Known(NamedTuple):
    """What trained items have, ``R`` of them; double precision."""

    input: Float[Tensor, "R D"]
    output: Float[Tensor, "R D"]
    level: Float[Tensor, "R"]
    """Mean score over the states, apart from age."""


class _States(NamedTuple):
    """How the states vary in which something is discovered."""

    mean: Float[Tensor, "D"]
    root: Float[Tensor, "D D"]
    """L with L Lᵀ = covariance."""


def fit_new_items(model: SequenceModel, catalogue: Catalogue, planner: BatchPlanner, *, seed: int) -> NewItems | None:
    """Fit `InferredItems` of the model's tower, and the biases of items without an id; none without metadata.

    ``catalogue`` is that of the training, whose items all have an id. It ends with the same numbers each time.
    """
    inferred = model.tower.inferred
    if inferred is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    with torch.no_grad():
        asked = _asked(model, catalogue, planner, generator)
        states = _states(asked.discoveries())
        known = _known(model, catalogue, states)
        inferred.weigh(catalogue)
        anchors = _draw(catalogue.counts, ANCHORS, generator)
        regression = _Regression(inferred, catalogue, anchors, generator)
        output = regression.fit(known.output @ states.root)
        level = regression.fit(known.level[:, None])
        read = regression.fit(known.input)
    left_out = _left_out(states, anchors, output, level)
    taste, shift = _calibrate(model, catalogue, asked, left_out, generator)
    with torch.no_grad():
        back = taste * torch.linalg.inv(states.root)

        def joined(read: Tensor, output: Tensor, level: Tensor) -> Tensor:
            out = output @ back
            return torch.cat([read, out, level - out @ states.mean[:, None]], dim=1)

        for number, parts in enumerate(zip(read.values, output.values, level.values, strict=True)):
            inferred.values(number).copy_(joined(*parts))
        mean = joined(*(each.fitted.mean[None] for each in (read, output, level)))[0]
        mean[-1] += shift
        inferred.mean.copy_(mean)
        inferred.fitted.fill_(True)
    loudness = _calibrate_without_ids(model, catalogue, asked, left_out, taste, shift)
    explained = {"output": output.fitted.explained, "level": level.fitted.explained, "input": read.fitted.explained}
    return NewItems(anchors=len(anchors), explained=explained, taste=taste, loudness=loudness)


def choose_trust(model: SequenceModel, figure: Callable[[], float]) -> float:
    """Set the trust in ids to that of the best ``figure`` of validation, the highest such, and return it."""
    inferred = model.tower.inferred
    if inferred is None or not inferred.fitted:
        return 1.0
    found = {}
    for trust in TRUSTS:
        inferred.trust.fill_(trust)
        found[trust] = figure()
    chosen = max(found, key=lambda trust: found[trust])
    inferred.trust.fill_(chosen)
    return chosen


class _Asked(NamedTuple):
    """Targets of the first epoch, ``R`` of them, in no order."""

    state: Float[Tensor, "R D"]
    """Behind the intents; with every id there is."""
    time: Int64[Tensor, "R"]
    """Milliseconds at which they were asked for."""
    discovered: Bool[Tensor, "R"]
    """Whether the member knew nothing of the target's title."""
    choices: Choices

    def take(self, rows: Tensor) -> _Asked:
        """Some of them."""
        choices = Choices._make(each[rows] for each in self.choices)
        return _Asked(self.state[rows], self.time[rows], self.discovered[rows], choices)

    def discoveries(self) -> _Asked:
        """The targets of what their member did not know; all where these are few, and where there are no others."""
        rows = self.discovered.nonzero()[:, 0]
        few = len(rows) < DISCOVERIES * self.state.shape[1]
        return self if few or len(rows) == len(self.state) else self.take(rows)


def _asked(model: SequenceModel, catalogue: Catalogue, planner: BatchPlanner, generator: torch.Generator) -> _Asked:
    """`READ` of them, or all; their states stay what they are while the rest is fitted."""
    plan, tables = planner.epoch(0), model.tower(catalogue)
    found: list[_Asked] = []
    missing = READ
    for number in range(len(plan.packs)):
        batch = planner.batch(plan, number)
        asked = questions(batch, catalogue)
        state = _of(model, batch, asked.rows, catalogue, tables)
        discovered = batch.familiar[asked.rows] == Familiar.DISCOVER
        found.append(_Asked(state, batch.query_time[asked.rows], discovered, asked.choices))
        missing -= len(asked.rows)
        if missing <= 0:
            break
    together = _Asked(
        torch.cat([each.state for each in found]),
        torch.cat([each.time for each in found]),
        torch.cat([each.discovered for each in found]),
        Choices._make(torch.cat(parts) for parts in zip(*(each.choices for each in found), strict=True)),
    )
    del found
    return together.take(torch.randperm(len(together.state), generator=generator))


def _states(asked: _Asked) -> _States:
    states = asked.state[:STATES].double()
    D = states.shape[1]
    covariance = torch.cov(states.T) if len(states) > 1 else torch.eye(D, dtype=torch.float64)
    ridge = 1e-6 * float(covariance.diagonal().mean()) + 1e-12
    return _States(states.mean(0), torch.linalg.cholesky(covariance + ridge * torch.eye(D, dtype=torch.float64)))


def _of(
    model: SequenceModel, batch: Batch, rows: Int64[Tensor, "R"], catalogue: Catalogue, tables: ItemTables
) -> Float[Tensor, "R D"]:
    """The states of a batch's targets, behind the intents."""
    state = model(batch, catalogue, tables, rows)
    intents = model.predict_intents(state)
    return state if intents is None else intents.state


def _known(model: SequenceModel, catalogue: Catalogue, states: _States) -> _Known:
    tables = model.tower(catalogue)
    read, output, bias = (each.double() for each in model.tower.mixed(tables, catalogue))
    return _Known(read, output, bias + output @ states.mean)


def _draw(counts: Int64[Tensor, "R"], most: int, generator: torch.Generator) -> Int64[Tensor, "A"]:
    """Items, ascending."""
    if len(counts) <= most:
        return torch.arange(len(counts))
    drawn = torch.multinomial(counts / (counts + 50.0), most, generator=generator)
    return drawn.sort().values


class _Regressed(NamedTuple):
    fitted: Fitted
    values: list[Float[Tensor, "n K"]]
    """Of each column the embeddings of its values."""


class _Regression:
    """Regressions of anchors on their metadata."""

    def __init__(
        self, inferred: InferredItems, catalogue: Catalogue, anchors: Int64[Tensor, "A"], generator: torch.Generator
    ) -> None:
        self._anchors = anchors
        self._features = [_features(inferred, number, catalogue, anchors) for number in range(len(inferred.specs))]
        self._observations = catalogue.counts[anchors].double()
        self._fold = _folds(inferred.specs, catalogue, anchors, generator)
        chosen = torch.randperm(len(anchors), generator=generator)[:CHOOSING].sort().values
        self._choosing = chosen
        self._choosing_kernels = [_kernel([x[chosen.numpy()]], torch.ones(1)) for x in self._features]

    def fit(self, targets: Float[Tensor, "R K"]) -> _Regressed:
        """Of all trained items, those of the anchors are read."""
        own, few = targets[self._anchors], self._choosing
        strengths = choose(self._choosing_kernels, own[few], self._observations[few], self._fold[few])
        kernel = _kernel(self._features, strengths.kernels.exp())
        fitted = fit(kernel, own, self._observations, self._fold, strengths)
        coefficients = fitted.coefficients.numpy()
        values = [
            torch.from_numpy(x.T @ coefficients) * strength
            for x, strength in zip(self._features, strengths.kernels.exp(), strict=True)
        ]
        return _Regressed(fitted, values)


def _features(
    inferred: InferredItems, number: int, catalogue: Catalogue, items: Int64[Tensor, "A"]
) -> sparse.csr_array:
    """What `InferredItems` multiplies the values of a column by, ``[A, n]``."""
    spec = inferred.specs[number]
    columns = slice(spec.start, spec.start + spec.width)
    if spec.kind == MetadataKind.VECTOR:
        return sparse.csr_array(nn.functional.normalize(catalogue.vectors[items, columns]).double().numpy())
    ids = catalogue.metadata[items, columns].long()
    shares = nn.functional.normalize(inferred.weights(number)[ids]).double().numpy()
    row = np.repeat(np.arange(len(items)), spec.width)
    return sparse.csr_array((shares.reshape(-1), (row, ids.numpy().reshape(-1))), shape=(len(items), spec.size))


def _kernel(features: Sequence[sparse.csr_array], strengths: Float[Tensor, "C"]) -> Float[Tensor, "n n"]:
    """Σ_c s_c X_c X_cᵀ, some rows at a time: beside the sum nothing as large is held."""
    rows = features[0].shape[0]
    total = torch.zeros(rows, rows, dtype=torch.float64)
    for x, strength in zip(features, strengths.tolist(), strict=True):
        crosswise = x.T.tocsr()
        for start in range(0, rows, _ROWS):
            own = slice(start, start + _ROWS)
            total[own].add_(torch.from_numpy((x[own] @ crosswise).toarray()), alpha=strength)
    return total


def _folds(
    specs: Sequence[MetadataSpec], catalogue: Catalogue, anchors: Int64[Tensor, "A"], generator: torch.Generator
) -> Int64[Tensor, "A"]:
    """A fold of each anchor; those of a group are in the same."""
    title: NDArray[np.int64] = -1 - np.arange(len(anchors))
    for spec in specs:
        if spec.name == GROUP_ID and spec.kind == MetadataKind.CATEGORY:
            group = catalogue.metadata[anchors, spec.start].long().numpy()
            title = np.where(group >= FIRST_KNOWN, group, title)
    names, number = np.unique(title, return_inverse=True)
    order = torch.randperm(len(names), generator=generator)
    return order[torch.from_numpy(number)] % FOLDS


class _LeftOut(NamedTuple):
    """What is predicted of anchors without their title."""

    anchors: Int64[Tensor, "A"]
    output: Float[Tensor, "A D"]
    along: Float[Tensor, "A"]
    """Its product with the mean state."""
    height: Float[Tensor, "A"]
    """The mean score."""


def _left_out(
    states: _States,
    anchors: Int64[Tensor, "A"],
    output: _Regressed,
    level: _Regressed,
) -> _LeftOut:
    predicted = output.fitted.left_out @ torch.linalg.inv(states.root)
    return _LeftOut(anchors, predicted.float(), (predicted @ states.mean).float(), level.fitted.left_out[:, 0].float())


def _calibrate(
    model: SequenceModel, catalogue: Catalogue, asked: _Asked, left_out: _LeftOut, generator: torch.Generator
) -> tuple[float, float]:
    """What predicted vectors are multiplied by, and what is added to levels; the biases of age of new items are set.

    How far items differ is seen wherever one was chosen, how high they stand where one was discovered.
    """
    tower, anchors = model.tower, left_out.anchors
    taste, shift = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)

    def taken_for(tables: ItemTables) -> ItemTables:
        drawn = torch.rand(len(anchors), generator=generator)
        dropped, unseen = torch.zeros(2, len(catalogue.counts), dtype=torch.bool)
        own = drawn < TAKEN_FOR_NEW
        dropped[anchors[own]] = True
        unseen[anchors[drawn < TAKEN_FOR_NEW / 2]] = True
        bias = left_out.height[own] + shift - taste * left_out.along[own]
        assert tables.meta_out is not None
        assert tables.meta_bias is not None
        made = tables._replace(
            meta_out=tables.meta_out.index_put((anchors[own],), taste * left_out.output[own]),
            meta_bias=tables.meta_bias.index_put((anchors[own],), bias),
        )
        return _with_new_ages(made.taking_for_new(dropped, unseen), tower.new_age_bias)

    _descend(model, catalogue, asked, [taste, shift], tower.new_age_bias, taken_for)
    discoveries = asked.discoveries()
    if discoveries is not asked:
        _descend(model, catalogue, discoveries, [shift], tower.new_age_bias, taken_for)
    return taste.item(), shift.item()


def _calibrate_without_ids(
    model: SequenceModel, catalogue: Catalogue, asked: _Asked, left_out: _LeftOut, taste: float, shift: float
) -> float:
    """What is inferred of items is multiplied by it where no id is trusted. It is set, and so are biases of demand."""
    tower, anchors = model.tower, left_out.anchors
    ages = None
    if tower.new_age_bias is not None:
        ages = AgeTable(launch=False, views=False, demand=True)
        ages.start_at_demand(1.0)
    loudness = torch.tensor([0.5], requires_grad=True)
    assert tower.inferred is not None
    with torch.no_grad():
        _, output, bias = tower.inferred(catalogue)
        output[anchors] = taste * left_out.output
        bias[anchors] = left_out.height + shift - taste * left_out.along
    everything = torch.ones(len(catalogue.counts), dtype=torch.bool)

    def taken_for(tables: ItemTables) -> ItemTables:
        made = tables._replace(meta_out=loudness * output, meta_bias=loudness * bias)
        return _with_new_ages(made.taking_for_new(everything), ages)

    _descend(model, catalogue, asked, [loudness], ages, taken_for)
    with torch.no_grad():
        tower.inferred.loudness.fill_(loudness[0])
        if ages is not None:
            tower.inferred.demand.copy_(ages()[: AGE_SHAPE[2]])
    return loudness.item()


def _with_new_ages(tables: ItemTables, ages: AgeTable | None) -> ItemTables:
    if ages is None:
        return tables
    assert tables.age_bias is not None
    return tables._replace(age_bias=torch.stack([tables.age_bias[0], ages()]))


def _descend(
    model: SequenceModel,
    catalogue: Catalogue,
    asked: _Asked,
    factors: list[Tensor],
    ages: AgeTable | None,
    taken_for: Callable[[ItemTables], ItemTables],
) -> None:
    """Lower the loss of the items by ``factors`` and by a bias of age, the tables being ``taken_for`` others."""
    with torch.no_grad():
        tables = model.tower(catalogue)
    tables = tables._replace(id=tables.id.detach(), id_bias=tables.id_bias.detach())
    targets = max(min(TARGETS, len(asked.state) // 10), 1)
    search = torch.optim.Adam([*factors, *([] if ages is None else ages.parameters())], RATE)
    for step in range(STEPS):
        for group in search.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        instead = taken_for(tables)
        some = asked.take((torch.arange(targets) + step * targets) % len(asked.state))
        points, moment = torch.unique(point(catalogue, some.time), return_inverse=True)
        table = model.tower.output(instead, catalogue, points)
        loss = model.among_all(some.state, table, moment, some.choices).total / targets
        loss.backward()  # type: ignore[no-untyped-call]
        search.step()
        search.zero_grad()
