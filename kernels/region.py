"""Which rectangle of the image a box of the crop touches, and from which one its colours can come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled


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
        return cls(*_of_box(inverse, box, image_shape[0], image_shape[1]))

    def grown(
        self,
        inverse: NDArray[np.float64],
        reach: tuple[float, float],
        image_shape: tuple[int, ...],
        columns: int = 0,
    ) -> Region:
        """Return this region widened by the longest flow and by one pixel for the bilinear neighbour.

        Args:
            inverse: float64 (2, 3), crop px to image px.
            reach: largest |flow| along x and y in crop px.
            image_shape: height and width of the image in px.
            columns: how many more are wanted on the right, as far as the image has them.
        """
        return Region(*_grown(self.bounds, inverse, reach, columns, image_shape[0], image_shape[1]))

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


# Compiled, because on a handful of numbers Python takes longer than a small face.


@compiled
def _of_box(inverse: NDArray[np.float64], box: tuple[float, float, float, float], height: int, width: int) -> Any:
    left, right = _extent(inverse[0], box)
    top, bottom = _extent(inverse[1], box)
    # A pixel exactly on the square's edge must be visited however the inverse was rounded; its own test decides.
    slack = 1e-3
    return _clipped(left - slack, top - slack, right + slack, bottom + slack, height, width)


@compiled
def _extent(row: NDArray[np.float64], box: tuple[float, float, float, float]) -> Any:
    near, far = row[0] * box[0], row[0] * box[2]
    upper, lower = row[1] * box[1], row[1] * box[3]
    return min(near, far) + min(upper, lower) + row[2], max(near, far) + max(upper, lower) + row[2]


@compiled
def _grown(
    bounds: tuple[int, int, int, int],
    inverse: NDArray[np.float64],
    reach: tuple[float, float],
    columns: int,
    height: int,
    width: int,
) -> Any:
    left, top, right, bottom = bounds
    far_x = abs(inverse[0, 0]) * reach[0] + abs(inverse[0, 1]) * reach[1] + 1.0
    far_y = abs(inverse[1, 0]) * reach[0] + abs(inverse[1, 1]) * reach[1] + 1.0
    return _clipped(left - far_x, top - far_y, right + far_x + columns, bottom + far_y, height, width)


@compiled
def _clipped(left: float, top: float, right: float, bottom: float, height: int, width: int) -> Any:
    return (
        math.floor(min(max(left, 0.0), width)),
        math.floor(min(max(top, 0.0), height)),
        math.floor(min(max(right + 1.0, 0.0), width)),
        math.floor(min(max(bottom + 1.0, 0.0), height)),
    )
