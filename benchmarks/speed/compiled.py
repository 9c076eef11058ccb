"""Whether `torch.compile` pays on the processor: a feed-forward layer with its norm and gate, forward and backward.

    OMP_NUM_THREADS=1 python benchmarks/speed/compiled.py

Least processor milliseconds of 30 for 1,600 rows of width 128: as the model has it (products by oneDNN, gradients by
hand), plainly, and plainly but compiled. Needs a C++ compiler.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from palate.model.fused import RMSNorm, gated, reference_gated, reference_swiglu, swiglu

ROWS, WIDTH, INNER = 1600, 128, 352


def least(layer: Callable[[Tensor], Tensor], x: Tensor, times: int = 30) -> float:
    """Processor milliseconds."""
    found = []
    for _ in range(times):
        started = time.process_time()
        layer(x).sum().backward()
        found.append(time.process_time() - started)
    return 1e3 * min(found)


def main() -> None:
    """Print the three."""
    torch.set_num_threads(1)
    x = torch.randn(ROWS, WIDTH, requires_grad=True)
    into, out = torch.randn(2 * INNER, WIDTH, requires_grad=True), torch.randn(WIDTH, INNER, requires_grad=True)
    weight, bias = torch.randn(WIDTH, WIDTH, requires_grad=True), torch.randn(WIDTH, requires_grad=True)
    norm = RMSNorm(WIDTH)

    def ours(x: Tensor) -> Tensor:
        return gated(x, swiglu(norm(x), into, out), weight, bias, None)

    def plain(x: Tensor) -> Tensor:
        return reference_gated(x, reference_swiglu(F.rms_norm(x, (WIDTH,), norm.weight), into, out), weight, bias, None)

    compiled = torch.compile(plain, dynamic=False)
    started = time.perf_counter()
    compiled(x).sum().backward()
    print(f"compiling {time.perf_counter() - started:.0f} s")
    for name, layer in (("ours", ours), ("plain", plain), ("plain, compiled", compiled)):
        print(f"{name:16} {least(layer, x):.1f} ms")


if __name__ == "__main__":
    main()
