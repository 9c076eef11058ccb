"""Where the time of a training step goes: marks between the parts of the model, in both directions.

A mark is an identity between two parts. Forward it closes the part before it; backward, where the parts come in the
opposite order, the one behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from palate.model import SequenceModel

EMBED, ATTENTION, FEED_FORWARD, NORM = (
    "tower and embedding",
    "attention, its gate",
    "feed-forward, its gate",
    "last norm",
)
HEADS, SOFTMAX = "heads", "softmax and losses"


class Parts:
    """Times the parts of a model's steps, in seconds by part."""

    def __init__(self, model: SequenceModel, clock: Callable[[], float]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._clock = clock
        self._since = 0.0
        order = [EMBED]
        _after(model.embed, lambda out: self._mark(out, EMBED, ATTENTION))
        blocks = list(model.encode.blocks)
        for number, block in enumerate(blocks):
            following = ATTENTION if number + 1 < len(blocks) else NORM
            _after(block.attention, lambda out: self._mark(out, ATTENTION, FEED_FORWARD))
            _after(block.feed_forward, lambda out, following=following: self._mark(out, FEED_FORWARD, following))
        behind = SOFTMAX if model.intents is None else HEADS
        _after(model.encode, lambda out: self._mark(out, NORM, behind))
        if model.intents is not None:
            _after(model.intents, lambda out: out._replace(state=self._mark(out.state, HEADS, SOFTMAX)))
        self.order = [*order, ATTENTION, FEED_FORWARD, NORM, *([HEADS] if model.intents is not None else []), SOFTMAX]

    def begin(self) -> None:
        """The step starts."""
        self._since = self._clock()

    def close(self, part: str) -> None:
        """What passed since the last mark was this part's."""
        now = self._clock()
        self.seconds[part] += now - self._since
        self._since = now

    def _mark(self, x: Tensor, before: str, behind: str) -> Tensor:
        self.close(before)
        marked: Tensor = _Mark.apply(x, self, behind)  # type: ignore[no-untyped-call]
        return marked


class _Mark(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, parts: Parts, behind: str) -> Tensor:
        ctx.parts, ctx.behind = parts, behind
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.parts.close(ctx.behind)
        return gradient, None, None


def _after(module: nn.Module, change: Any) -> None:
    module.register_forward_hook(lambda _module, _inputs, out: change(out))
