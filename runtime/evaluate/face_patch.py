"""The surroundings of a face as grey levels at the video's own resolution, cut alike from a video and its reference."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec
from lipforge.kernels.yuv import I420Frame

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

MARGIN_SHARE = 0.125  # of the crop's side, on every side of it: seams may lie on its edge
LARGEST_SIDE_PX = 640
MOUTH = (26, 40, 70, 84)  # left, top, right, bottom in crop px: lips and what they move
CHEEKS_TOP = 42  # crop px; above lie eyes and nose
EYES = (20, 8, 76, 36)  # crop px: what no lip-sync changes, to compare with


@dataclass(frozen=True)
class PatchPlan:
    """How patches are cut.

    Attributes:
        crop: the aligned face that they are laid around.
        px_per_crop_px: resolution, that of the video.
    """

    crop: CropSpec
    px_per_crop_px: float

    @classmethod
    def of_face(cls, transform: F64, crop: CropSpec) -> PatchPlan:
        """Take the resolution from the first face: float64 (2, 3), image px to crop px."""
        whole = crop.size_px * (1 + 2 * MARGIN_SHARE)
        return cls(crop, float(min(1 / np.hypot(transform[0, 0], transform[1, 0]), LARGEST_SIDE_PX / whole)))

    @property
    def side_px(self) -> int:
        """Side of a patch."""
        return max(8, round(self.crop.size_px * (1 + 2 * MARGIN_SHARE) * self.px_per_crop_px))

    def cut(self, frame: I420Frame, transform: F64, *, upright: bool = False) -> F32:
        """Return a patch, float32 (side_px, side_px), luma of 0 (black) to 255 (white).

        Args:
            frame: the picture.
            transform: float64 (2, 3), image px to crop px.
            upright: lay it level in the image, around the same middle, instead of level in the face.
        """
        size, side = self.crop.size_px, self.side_px
        scale = side / (size * (1 + 2 * MARGIN_SHARE))
        linear = transform[:, :2]
        if upright:
            linear = np.eye(2) * np.hypot(transform[0, 0], transform[1, 0])
        centre = np.linalg.solve(transform[:, :2], np.full(2, (size - 1) / 2) - transform[:, 2])
        to_patch = np.column_stack([linear * scale, np.full(2, (side - 1) / 2) - scale * linear @ centre])
        shape = (side, side)
        patch = cv2.warpAffine(frame.y, to_patch, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return full_range(np.asarray(patch, np.uint8), frame)

    def region(self, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
        """Return the rows and columns of a box: left, top, right, bottom in crop px."""
        margin, scale = MARGIN_SHARE * self.crop.size_px, self.px_per_crop_px
        left, top, right, bottom = (round((edge + margin) * scale) for edge in box)
        return slice(top, bottom), slice(left, right)

    def mask(self, box: tuple[float, float, float, float]) -> Mask:
        """Return True inside of a box in crop px, bool (side_px, side_px)."""
        mask = np.zeros((self.side_px, self.side_px), np.bool_)
        mask[self.region(box)] = True
        return mask

    @property
    def cheeks(self) -> Mask:
        """Cheeks, jaw and neck inside of the crop without the mouth and what it moves, bool (side_px, side_px)."""
        size = self.crop.size_px
        around = self.mask((10, CHEEKS_TOP, size - 10, size - 3))
        return around & ~self.mask((MOUTH[0], 0, MOUTH[2], size))


def full_range(luma: NDArray[np.uint8], frame: I420Frame) -> F32:
    """Return luma with black at 0 and white at 255, whatever levels the video uses; float32, same shape."""
    if frame.spec.full_range:
        return luma.astype(np.float32)
    return np.asarray((luma.astype(np.float32) - 16) * np.float32(255 / 219))
