"""The compositor's working memory: kept between frames so that a frame allocates nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.buffers import Buffer
from lipforge.kernels.cell_planes import planes_shape
from lipforge.kernels.simd.half_window import plan_bytes
from lipforge.kernels.simd.number_formats import GATHER_BYTES, REST_BYTES
from lipforge.kernels.warp.layout import RECORD_BYTES

OUTPUT_PLANES, FIELD_PLANES = 6, 8


@dataclass
class WarpScratch:
    """Buffers that grow when a larger region comes and are never given back; not for two threads at once."""

    copies: Buffer = field(default_factory=lambda: Buffer(np.uint8))
    fields: Buffer = field(default_factory=lambda: Buffer(np.int16))
    turned: Buffer = field(default_factory=lambda: Buffer(np.float32))
    row: Buffer = field(default_factory=lambda: Buffer(np.uint8))
    columns: Buffer = field(default_factory=lambda: Buffer(np.int32))

    def copy_room(self, count: int, height: int, row_bytes: int) -> list[int]:
        """Return addresses of room for copies of image regions, each of ``height`` rows and what a gather may touch."""
        used = height * row_bytes + GATHER_BYTES
        start = self.copies.room(count * used).ctypes.data
        return [start + i * used for i in range(count)]

    def field_planes(self, size_px: int) -> NDArray[np.int16]:
        """Return room for the fields as ``pack_fields`` fills it, int16 (8, S + 10, S + 10)."""
        return self.fields.room(*planes_shape(FIELD_PLANES, size_px))

    def turned_planes(self, size_px: int) -> NDArray[np.float32]:
        """Return room for flow, mask and colour with x and y exchanged, float32 (6, S, S)."""
        return self.turned.room(OUTPUT_PLANES, size_px, size_px)

    def row_room(self, width: int, pixels: int) -> tuple[tuple[int, int, int], NDArray[np.int32]]:
        """Return addresses of room for a block's pixels, a row's plan and its records, and for the blocks' columns.

        Args:
            width: of a row in px.
            pixels: how many a half of a block has.
        """
        blocks, plan = -(-width // (2 * pixels)), plan_bytes(width, pixels)
        start = self.row.room(REST_BYTES + plan + blocks * RECORD_BYTES).ctypes.data
        return (start, start + REST_BYTES, start + REST_BYTES + plan), self.columns.room(blocks)
