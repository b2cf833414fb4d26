"""One plane, or two planes of the same size, of an image: copy what a flow can reach, then composite in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.region import Region
from lipforge.kernels.warp.fields import Fields
from lipforge.kernels.warp.numba_warp import PIXEL_BYTES, composite_rows
from lipforge.kernels.warp.scratch import WarpScratch


def composite_plane(
    kind: int,
    planes: list[NDArray[np.uint8]],
    scratch: WarpScratch,
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
    fields: Fields,
) -> None:
    """Composite planes that share one geometry.

    Args:
        kind: BGR, LUMA, SEPARATE_CHROMA or PAIRED_CHROMA of ``numba_warp``.
        planes: one array, or U and V; uint8 (H, W) or (H, W, channels), changed in place.
        scratch: gives the memory of the copy.
        forward: float64 (2, 3), px of these planes to crop px.
        inverse: float64 (2, 3), crop px to px of these planes.
        fields: what to apply.
    """
    shape = planes[0].shape[:2]
    target = Region.of_box(inverse, fields.box, shape)
    if target.empty:
        return
    source = target.grown(inverse, *fields.reach, shape)
    pixel_bytes = PIXEL_BYTES[kind]
    copies = scratch.pixels(len(planes), source.height, source.width * pixel_bytes)
    for copy, plane in zip(copies, planes, strict=True):
        region = plane[source.top : source.bottom, source.left : source.right]
        np.copyto(copy.reshape(region.shape), region)
    addresses = [(array[0].ctypes.data, array[-1].ctypes.data) for array in (planes, copies)]
    composite_rows(
        kind,
        (*addresses[0], *addresses[1], fields.records.ctypes.data),
        (planes[0].strides[0], planes[-1].strides[0], source.width * pixel_bytes),
        source.bounds,
        target.bounds,
        forward,
        inverse,
        fields.box,
        fields.size_px,
        fields.ramp,
    )
