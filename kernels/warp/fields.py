"""A generator's outputs, checked, measured and laid out for the compositor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_array
from lipforge.kernels.canvas import Canvas
from lipforge.kernels.errors import InputError
from lipforge.kernels.region import active_box
from lipforge.kernels.simd.half_window import is_turned
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp.kernels import measure_fields, pack_colours, pack_shift
from lipforge.kernels.warp.layout import LARGEST_SHIFT, WIDE_BITS
from lipforge.kernels.warp.scratch import WarpScratch

FINE_BITS = 9
"""An int16 displacement has at least so many fraction bits: 1/512 px, less than half a level even between black and
white neighbours. Longer ones (above 32 px) are int32, and their blocks take half as long again."""


@dataclass(frozen=True)
class Fields:
    """What the compositor needs to know of flow, mask and colour.

    Attributes:
        planes: int16 (8, S + 10, S + 10), see ``pack_shift`` and ``pack_colours``.
        size_px: S.
        box: left, top, right, bottom in crop px; outside it flow and mask are zero.
        reach: largest |flow| along x and y in crop px.
        border_px: width of the border's ramp in crop px.
        shift_bits: fraction bits of the displacements in px of the canvas, if they are int16.
        wide: they are int32 with WIDE_BITS instead.
        turned: x and y of the planes are exchanged.
    """

    planes: NDArray[np.int16]
    size_px: int
    box: tuple[float, float, float, float]
    reach: tuple[float, float]
    border_px: float
    shift_bits: int
    wide: bool
    turned: bool


def prepare_fields(
    canvas: Canvas,
    scratch: WarpScratch,
    outputs: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    spec: WarpSpec,
    strength: float,
) -> Fields | None:
    """Check a generator's outputs and pack them; None if they change nothing.

    Args:
        canvas: what they are applied to.
        scratch: gives the memory of the planes.
        outputs: flow float32 (2, S, S), x then y, in crop px; mask float32 (S, S), in [0, 1]; colour float32 (3, S, S)
            RGB, in [0, 1].
        spec: the border ramp.
        strength: in [0, 1].

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or a value is not finite.
    """
    size_px = _check(outputs, spec, strength)
    finite, reach, cells = measure_fields(*(plane.view(np.int32) for plane in outputs))
    if not finite:
        raise InputError(
            "flow, mask and colour must be finite; they hold NaN or infinity. Check the model that made them."
        )
    if cells[2] == cells[0] or strength == 0.0:
        return None
    first, turned = canvas.groups[0], is_turned(canvas.groups[0].forward)
    planes = scratch.field_planes(size_px)
    (a, b, _), (c, d, _) = first.inverse.tolist()
    longest = strength * max(abs(a) * reach[0] + abs(b) * reach[1], abs(c) * reach[0] + abs(d) * reach[1])
    shift_bits = _shift_bits(longest)
    wide = shift_bits < FINE_BITS
    unit = strength * 2.0 ** (WIDE_BITS if wide else shift_bits)
    top, bottom = (cells[0], cells[2]) if turned else (cells[1], cells[3])
    rows = max(top - 1, 0), min(bottom + 1, size_px)
    flow, mask, colour = _turned(outputs, scratch) if turned else outputs
    pack_shift(flow, (a * unit, b * unit, c * unit, d * unit), wide, rows, planes)
    pack_colours(mask, colour, strength, canvas.mixing, rows, planes)
    return Fields(planes, size_px, active_box(cells, size_px), reach, float(spec.border_px), shift_bits, wide, turned)


def _check(outputs: tuple[Any, Any, Any], spec: WarpSpec, strength: float) -> int:
    flow, mask, colour = outputs
    require_array("mask", mask, np.float32, ("S", "S"))
    size_px = int(mask.shape[0])
    require_array("mask", mask, np.float32, (size_px, size_px))
    require_array("flow", flow, np.float32, (2, size_px, size_px))
    require_array("colour", colour, np.float32, (3, size_px, size_px))
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength must lie between 0 and 1, not {strength!r}.")
    if not spec.border_px >= 0.0:
        raise InputError(f"WarpSpec.border_px must be 0 or more, not {spec.border_px!r}.")
    return size_px


def _shift_bits(longest_px: float) -> int:
    """Return how many fraction bits a displacement can have in an int16, from 0 to 13."""
    return max(0, math.floor(math.log2(LARGEST_SHIFT / max(longest_px, 1.0))))


def _turned(outputs: tuple[NDArray[np.float32], ...], scratch: WarpScratch) -> tuple[NDArray[np.float32], ...]:
    """Return copies of flow, mask and colour with x and y exchanged."""
    flow, mask, colour = outputs
    room = scratch.turned_planes(mask.shape[0])
    for to, plane in zip(room, (*flow, mask, *colour), strict=True):
        np.copyto(to, plane.T)
    return room[:2], room[2], room[3:]
