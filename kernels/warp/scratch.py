"""The compositor's working memory: kept between frames so that a frame allocates nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FIELDS = 6  # flow x, flow y, mask, red, green, blue


def _no_bytes() -> NDArray[np.uint8]:
    return np.empty(0, np.uint8)


def _no_values() -> NDArray[np.float32]:
    return np.empty(0, np.float32)


@dataclass
class WarpScratch:
    """Buffers that grow when a larger region comes and are never given back; not for two threads at once."""

    byte_buffer: NDArray[np.uint8] = field(default_factory=_no_bytes)
    value_buffer: NDArray[np.float32] = field(default_factory=_no_values)

    def pixels(self, height: int, width: int) -> NDArray[np.uint8]:
        """Return room for a copy of an image region, uint8 (height, width, 3); its content is left over."""
        needed = height * width * 3
        if self.byte_buffer.size < needed:
            self.byte_buffer = np.empty(needed, np.uint8)
        return self.byte_buffer[:needed].reshape(height, width, 3)

    def fields(self, size_px: int) -> NDArray[np.float32]:
        """Return room for the interleaved planes, float32 (S, S, 6); its content is left over."""
        needed = size_px * size_px * FIELDS
        if self.value_buffer.size < needed:
            self.value_buffer = np.empty(needed, np.float32)
        return self.value_buffer[:needed].reshape(size_px, size_px, FIELDS)
