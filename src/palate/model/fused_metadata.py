"""What metadata say of every item, in few passes, forward and backward: the rows of values that an item has, summed,
through a nonlinearity to what they say of it.

A catalogue is described anew in each step of training, in small products whose bookkeeping would take as long as they
do. Here their gradients are written down; `reference_rows` and `reference_described` are the same, plainly.

Legend: ``V`` items, ``D`` the width, ``C`` values of all columns together, of width W; N = K W for K columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from palate.model.lookup import spread_rows, sum_rows
from palate.model.product import product, product_of_rows


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
    index: Int64[Tensor, "V N"],
    share: Float[Tensor, "V N"],
    plus: Float[Tensor, "V D"] | Float[Tensor, "D"],
    weight: Float[Tensor, "O D"],
    bias: Float[Tensor, "O"],
) -> Float[Tensor, "V O"]:
    """silu(shares of the values' rows + plus), multiplied by the weight."""
    return F.linear(F.silu((values[index] * share[..., None]).sum(1) + plus), weight, bias)


def described(
    values: Float[Tensor, "C D"],
    index: Int64[Tensor, "V N"],
    share: Float[Tensor, "V N"],
    plus: Float[Tensor, "V D"] | Float[Tensor, "D"],
    weight: Float[Tensor, "O D"],
    bias: Float[Tensor, "O"],
) -> Float[Tensor, "V O"]:
    """`reference_described`; the shares have no gradient."""
    found: Tensor = _Described.apply(values, index, share, plus, weight, bias)  # type: ignore[no-untyped-call]
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
        ctx: Any, values: Tensor, index: Tensor, share: Tensor, plus: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        before = sum_rows(values, index, share).add_(plus)
        trunk = F.silu(before)
        ctx.save_for_backward(index, share, weight, before, trunk)
        ctx.values, ctx.one = len(values), plus.ndim == 1
        return product(trunk, weight.T, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        index, share, weight, before, trunk = ctx.saved_tensors
        d_before = torch.ops.aten.silu_backward(product(gradient, weight), before)
        d_values = spread_rows(d_before, index, share, ctx.values)
        d_plus = d_before.sum(0) if ctx.one else d_before
        return d_values, None, None, d_plus, product_of_rows(gradient, trunk), gradient.sum(0)
