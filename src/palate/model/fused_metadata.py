"""What metadata say of every item, in few passes, forward and backward: the rows of values that an item has, summed,
through a nonlinearity to what they say of it.

A catalogue is described anew in each step of training, in small products whose bookkeeping would take as long as they
do. Here their gradients are written down; `reference_rows` and `reference_described` are the same, plainly.

Legend: ``V`` items, ``D`` the width, ``C`` values of all columns together, of width W; N = K W for K columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from palate.model.lookup import Sums, spread_rows, sum_rows
from palate.model.product import product, product_of_rows


class Instead(NamedTuple):
    """Rows that some items have in the place of others, ``H`` of them."""

    row: Int64[Tensor, "H"]
    where: Float[Tensor, "V H"]
    """How much of each row an item has."""


def reference_rows(weight: Float[Tensor, "D N"], columns: Sequence[int], *tables: Tensor) -> Float[Tensor, "C D"]:
    """Each table by the block of the weight that is its column's, one below the other; a table is ``[values, W]``."""
    width = tables[0].shape[1]
    return torch.cat(
        [table @ weight[:, width * k : width * (k + 1)].T for k, table in zip(columns, tables, strict=True)]
    )


def rows(weight: Float[Tensor, "D N"], columns: Sequence[int], *tables: Tensor) -> Float[Tensor, "C D"]:
    """`reference_rows`."""
    found: Tensor = _Rows.apply(weight, tuple(columns), *tables)  # type: ignore[no-untyped-call]
    return found


def reference_described(
    values: Float[Tensor, "C D"],
    sums: Sums,
    instead: Instead | None,
    plus: Float[Tensor, "V D"] | Float[Tensor, "D"],
    weight: Float[Tensor, "O D"],
    bias: Float[Tensor, "O"],
) -> Float[Tensor, "V O"]:
    """silu(sums of the values' rows + plus), multiplied by the weight."""
    before = values.new_zeros(len(sums.start), values.shape[1])
    before = before.index_add(0, sums.sum, values[sums.row] * sums.share[:, None]) + plus
    if instead is not None:
        before = before + instead.where @ values[instead.row]
    return F.linear(F.silu(before), weight, bias)


def described(
    values: Float[Tensor, "C D"],
    sums: Sums,
    instead: Instead | None,
    plus: Float[Tensor, "V D"] | Float[Tensor, "D"],
    weight: Float[Tensor, "O D"],
    bias: Float[Tensor, "O"],
) -> Float[Tensor, "V O"]:
    """`reference_described`; the shares have no gradient."""
    row, where = (None, None) if instead is None else instead
    found: Tensor = _Described.apply(values, *sums, row, where, plus, weight, bias)  # type: ignore[no-untyped-call]
    return found


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, columns: tuple[int, ...], *tables: Tensor) -> Tensor:
        ctx.save_for_backward(weight, *tables)
        ctx.columns = columns
        found = weight.new_empty(sum(len(table) for table in tables), len(weight))
        blocks = torch.split(weight, tables[0].shape[1], dim=1)
        for k, table, out in zip(columns, tables, torch.split(found, [len(table) for table in tables]), strict=True):
            torch.mm(table, blocks[k].T, out=out)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *tables = ctx.saved_tensors
        width = tables[0].shape[1]
        d_weight = torch.zeros_like(weight)
        blocks, d_blocks = torch.split(weight, width, dim=1), torch.split(d_weight, width, dim=1)
        found = []
        parts = torch.split(gradient, [len(table) for table in tables])
        for k, table, part in zip(ctx.columns, tables, parts, strict=True):
            found.append(torch.mm(part, blocks[k]))
            d_blocks[k].copy_(torch.mm(part.T, table))
        return d_weight, None, *found


class _Described(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        row: Tensor,
        share: Tensor,
        of: Tensor,
        start: Tensor,
        instead: Tensor | None,
        where: Tensor | None,
        plus: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> Tensor:
        before = sum_rows(values, Sums(row, share, of, start)).add_(plus)
        if instead is not None and where is not None:
            before.addmm_(where, values.index_select(0, instead))
        trunk = F.silu(before)
        ctx.save_for_backward(row, share, of, start, instead, where, weight, before, trunk)
        ctx.values, ctx.one = len(values), plus.ndim == 1
        return product(trunk, weight.T, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        row, share, of, start, instead, where, weight, before, trunk = ctx.saved_tensors
        d_before = torch.ops.aten.silu_backward(product(gradient, weight), before)
        d_values = spread_rows(d_before, Sums(row, share, of, start), ctx.values)
        if instead is not None:
            d_values.index_add_(0, instead, torch.mm(where.T, d_before))
        d_plus = d_before.sum(0) if ctx.one else d_before
        nothing = (None,) * 6
        return d_values, *nothing, d_plus, product_of_rows(gradient, trunk), gradient.sum(0)
