"""A few faces of a video beside those of its reference, spread evenly over a length that nobody knows beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.crop import CropScratch
from lipforge.runtime.evaluate.tracked_frames import TrackedFrame
from lipforge.runtime.faces import Face
from lipforge.runtime.picture import Picture

U8 = NDArray[np.uint8]

PICTURES = 12
SIDE_PX = 160
JPEG_QUALITY = 88


@dataclass(frozen=True)
class SheetPicture:
    """One moment: ``video`` and ``reference`` are JPEG files; either is empty where there is no face."""

    time_s: float
    video: bytes
    reference: bytes


class ContactSheet:
    """Keeps between 12 and 24 moments while frames go by; every second one is dropped when there are too many.

    Args:
        crop_px: side of the crop that ``Face.transform`` leads to.
    """

    def __init__(self, crop_px: int) -> None:
        self._crop_px, self._scratch = crop_px, CropScratch()
        self._kept: list[SheetPicture] = []
        self._every, self._seen = 1, 0

    def add(self, frame: TrackedFrame, reference: TrackedFrame | None) -> None:
        """Take the next frame and the reference's, if there is one."""
        if self._seen % self._every == 0:
            if len(self._kept) == 2 * PICTURES:
                self._kept, self._every = self._kept[::2], 2 * self._every
            if self._seen % self._every == 0:
                # Where the reference has a face, both are cut out there: what moved is then seen to move.
                face = reference.face if reference is not None and reference.face is not None else frame.face
                other = b"" if reference is None else self._picture(reference, face)
                self._kept.append(SheetPicture(frame.time_s, self._picture(frame, face), other))
        self._seen += 1

    def pictures(self) -> list[SheetPicture]:
        """Return at most 12 moments."""
        places = np.unique(np.linspace(0, len(self._kept) - 1, min(PICTURES, len(self._kept))).round().astype(int))
        return [self._kept[place] for place in places]

    def _picture(self, frame: TrackedFrame, face: Face | None) -> bytes:
        if face is None:
            return b""
        scale = SIDE_PX / self._crop_px
        transform = face.transform * scale
        transform[:, 2] += (scale - 1) / 2
        out: U8 = np.empty((SIDE_PX, SIDE_PX, 3), np.uint8)
        Picture.of(frame.planes).crop(self._scratch, transform, SIDE_PX, out)
        return bytes(cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
