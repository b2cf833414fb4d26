"""The crop's compiled kernels, declared; what they do is told where ``Kernel.source`` points."""

from __future__ import annotations

from lipforge.kernels.machine_code import Kernel

crop_rows = Kernel(
    "lipforge.kernels.crop.numba_crop:crop_rows",
    "void(int64[:,::1],float64[:,::1],float64[:,::1],float64[:,::1],uint8[:,:,::1])",
)


def all_kernels() -> tuple[Kernel, ...]:
    """Return the kernels that calls can need."""
    return (crop_rows,)
