"""A generator's outputs, checked, measured and laid out for the compositor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_array
from lipforge.kernels.errors import InputError
from lipforge.kernels.spans import active_box
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.upsample import is_turned
from lipforge.kernels.warp.pack import LARGEST_SHIFT, measure_fields, pack_fields
from lipforge.kernels.warp.scratch import WarpScratch

# From RGB in 0..1 and 1 to the levels of red, green and blue.
RGB_LEVELS = np.array([[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0]], np.float32)


@dataclass(frozen=True)
class Fields:
    planes: NDArray[np.int16]
    size_px: int
    box: tuple[float, float, float, float]
    reach: tuple[float, float]
    border_px: float
    shift_bits: int
    turned: bool


def prepare_fields(
    scratch: WarpScratch,
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    spec: WarpSpec,
    strength: float,
    mixing: NDArray[np.float32],
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> Fields | None:
    require_array("mask", mask, np.float32, ("S", "S"))
    size_px = mask.shape[0]
    require_array("mask", mask, np.float32, (size_px, size_px))
    require_array("flow", flow, np.float32, (2, size_px, size_px))
    require_array("colour", colour, np.float32, (3, size_px, size_px))
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength must lie between 0 and 1, not {strength!r}.")
    if not spec.border_px >= 0.0:
        raise InputError(f"WarpSpec.border_px must be 0 or more, not {spec.border_px!r}.")
    finite, reach_x, reach_y, *cells = measure_fields(flow.view(np.int32), mask.view(np.int32), colour.view(np.int32))
    if not finite:
        raise InputError(
            "flow, mask and colour must be finite; they hold NaN or infinity. Check the model that made them."
        )
    if cells[2] == cells[0] or strength == 0.0:
        return None
    turned = is_turned(forward)
    box = active_box(cells, size_px)
    if turned:
        room = scratch.turned(size_px)
        for i, plane in enumerate([*flow, mask, *colour]):
            np.copyto(room[i], plane.T)
        flow, mask, colour = room[:2], room[2], room[3:]
        cells = [cells[1], cells[0], cells[3], cells[2]]
    planes = scratch.planes(size_px)
    reach = np.array([reach_x, reach_y], np.int32).view(np.float32).tolist()
    (a, b, _), (c, d, _) = inverse.tolist()
    longest = max(abs(a) * reach[0] + abs(b) * reach[1], abs(c) * reach[0] + abs(d) * reach[1]) * strength
    shift_bits = 14 if longest < 0.5 else max(0, min(14, math.floor(math.log2(LARGEST_SHIFT / longest))))
    unit = strength * 2.0**shift_bits
    pack_fields(
        flow,
        mask,
        colour,
        (a * unit, b * unit, c * unit, d * unit),
        strength,
        mixing,
        (max(cells[1] - 1, 0), min(cells[3] + 1, size_px)),
        planes,
    )
    return Fields(planes, size_px, box, tuple(reach), float(spec.border_px), shift_bits, turned)
