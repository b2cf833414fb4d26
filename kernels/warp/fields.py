"""A generator's outputs, checked, measured and laid out for the compositor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_array
from lipforge.kernels.errors import InputError
from lipforge.kernels.spans import active_box
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp.numba_warp import measure_fields, pack_fields
from lipforge.kernels.warp.scratch import WarpScratch

# From RGB in 0..1 and 1 to the levels of red, green and blue.
RGB_LEVELS = np.array([[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0]], np.float32)


@dataclass(frozen=True)
class Fields:
    """What the compositor needs to know of flow, mask and colour.

    Attributes:
        records: float32 (S + 1, S + 1, 8), see ``pack_fields``.
        size_px: S.
        box: left, top, right, bottom in crop px; outside it flow and mask are zero.
        reach: largest |flow| along x and y in crop px.
        ramp: slope and lift of the border ramp, and strength.
    """

    records: NDArray[np.float32]
    size_px: int
    box: tuple[float, float, float, float]
    reach: tuple[float, float]
    ramp: tuple[float, float, float]


def prepare_fields(
    scratch: WarpScratch,
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    spec: WarpSpec,
    strength: float,
    mixing: NDArray[np.float32],
) -> Fields | None:
    """Check the outputs and pack them; None if they change nothing.

    Args:
        scratch: gives the memory of the records.
        flow: float32 (2, S, S), x then y, in crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        spec: the border ramp.
        strength: in [0, 1].
        mixing: float32 (3, 4), from red, green, blue and 1 to the levels that the image stores.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or a value is not finite.
    """
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
    records = scratch.fields(size_px)
    pack_fields(flow, mask, colour, mixing, (max(cells[1] - 1, 0), min(cells[3] + 1, size_px)), records)
    slope, lift = (1.0 / spec.border_px, 0.0) if spec.border_px > 0.0 else (0.0, 1.0)
    reach = np.array([reach_x, reach_y], np.int32).view(np.float32)
    return Fields(
        records, size_px, active_box(cells, size_px), (float(reach[0]), float(reach[1])), (slope, lift, float(strength))
    )
