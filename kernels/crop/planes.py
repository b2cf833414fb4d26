"""Describes image planes to the crop kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plane:
    """An image plane that the kernel may load whole words from.

    Attributes:
        pixels: uint8 (H, W) or (H, W, channels), pixels of a row next to each other.
        channels: bytes per pixel.
        taps: samples per axis and crop px.
    """

    pixels: NDArray[np.uint8]
    channels: int
    taps: int

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], taps: int) -> Plane:
        """Describe a plane; one smaller than a word is copied to where a word can be loaded."""
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        if pixels.size < 8:
            room = np.zeros(8 + pixels.size, np.uint8)
            room[: pixels.size] = pixels.reshape(-1)
            pixels = room[: pixels.size].reshape(pixels.shape)
            # The words start at the plane's first byte; the spare bytes behind it make room for the last one.
        return cls(pixels, channels, taps)

    @property
    def arguments(self) -> tuple[int, ...]:
        """Address, stride, last x, last y, limit, channels and taps, as ``crop_rows`` takes them."""
        height, width = self.pixels.shape[:2]
        stride = self.pixels.strides[0]
        end = (height - 1) * stride + width * self.channels
        word = 8 if self.channels == 3 else 4
        limit = end if self.pixels.size < 8 else end - word
        return self.pixels.ctypes.data, stride, width - 1, height - 1, limit, self.channels, self.taps
