"""What the committed rows of a member leave behind: keys and values of all layers, and summaries of old blocks.

Only rows whose event is known are committed. The row that asks is worked out anew each time, and never kept: once its
event is there, the row is committed with the request-time fields that the event really had.

With windowed attention the rows of a block are forgotten as soon as the next row no longer sees them one by one; what
is left of them is their summary, and of blocks further back one summary for all. So a cache grows no further than
window, block and summaries.

Legend: ``N`` layers, ``H`` heads of width ``E``, ``r`` vectors a summary, ``m`` blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from palate.config import Config
from palate.model.grid import Span
from palate.model.storage import Precision, Rows


class CacheConfig(Config):
    """How much is cached, and how."""

    megabytes: float = Field(default=256, ge=0)
    """MiB for all caches; beyond them, those of the members that were asked for least recently go."""
    precision: Precision = "float32"
    """How keys and values are kept; bfloat16 and int8 take a half and a quarter, and round."""
    steps: int = Field(default=32, ge=1)
    """Most rows that are added to a cache one by one; a member with more new ones is worked out anew, in one go."""


class Folded(NamedTuple):
    """Summaries of blocks, in all layers."""

    weight: Float[Tensor, "N H m r"]
    """As `palate.model.summary.Pooled.weight`."""
    vectors: Float[Tensor, "2 N H m r E"]
    """Keys and values."""
    rows: Int64[Tensor, "m"]
    """How many rows each stands for."""
    time: Int64[Tensor, "m"]
    """The sum of their moments in milliseconds."""

    def take(self, blocks: slice) -> Folded:
        """Some of the blocks."""
        return Folded(self.weight[:, :, blocks], self.vectors[:, :, :, blocks], self.rows[blocks], self.time[blocks])

    def together(self) -> Folded:
        """One summary of all blocks."""
        shares = self.weight.softmax(2)[..., None]
        return Folded(
            self.weight.logsumexp(2, keepdim=True),
            (shares * self.vectors).sum(3, keepdim=True),
            self.rows.sum(0, keepdim=True),
            self.time.sum(0, keepdim=True),
        )

    def then(self, other: Folded) -> Folded:
        """These blocks and the others behind them."""
        axes = (2, 3, 0, 0)
        return Folded(*(torch.cat(pair, dim=axis) for *pair, axis in zip(self, other, axes, strict=True)))

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return sum(each.numel() * each.element_size() for each in self)


class MemberCache:
    """The committed rows of one member's view: places ``[start, stop)`` of the history."""

    def __init__(self, rows: Rows, *, start: int) -> None:
        self.rows = rows
        """Those that are seen one by one."""
        self.start = self.stop = start
        self.version = 0
        """The oldest version of the items' metadata that any of its rows was read with."""
        self.old: Folded | None = None
        """Summaries of the blocks before them, of which the first ``shared`` stands for several."""
        self.shared = False

    @property
    def first(self) -> int:
        """Place of the first row that is seen one by one."""
        return self.stop - self.rows.length

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return self.rows.nbytes + (0 if self.old is None else self.old.nbytes)

    def append(self, rows: Float[Tensor, "2 N H n E"], time: Int64[Tensor, "n"]) -> None:
        """Commit the rows that follow."""
        self.rows.append(rows, time)
        self.stop += len(time)

    def due(self, span: Span) -> int:
        """How many blocks the next row no longer sees one by one."""
        next_block, first_block = self.stop // span.block, self.first // span.block
        return max(next_block - span.back - first_block, 0)

    def fold(self, folded: Folded, span: Span) -> None:
        """Put the summaries of the first blocks in the place of their rows."""
        old = folded if self.old is None else self.old.then(folded)
        surplus = len(old.rows) - self.shared - span.own
        if surplus > 0:
            count = surplus + self.shared
            old = old.take(slice(0, count)).together().then(old.take(slice(count, None)))
            self.shared = True
        self.old = old
        self.rows.drop(int(folded.rows.sum()))

    def copy(self) -> MemberCache:
        """Another one with the same rows, to go on from without touching this one."""
        other = MemberCache(self.rows.copy(), start=self.start)
        other.stop, other.version, other.old, other.shared = self.stop, self.version, self.old, self.shared
        return other


class CacheStore:
    """Caches of members, in bounded memory: those that were used least recently go first."""

    def __init__(self, config: CacheConfig) -> None:
        self._most = int(config.megabytes * 2**20)
        self._caches: OrderedDict[Hashable, tuple[MemberCache, int]] = OrderedDict()
        self.nbytes = 0
        """What all of them take."""
        self.evicted = 0
        """How many went for lack of room."""

    def __len__(self) -> int:
        return len(self._caches)

    def __contains__(self, member: Hashable) -> bool:
        return member in self._caches

    def get(self, member: Hashable) -> MemberCache | None:
        """A member's cache, where there is one; it counts as used."""
        found = self._caches.get(member)
        if found is None:
            return None
        self._caches.move_to_end(member)
        return found[0]

    def put(self, member: Hashable, cache: MemberCache) -> None:
        """Keep a cache, or note that it has grown; others may go. One that is larger than all room goes itself."""
        self.forget(member)
        if cache.nbytes > self._most:
            self.evicted += 1
            return
        self._caches[member] = cache, cache.nbytes
        self.nbytes += cache.nbytes
        while self.nbytes > self._most:
            _, (_, size) = self._caches.popitem(last=False)
            self.nbytes -= size
            self.evicted += 1

    def forget(self, member: Hashable) -> None:
        """Drop a member's cache, if there is one."""
        _, size = self._caches.pop(member, (None, 0))
        self.nbytes -= size
