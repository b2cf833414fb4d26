"""Which rectangle of the image a box of the crop touches, and from which one its colours can come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Region:
    """A rectangle of whole pixels inside an image; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of_box(
        cls, inverse: NDArray[np.float64], box: tuple[float, float, float, float], image_shape: tuple[int, ...]
    ) -> Region:
        """Return the pixels that can lie in a box of the crop.

        Args:
            inverse: float64 (2, 3), crop px to image px.
            box: left, top, right, bottom in crop px, both ends included.
            image_shape: height and width of the image in px.
        """
        (a, b, x), (c, d, y) = inverse.tolist()
        across = sorted((a * box[0], a * box[2])), sorted((b * box[1], b * box[3]))
        down = sorted((c * box[0], c * box[2])), sorted((d * box[1], d * box[3]))
        # A pixel exactly on the square's edge must be visited however the inverse was rounded; its own test decides.
        slack = 1e-3
        return cls._clipped(
            across[0][0] + across[1][0] + x - slack,
            down[0][0] + down[1][0] + y - slack,
            across[0][1] + across[1][1] + x + slack,
            down[0][1] + down[1][1] + y + slack,
            image_shape,
        )

    def grown(
        self, inverse: NDArray[np.float64], reach_x: float, reach_y: float, image_shape: tuple[int, ...]
    ) -> Region:
        """Return this region widened by the longest flow and by one pixel for the bilinear neighbour.

        Args:
            inverse: float64 (2, 3), crop px to image px.
            reach_x: largest |flow| along x in crop px.
            reach_y: largest |flow| along y in crop px.
            image_shape: height and width of the image in px.
        """
        (a, b, _), (c, d, _) = inverse.tolist()
        far_x, far_y = abs(a) * reach_x + abs(b) * reach_y + 1.0, abs(c) * reach_x + abs(d) * reach_y + 1.0
        return self._clipped(self.left - far_x, self.top - far_y, self.right + far_x, self.bottom + far_y, image_shape)

    @classmethod
    def _clipped(cls, left: float, top: float, right: float, bottom: float, image_shape: tuple[int, ...]) -> Region:
        height, width = image_shape[:2]
        return cls(
            math.floor(min(max(left, 0.0), width)),
            math.floor(min(max(top, 0.0), height)),
            math.floor(min(max(right + 1.0, 0.0), width)),
            math.floor(min(max(bottom + 1.0, 0.0), height)),
        )

    @property
    def width(self) -> int:
        """Width in px."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Height in px."""
        return self.bottom - self.top

    @property
    def empty(self) -> bool:
        """Whether no pixel lies inside."""
        return self.width <= 0 or self.height <= 0

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom
