"""Which rectangle of the image a box of the crop touches, and from which one its colours can come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.machine_code import Kernel

region_of_box = Kernel(
    "lipforge.kernels.numba_region:region_of_box",
    "UniTuple(int64,4)(float64[:,::1],UniTuple(float64,4),int64,int64)",
)
region_grown = Kernel(
    "lipforge.kernels.numba_region:region_grown",
    "UniTuple(int64,4)(UniTuple(int64,4),float64[:,::1],UniTuple(float64,2),int64,int64,int64)",
)
# Compiled, because on a handful of numbers Python takes longer than a small face.


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
        return cls(*region_of_box(inverse, box, image_shape[0], image_shape[1]))

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
        return Region(*region_grown(self.bounds, inverse, reach, columns, image_shape[0], image_shape[1]))

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


def active_box(cells: tuple[int, ...], size_px: int) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom in crop px outside which bilinear samples meet only zero cells.

    Args:
        cells: first column, first row, end column, end row of the cells that are not zero.
        size_px: S, width and height of the crop.
    """
    # A cell is felt up to one cell away, and at the border up to the square's edge.
    left, top = (float(first - 1) if first > 0 else -0.5 for first in cells[:2])
    right, bottom = (float(end) if end < size_px else size_px - 0.5 for end in cells[2:])
    return left, top, right, bottom
