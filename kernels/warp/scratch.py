"""The compositor's working memory: kept between frames so that a frame allocates nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.warp.vector_warp import RECORD


def _no_bytes() -> NDArray[np.uint8]:
    return np.empty(0, np.uint8)


def _no_values() -> NDArray[np.float32]:
    return np.empty(0, np.float32)


@dataclass
class WarpScratch:
    """Buffers that grow when a larger region comes and are never given back; not for two threads at once."""

    byte_buffer: NDArray[np.uint8] = field(default_factory=_no_bytes)
    value_buffer: NDArray[np.float32] = field(default_factory=_no_values)

    def pixels(self, count: int, height: int, row_bytes: int) -> list[NDArray[np.uint8]]:
        """Return room for copies of image regions; their content is left over.

        A gather of the last pixel touches the row below and 8 bytes: both exist behind every copy.

        Args:
            count: how many copies.
            height: rows of a copy.
            row_bytes: bytes of its rows.

        Returns:
            ``count`` arrays, uint8 (height, row_bytes), C-contiguous.
        """
        used, spaced = height * row_bytes, (height + 1) * row_bytes + 8
        if self.byte_buffer.size < count * spaced:
            self.byte_buffer = np.empty(count * spaced, np.uint8)
        starts = [i * spaced for i in range(count)]
        return [self.byte_buffer[start : start + used].reshape(height, row_bytes) for start in starts]

    def fields(self, size_px: int) -> NDArray[np.float32]:
        """Return room for the field records, float32 (S + 1, S + 1, 8); finite values of an earlier frame."""
        needed = (size_px + 1) ** 2 * RECORD
        if self.value_buffer.size < needed:
            self.value_buffer = np.zeros(needed, np.float32)
        return self.value_buffer[:needed].reshape(size_px + 1, size_px + 1, RECORD)
