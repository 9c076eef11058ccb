"""What comes behind the training, the fit of new items and the sealing: how many bytes and seconds.

Bytes follow from shapes, by factors that were measured. Seconds follow from those of a training step and of a
validation, which were tried, and from those of a small inverse and of a step of calibrating, which are tried here.
"""

from __future__ import annotations

import math
import time
from typing import Final, NamedTuple

import torch

from palate.evaluate.evaluation import EvaluationConfig
from palate.model import SequenceModel
from palate.model.loss import Choices
from palate.tokens import Catalogue
from palate.train.new_items import ANCHORS, CHOOSING, READ, STATES, STEPS, TARGETS

REGRESSIONS: Final = 3
SEARCHES: Final = 16
"""Inverses until the strengths of a regression are found; the gradient of each takes as long again."""
FORWARD: Final = 0.35
"""What a slot costs without gradients, of what it costs in a training step."""
CALIBRATIONS: Final = 3
"""Of how new items differ, of how high they stand where something is discovered, and of all items where no id is
trusted. The second is left out where nothing is ever continued, or next to nothing discovered: that isn't known before.
"""
TRUSTS: Final = 0.8
"""Validations until it is known how far ids are trusted: the later half is encoded once, and scored five times."""
TABLE_BYTES: Final = 200
"""Of a recommendation while tables of them are measured."""
TABLE_SECONDS: Final = 0.6e-6
"""Of a recommendation in its measuring."""
SEALING: Final = 2.2
"""Validations that sealing comes to, a target: longer lists, and the heads of intents."""


class Epoch(NamedTuple):
    """What the fit learns from."""

    targets: int
    batches: int
    slots: int

    def slots_of(self, targets: int) -> float:
        """Of whole batches that hold so many targets."""
        return math.ceil(targets * self.batches / max(self.targets, 1)) * self.slots / self.batches


class Needs(NamedTuple):
    """Beside what is held all the time."""

    bytes: int
    seconds: float


def of_new_items(
    model: SequenceModel,
    catalogue: Catalogue,
    *,
    epoch: Epoch,
    slot_seconds: float,
    validation_seconds: float,
) -> Needs:
    """What the fit takes; nothing where there is none."""
    inferred = model.tower.inferred
    if inferred is None:
        return Needs(0, 0.0)
    anchors, columns, width = min(len(catalogue.counts), ANCHORS), len(inferred.specs), inferred.width
    few, read = min(anchors, CHOOSING), min(READ, epoch.targets)
    held = 8 * few**2 * columns + 2 * 4 * read * (width + 8) + 8 * min(STATES, read) * 3 * width
    largest = max(8 * few**2 * 6, 8 * anchors**2 * 4)
    inverse = _inverse_seconds(few)
    regressions = REGRESSIONS * inverse * (2 * SEARCHES + (anchors / few) ** 3)
    calibrated = CALIBRATIONS * STEPS * _scored_seconds(model, catalogue, max(min(TARGETS, read // 10), 1))
    seconds = regressions + calibrated + FORWARD * slot_seconds * epoch.slots_of(read)
    return Needs(round(held + largest), seconds + TRUSTS * validation_seconds)


def of_sealing(*, items: int, targets: int, target_seconds: float) -> Needs:
    """What the last ranking of all ``targets`` of the validation part takes; ``target_seconds`` are a validation's."""
    rows = targets * min(max(EvaluationConfig().cutoffs), items)
    return Needs(TABLE_BYTES * rows, SEALING * targets * target_seconds + TABLE_SECONDS * rows)


def _scored_seconds(model: SequenceModel, catalogue: Catalogue, targets: int) -> float:
    """A step of calibrating, among states and targets at random; the better of two."""
    was_training, items = model.training, len(catalogue.counts)
    model.eval()
    factor = torch.ones((), requires_grad=True)
    with torch.no_grad():
        tables = model.tower(catalogue)
    assert tables.meta_out is not None
    state = torch.randn(targets, tables.meta_out.shape[1])
    point = torch.randint(len(catalogue.moments), (targets,))
    choices = Choices(torch.randint(items, (targets,)), torch.full((targets,), items), torch.ones(targets))
    best = float("inf")
    for _ in range(2):
        started = time.perf_counter()
        points, moment = torch.unique(point, return_inverse=True)
        instead = tables._replace(meta_out=factor * tables.meta_out)
        table = model.tower.output(instead, catalogue, points)
        torch.autograd.grad(model.among_all(state, table, moment, choices).total, factor)  # and of no weight
        best = min(best, time.perf_counter() - started)
    model.train(was_training)
    return best


def _inverse_seconds(rows: int) -> float:
    """The better of two."""
    matrix = torch.eye(rows, dtype=torch.float64) + 0.1 * torch.rand(rows, rows, dtype=torch.float64) / rows
    best = float("inf")
    for _ in range(2):
        started = time.perf_counter()
        torch.linalg.inv(matrix)
        best = min(best, time.perf_counter() - started)
    return best
