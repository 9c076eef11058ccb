"""Other encoders in the place of Palate's transformer: GRU, LSTM, and one like TransAct's.

Each takes the packed rows ``[T, D]`` and their batch, as `palate.model.transformer.Transformer` does, so the embedder,
the tower, the intent heads and the losses around it are the same. `matched` gives each as many parameters as the
transformer has.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.tokens.batch import Batch

LAYERS = 2
WIDEST = 1024
"""Largest inner width that `matched` tries."""


class Recurrent(nn.Module):
    """Layers of GRU or LSTM with dropout between them, projected to the width of the rows."""

    def __init__(self, cell: type[nn.GRU] | type[nn.LSTM], *, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([cell(width, inner, num_layers=LAYERS, dropout=dropout, batch_first=True)])
        self.dropout = nn.Dropout(dropout)
        self.project_out = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "T D"], batch: Batch, wanted: Int64[Tensor, "n"] | None = None
    ) -> Float[Tensor, "_ D"]:
        """Encode every row, or the ``wanted`` ones, from the rows of its sequence up to itself."""
        x = self.dropout(x)
        encoded, start = [], 0
        for b, length in batch.rectangles:
            stop = start + b * length
            out, _ = self.blocks[0](x[start:stop].view(b, length, -1))
            encoded.append(out.reshape(b * length, -1))
            start = stop
        together: Tensor = self.norm(self.project_out(self.dropout(torch.cat(encoded))))
        return together if wanted is None else together[wanted]


class TransActLike(nn.Module):
    """TransAct (Xia et al., KDD 2023) where there is no candidate: every row asks, from the actions up to itself.

    Kept: action and item are joined early, in one vector for each action (by the embedder that all encoders here
    share); the 100 most recent actions; post-norm transformer layers without positions; the outputs of the 10 most
    recent actions and a projected maximum over all of them, joined.

    Left out: the candidate, which is fused with every action there and does not exist here; the frozen item embeddings
    learned elsewhere; the crossing network behind, in whose place are the tower and heads that all share; and the
    random window of hours hidden in training, which is there for variety. Attention is causal, so that one pass answers
    for every row: an action does not see those between it and the row that asks.
    """

    def __init__(
        self, *, width: int, inner: int, heads: int, dropout: float, actions: int = 100, latest: int = 10
    ) -> None:
        super().__init__()
        self.actions, self.latest = actions, latest
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, dim_feedforward=inner, dropout=dropout, batch_first=True)
            for _ in range(LAYERS)
        )
        self.project_largest = nn.Linear(width, width)
        self.project_out = nn.Linear((latest + 1) * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "T D"], batch: Batch, wanted: Int64[Tensor, "n"] | None = None
    ) -> Float[Tensor, "_ D"]:
        """Encode every row, or the ``wanted`` ones, from the most recent rows of its sequence up to itself."""
        encoded, start = [], 0
        for b, length in batch.rectangles:
            stop = start + b * length
            encoded.append(self._encode(x[start:stop].view(b, length, -1)).reshape(b * length, -1))
            start = stop
        together: Tensor = self.norm(self.project_out(torch.cat(encoded)))
        return together if wanted is None else together[wanted]

    def _encode(self, x: Float[Tensor, "b l D"]) -> Float[Tensor, "b l E"]:
        """The latest outputs at each row, newest first, and the largest of all that the row sees."""
        length = x.shape[1]
        distance = torch.arange(length)[:, None] - torch.arange(length)
        unseen = (distance < 0) | (distance >= self.actions)
        for block in self.blocks:
            x = block(x, src_mask=unseen)
        before = F.pad(x, (0, 0, self.latest - 1, 0))
        latest = [before[:, self.latest - 1 - back : self.latest - 1 - back + length] for back in range(self.latest)]
        across = F.pad(x.transpose(1, 2), (self.actions - 1, 0), value=-torch.inf)
        largest = F.max_pool1d(across, self.actions, stride=1).transpose(1, 2)
        return torch.cat([*latest, self.project_largest(largest)], dim=-1)


def matched(build: Callable[[int], nn.Module], parameters: int) -> nn.Module:
    """What ``build`` makes of the inner width, a multiple of two, with which it has about so many parameters."""

    def counted(inner: int) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in build(inner).parameters())

    return build(min(range(2, WIDEST + 1, 2), key=lambda inner: abs(counted(inner) - parameters)))
