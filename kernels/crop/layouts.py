"""How a crop lies in memory, described to the compiled crop in plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXELS, PIXELS_REVERSED, BYTE_PLANES, FLOAT_PLANES = 0, 1, 2, 3
"""uint8 (S, S, 3); the same with the channels of a pixel reversed; uint8 (3, S, S); float32 (3, S, S)."""


def pixels_layout(out: NDArray[np.uint8], reverse_channels: bool) -> tuple[int, int, int]:
    """Return address, layout and 0 of an output uint8 (S, S, 3)."""
    return out.ctypes.data, PIXELS_REVERSED if reverse_channels else PIXELS, 0


def planes_layout(out: NDArray[Any], reverse_channels: bool) -> tuple[int, int, int]:
    """Return address of the first channel's plane, layout and bytes to the next channel's of an output (3, S, S)."""
    layout = FLOAT_PLANES if out.dtype == np.float32 else BYTE_PLANES
    address, plane_bytes = out.ctypes.data, out.strides[0]
    if reverse_channels:
        return address + 2 * plane_bytes, layout, -plane_bytes
    return address, layout, plane_bytes
