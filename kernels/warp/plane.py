"""One plane, or two planes of the same size, of an image: copy what a flow can reach, then composite in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.region import Region
from lipforge.kernels.upsample import pixels_per_half
from lipforge.kernels.warp.fields import Fields
from lipforge.kernels.warp.numba_warp import PIXEL_BYTES, composite_rows, copy_region
from lipforge.kernels.warp.scratch import WarpScratch


def composite_plane(
    kind: int,
    planes: list[NDArray[np.uint8]],
    scratch: WarpScratch,
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
    fields: Fields,
    halvings: int = 0,
) -> None:
    shape = planes[0].shape[:2]
    target = Region.of_box(inverse, fields.box, shape)
    if target.empty:
        return
    source = target.grown(inverse, *fields.reach, shape)
    pixel_bytes = PIXEL_BYTES[kind]
    row_bytes = (source.width + 2) * pixel_bytes
    copies = scratch.pixels(len(planes), source.height + 2, row_bytes)
    for copy, plane in zip(copies, planes, strict=True):
        start = plane.ctypes.data + source.top * plane.strides[0] + source.left * pixel_bytes
        copy_region(start, plane.strides[0], copy, row_bytes, (source.width, source.height, pixel_bytes))
    cells = fields.planes
    left, top, right, bottom = fields.box
    composite_rows(
        kind,
        (planes[0].ctypes.data, planes[-1].ctypes.data, copies[0], copies[-1], cells.ctypes.data, scratch.rest.ctypes.data),
        (planes[0].strides[0], planes[-1].strides[0], row_bytes, cells.strides[1], cells.strides[0]),
        source.bounds,
        target.bounds,
        np.ascontiguousarray(forward[::-1]) if fields.turned else forward,
        (top, left, bottom, right) if fields.turned else fields.box,
        fields.size_px,
        pixels_per_half(forward),
        fields.shift_bits + halvings,
        fields.border_px,
        scratch.plan,
    )
