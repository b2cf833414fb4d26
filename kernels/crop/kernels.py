"""The crop's compiled kernels, declared; what they do is told where ``Kernel.source`` points."""

from __future__ import annotations

from lipforge.kernels.machine_code import Kernel

crop_bgr = Kernel(
    "lipforge.kernels.crop.numba_crop:crop_bgr",
    "boolean(uint8[::1],UniTuple(int64,4),UniTuple(float64,6),int64,uint8[::1],int64)",
)
crop_yuv = Kernel(
    "lipforge.kernels.crop.numba_crop:crop_yuv",
    "int64(UniTuple(uint8[::1],3),UniTuple(int64,9),float64,uint8[::1],UniTuple(float64,6),UniTuple(float64,12),"
    "int64,uint8[::1],int64)",
)


def all_kernels() -> tuple[Kernel, ...]:
    """Return the kernels that calls can need."""
    return crop_bgr, crop_yuv
