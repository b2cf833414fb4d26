"""The way through an output of any layout, for the compiled crop."""

from __future__ import annotations

from typing import Any

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.layouts import BYTE_PLANES, FLOAT_PLANES
from lipforge.kernels.simd.lanes import LANES, copy_bytes

SPARE_BYTES = 3 * 4 * LANES
"""Room for eight pixels in any layout: the last ones of a row whose length is no multiple of eight go there first."""


@compiled
def described(address: int, layout: int, size_px: int) -> Any:
    """Return, as five int64, what leads through an output.

    They are the address of the first pixel, in the plane of its first channel; bytes from plane to plane, in the output
    and in the spare room; bytes from pixel to pixel; and how many planes there are.
    """
    if layout < BYTE_PLANES:
        return address, 0, 0, 3, 1
    width = 1 if layout < FLOAT_PLANES else 4
    plane_bytes = size_px * size_px * width
    if layout % 2 == 0:
        return address, plane_bytes, LANES * width, width, 3
    return address + 2 * plane_bytes, -plane_bytes, LANES * width, width, 3


@compiled
def copy_rest(output: Any, target: int, spare: int, count: int) -> None:
    """Copy the first ``count`` of eight pixels from the spare room to where they belong."""
    for plane in range(output[4]):
        copy_bytes(target + plane * output[1], spare + plane * output[2], count * output[3])
