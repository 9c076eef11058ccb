"""Products in fewer bits, by torch's autocast: what gradients written down by hand have to do about it.

Autocast lowers products where torch records them itself, and not inside of a function with a gradient of its own. So
such a function gets everything that is multiplied in the lower type, and its gradients come in that type as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def lowered(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A ``forward`` of a `torch.autograd.Function` that works in the type of autocast, where that is on."""

    @wraps(forward)
    def wrapped(ctx: Any, first: Tensor, *others: Any) -> Tensor:
        kind = first.device.type
        if not torch.is_autocast_enabled(kind):
            return forward(ctx, first, *others)
        dtype = torch.get_autocast_dtype(kind)
        with torch.autocast(kind, enabled=False):
            return forward(ctx, *(_cast(each, dtype) for each in (first, *others)))

    return wrapped


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
