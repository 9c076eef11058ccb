"""Matrix products, by the fastest float32 kernels that torch has on this processor.

torch multiplies float32 matrices by MKL, which on processors with AVX-512 that are not Intel's uses half of their
width: a product takes twice as long as by oneDNN, which torch brings along as well. So on the processor and with
AVX-512, `product` asks oneDNN; it is float32 throughout, sums in another order, and gives the same bits for the same
shapes and number of threads. Everywhere else, and for other types, it is `torch.mm`.

`linear` has both gradients by the same kernels; `torch.nn.functional.linear` says the same plainly.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

HAS_ONEDNN: bool = (
    torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
)
"""Whether products of float32 on the processor go through oneDNN."""

ROWS = 16
"""oneDNN compiles a kernel for each shape that it meets, in about the time of a product, and keeps a thousand of them.
It is only asked for multiples of so many rows, so that batches of all sizes share few kernels."""

LEAST_WIDTH = 64
"""Narrower matrices than this are not worth the copy that oneDNN needs to sum over their rows."""


def product(
    a: Float[Tensor, "m k"], b: Float[Tensor, "k n"], plus: Float[Tensor, "n"] | Float[Tensor, "m n"] | None = None
) -> Float[Tensor, "m n"]:
    """``a @ b + plus``, without a gradient.

    ``b`` may lie either way; what is not contiguous is copied, since oneDNN would read what lies between. ``a`` best
    has a multiple of `ROWS` rows.
    """
    m = len(a)
    if not _by_onednn(a) or m < ROWS or 0 in (*a.shape, *b.shape):
        return torch.mm(a, b) if plus is None else torch.addmm(plus, a, b)
    more = -m % ROWS
    a = F.pad(a, (0, 0, 0, more)) if more else a
    if plus is None or plus.ndim == 1:
        plus = None if plus is None else plus.contiguous()
        found: Tensor = torch.ops.mkldnn._linear_pointwise(a, _dense(b).T, plus, "none", [], "")
    else:
        plus = F.pad(plus, (0, 0, 0, more)) if more else plus
        found = torch.ops.mkldnn._linear_pointwise.binary(a, plus, _dense(b).T, None, "add")
    return found[:m]


def product_of_rows(a: Float[Tensor, "m k"], b: Float[Tensor, "m n"]) -> Float[Tensor, "k n"]:
    """``a.T @ b``, by copying the narrower of the two; it may come transposed in memory."""
    if a.shape[1] > b.shape[1]:
        return product_of_rows(b, a).T
    whole = len(a) - len(a) % ROWS
    if not _by_onednn(a) or not whole or a.shape[1] < LEAST_WIDTH:
        return torch.mm(a.T, b)
    found: Tensor = torch.ops.mkldnn._linear_pointwise(a[:whole].T, _dense(b[:whole]).T, None, "none", [], "")
    return found if whole == len(a) else found.addmm_(a[whole:].T, b[whole:])


def whole_rows(x: Float[Tensor, "T D"]) -> Float[Tensor, "T2 D"]:
    """With rows of zeros up to a multiple of `ROWS`, so that the products behind need not copy."""
    return F.pad(x, (0, 0, 0, -len(x) % ROWS)) if _by_onednn(x) else x


def linear(
    x: Float[Tensor, "*T k"], weight: Float[Tensor, "n k"], bias: Float[Tensor, "n"] | None = None
) -> Float[Tensor, "*T n"]:
    """``x @ weight.T + bias``."""
    if not _by_onednn(x):
        return F.linear(x, weight, bias)
    flat = x.reshape(-1, x.shape[-1])
    found: Tensor = _Linear.apply(flat, weight, bias)  # type: ignore[no-untyped-call]
    return found.view(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """`torch.nn.Linear` by `linear`: the same parameters, the same first weights."""

    def forward(self, input: Float[Tensor, "*T k"]) -> Float[Tensor, "*T n"]:
        """``input @ weight.T + bias``."""
        return linear(input, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight.T, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            product(gradient, weight) if needs_x else None,
            product_of_rows(gradient, x) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


def _dense(b: Tensor) -> Tensor:
    """A matrix whose rows or columns follow each other without gaps; others take oneDNN a hundred times as long."""
    return b if b.is_contiguous() or b.T.is_contiguous() else b.contiguous()


def _by_onednn(x: Tensor) -> bool:
    on_processor = HAS_ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32
    return on_processor and not torch.is_autocast_enabled("cpu")
