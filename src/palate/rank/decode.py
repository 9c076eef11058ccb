"""Several steps ahead: what a member would choose next, then after that, and so on, each item once.

The best allowed item is taken as if it had been chosen; what else would have happened with it is unknown, which is a
value of its own that training has shown; the next question has the request-time fields of the first. Rows that never
happened go into copies of the caches. The view does not move on meanwhile.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from palate.rank.catalogue import tie_break
from palate.rank.live import LiveMembers
from palate.rank.member_rows import Questions, chosen
from palate.rank.topk import top_k
from palate.words import FIRST_KNOWN


class Decoded(NamedTuple):
    """What ``B`` members would choose in ``K`` steps."""

    columns: Int64[Tensor, "B K"]
    """Columns of the scores; -1 where no allowed item was left."""
    scores: Float[Tensor, "B K"]
    """The score of each, at its step; minus infinity where there is none."""


def decode(
    live: LiveMembers, members: Sequence[Hashable], questions: Questions, allowed: Bool[Tensor, "B V"], *, steps: int
) -> Decoded:
    """Choose the best ``allowed`` item ``steps`` times, each item of a member once."""
    order = tie_break(live.tokenizer.items.values)
    allowed = allowed.clone()
    columns, scores = [], []
    with torch.inference_mode():
        caches, rows = live.opened(members, questions)
        moment = torch.from_numpy(questions.time)
        for step in range(steps):
            last = step == steps - 1
            state = live.step(caches, rows, commit=not last)
            best = top_k(live.scores(state, moment), allowed, order, 1)
            column = torch.where(best.valid, best.indices, -1)[:, 0]
            columns.append(column)
            scores.append(best.scores[:, 0])
            taken = column >= 0
            allowed[taken, column[taken]] = False
            items = np.where(taken, column + FIRST_KNOWN, 0).astype(np.int32)
            rows = chosen(rows, live.tokenizer, questions, items, live.versions.number)
    return Decoded(torch.stack(columns, dim=1), torch.stack(scores, dim=1))
