"""The crop's working memory: kept between frames so that a frame allocates nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def _no_bytes() -> NDArray[np.uint8]:
    return np.empty(0, np.uint8)


@dataclass
class CropScratch:
    """A buffer that grows when a larger face comes and is never given back; not for two threads at once.

    Attributes:
        record_buffer: uint8, 1-D, see ``vector_chroma``; its content is left over.
    """

    record_buffer: NDArray[np.uint8] = field(default_factory=_no_bytes)

    def grow(self, size: int) -> None:
        """Replace the buffer by a larger one.

        Args:
            size: bytes.
        """
        self.record_buffer = np.empty(size, np.uint8)
