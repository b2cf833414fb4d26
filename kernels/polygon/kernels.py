"""The polygons' compiled kernel, declared; what it does is told where ``Kernel.source`` points."""

from __future__ import annotations

from lipforge.kernels.machine_code import Kernel

fill_contour = Kernel(
    "lipforge.kernels.polygon.numba_polygon:fill_contour",
    "void(float64[:,::1],uint8[:,::1])",
)


def all_kernels() -> tuple[Kernel, ...]:
    """Return the kernels that calls can need."""
    return (fill_contour,)
