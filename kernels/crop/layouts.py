"""How a crop lies in memory."""

from __future__ import annotations

from typing import Any

from lipforge.kernels.compiled import compiled
from lipforge.kernels.lanes import LANES, copy_bytes

# uint8 (S, S, 3); uint8 (3, S, S); float32 (3, S, S), level / 255. One more reverses the order of the channels.
PIXELS, BYTE_PLANES, FLOAT_PLANES = 0, 2, 4

SPARE_BYTES = 3 * 4 * LANES
"""Room for eight pixels in any layout: the last ones of a row whose length is no multiple of eight go there first."""


@compiled
def described(address: int, layout: int, size_px: int) -> Any:
    """Return what the functions below need, five int64.

    They are the address of the first pixel's first byte or plane; the layout, without the order of channels if it has
    planes; the bytes from plane to plane; the bytes from pixel to pixel; and how many such pieces a pixel has.
    """
    if layout < BYTE_PLANES:
        return address, layout, 0, 3, 1
    width = 1 if layout < FLOAT_PLANES else 4
    plane_bytes = size_px * size_px * width
    if layout % 2 == 0:
        return address, layout, plane_bytes, width, 3
    return address + 2 * plane_bytes, layout - 1, -plane_bytes, width, 3


@compiled
def address_of(output: Any, pixel: int) -> int:
    """Return the address of a pixel, the crop's pixels counted row by row."""
    return output[0] + pixel * output[3]


@compiled
def block_of(output: Any, first: int, block: int) -> Any:
    """Return address, layout and plane step of a block of eight pixels, counted from the one at address ``first``."""
    return first + block * LANES * output[3], output[1], output[2]


@compiled
def spare_block(output: Any, spare: int) -> Any:
    """Return the same of a block in the room at address ``spare``, planes one behind the other."""
    return spare, output[1], LANES * output[3]


@compiled
def copy_rest(output: Any, first: int, block: int, spare: int, count: int) -> None:
    """Copy the first ``count`` pixels of a spare block to where they belong."""
    target, width = first + block * LANES * output[3], output[3]
    for piece in range(output[4]):
        copy_bytes(target + piece * output[2], spare + piece * LANES * width, count * width)
