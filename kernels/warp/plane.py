"""One group of planes of a canvas: what a flow can reach is copied, then the planes are composited in place."""

from __future__ import annotations

import numpy as np

from lipforge.kernels.canvas import PIXEL_BYTES, PlaneGroup
from lipforge.kernels.errors import InputError
from lipforge.kernels.region import Region
from lipforge.kernels.simd.half_window import pixels_per_half
from lipforge.kernels.simd.number_formats import WIDTH
from lipforge.kernels.warp.fields import Fields
from lipforge.kernels.warp.kernels import composite_rows
from lipforge.kernels.warp.scratch import WarpScratch

LARGEST_REGION_PX = 10_900
"""Rows of the copy, which has a pixel more on both sides, must be shorter than 32768 bytes."""


def composite_planes(group: PlaneGroup, scratch: WarpScratch, fields: Fields) -> None:
    """Composite planes that share one geometry.

    Args:
        group: the planes, changed in place.
        scratch: gives the memory.
        fields: what to apply.

    Raises:
        InputError: the region that the flow can reach is too large.
    """
    target = Region.of_box(group.inverse, fields.box, group.shape)
    if target.empty:
        return
    source = target.grown(group.inverse, fields.reach, group.shape, columns=WIDTH)
    if max(source.width, source.height) > LARGEST_REGION_PX:
        raise InputError(
            f"the flow can reach a region of {source.width} x {source.height} px; at most {LARGEST_REGION_PX} px on a "
            "side are allowed. Check the transform and the model that made the flow."
        )
    pixels = pixels_per_half(group.forward)
    row_bytes = (source.width + 2) * PIXEL_BYTES[group.kind]
    copies = scratch.copy_room(len(group.planes), source.height + 2, row_bytes)
    planes = fields.planes
    row_room, columns = scratch.row_room(target.width, pixels)
    left, top, right, bottom = fields.box
    composite_rows(
        group.kind,
        (*group.addresses, copies[0], copies[-1], planes.ctypes.data),
        (*group.strides, row_bytes, planes.strides[1], planes.strides[0]),
        source.bounds,
        target.bounds,
        np.ascontiguousarray(group.forward[::-1]) if fields.turned else group.forward,
        (top, left, bottom, right) if fields.turned else fields.box,
        (fields.size_px, pixels, fields.shift_bits + group.halvings, int(fields.wide), group.halvings),
        fields.border_px,
        row_room,
        columns,
    )
