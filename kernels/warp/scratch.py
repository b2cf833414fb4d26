"""The compositor's working memory: kept between frames so that a frame allocates nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.upsample import planes_shape

PLANES = 6
GATHER_BYTES = 16


@dataclass
class WarpScratch:
    byte_buffer: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    cell_buffer: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    turned_buffer: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    rest: NDArray[np.uint8] = field(default_factory=lambda: np.empty(64, np.uint8))
    plan: NDArray[np.int32] = field(default_factory=lambda: np.empty(102400, np.int32))

    def pixels(self, count: int, height: int, row_bytes: int) -> list[int]:
        used = height * row_bytes + GATHER_BYTES
        if self.byte_buffer.size < count * used:
            self.byte_buffer = np.empty(count * used, np.uint8)
        start = self.byte_buffer.ctypes.data
        return [start + i * used for i in range(count)]

    def planes(self, size_px: int) -> NDArray[np.int16]:
        shape = planes_shape(PLANES, size_px)
        needed = shape[0] * shape[1] * shape[2]
        if self.cell_buffer.size < needed:
            self.cell_buffer = np.zeros(needed, np.int16)
        return self.cell_buffer[:needed].reshape(shape)

    def turned(self, size_px: int) -> NDArray[np.float32]:
        needed = PLANES * size_px * size_px
        if self.turned_buffer.size < needed:
            self.turned_buffer = np.empty(needed, np.float32)
        return self.turned_buffer[:needed].reshape(PLANES, size_px, size_px)
