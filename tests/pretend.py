"""A device that is none: tensors of the processor that say they lie elsewhere, and don't mix with others.

It finds what only a GPU would: an operation on tensors of the processor and of the GPU, a tensor made in the wrong
place, NumPy asked for what is not in its memory. Everything is computed on the processor, so values can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME: Final = "pretend"


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, _Backend())
ELSEWHERE: Final = torch.device(NAME, 0)


class Far(torch.Tensor):
    """A tensor that lies elsewhere."""

    near: torch.Tensor
    """Where it really is."""
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> Far:
        far: Far = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=ELSEWHERE,
            dispatch_sizes_strides_policy="sizes",  # some operations change a tensor's shape in place
        )
        far.near = near
        return far

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Everywhere(TorchDispatchMode):
    """Also what makes tensors from nothing."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return function(*args, **kwargs) if kwargs.get("device") is None else _run(function, args, kwargs)


@contextmanager
def pretending() -> Iterator[torch.device]:
    """The device, for as long as it is there."""
    with _Everywhere(), torch.autograd.set_multithreading_enabled(False):
        yield ELSEWHERE


_MAY_MIX: Final = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations that a GPU does with tensors of the processor as well: copies, and indices."""


def _run(function: Any, args: Any, kwargs: Any) -> Any:
    name = function.overloadpacket.__name__
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    far = {id(each.near): each for each in given if isinstance(each, Far)}
    asked = kwargs.get("device")
    goes_far = bool(far) if asked is None else torch.device(asked).type == NAME
    if far and name not in _MAY_MIX:
        for each in given:
            # A number is a number wherever it lies.
            assert isinstance(each, Far) or not each.ndim, f"{name}: {tuple(each.shape)} lies on the processor"
    args, kwargs = tree_map(lambda each: each.near if isinstance(each, Far) else each, (args, kwargs))
    if asked is not None:
        kwargs["device"] = torch.device("cpu")
    if name == "copy_":
        goes_far = bool(far) and id(args[0]) in far
    found = function(*args, **kwargs)

    def placed(each: Any) -> Any:
        if not isinstance(each, torch.Tensor):
            return each
        return far.get(id(each), Far(each)) if goes_far else each

    return tree_map(placed, found)


def _empty(size: Any, *args: Any, dtype: Any = None, **_: Any) -> Far:
    stride = args[0] if args and args[0] is not None else None
    near = torch.empty(size, dtype=dtype) if stride is None else torch.empty_strided(size, stride, dtype=dtype)
    return Far(near)


def _copy_from(source: Any, target: Any, non_blocking: bool = False) -> Any:
    return _run(torch.ops.aten.copy_.default, (target, source), {})


_LIBRARY: Final = torch.library.Library("aten", "IMPL")
"""`torch.tensor` makes tensors where no mode sees it."""
_LIBRARY.impl("empty_strided", _empty, "PrivateUse1")
_LIBRARY.impl("empty.memory_format", _empty, "PrivateUse1")
_LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")
