"""Everything that compares the pixels of a video with those of its reference, frame by frame, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec
from lipforge.runtime.evaluate.face_patch import EYES, MOUTH, PatchPlan
from lipforge.runtime.evaluate.outside_change import change, change_around
from lipforge.runtime.evaluate.seam import SeamProfile
from lipforge.runtime.evaluate.sharpness import detail
from lipforge.runtime.evaluate.tracked_frames import TrackedFrame

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class PixelFindings:
    """What the comparison found.

    Attributes:
        times: float64 (K,), seconds, of the frames with a face in the reference.
        mouth_detail: float64 (K, 2), detail of the mouth in video and reference.
        eye_detail: float64 (K, 2), detail around the eyes, where nothing should have changed.
        cheek_change: float64 (K,), grey levels.
        picture_change: float64 (K,), grey levels, of all outside of the face; nan if the face fills the picture.
        seam: grey levels.
    """

    times: F64
    mouth_detail: F64
    eye_detail: F64
    cheek_change: F64
    picture_change: F64
    seam: float


class PixelComparison:
    """Compares pairs of frames of one size. Both are cut out where the reference's face is.

    Args:
        crop: what the tracker aligns faces to.
    """

    def __init__(self, crop: CropSpec) -> None:
        self._crop = crop
        self._plan: PatchPlan | None = None
        self._seams: tuple[SeamProfile, SeamProfile] | None = None
        self._rows: list[list[float]] = []

    def add(self, frame: TrackedFrame, reference: TrackedFrame) -> None:
        """Take the next pair; one without a face in the reference is passed over."""
        if reference.face is None:
            return
        transform = reference.face.transform
        if self._plan is None or self._seams is None:
            self._plan = PatchPlan.of_face(transform, self._crop)
            self._cheeks = self._plan.cheeks
            mouth = self._plan.mask(MOUTH)
            self._seams = SeamProfile(mouth), SeamProfile(mouth)
        plan = self._plan
        mine, theirs = (plan.cut(side.planes, transform) for side in (frame, reference))
        details = [detail(patch) for patch in (mine, theirs)]
        self._rows.append(
            [
                frame.time_s,
                *(float(found[plan.region(box)].mean()) for box in (MOUTH, EYES) for found in details),
                change(mine, theirs, self._cheeks),
                change_around(frame.planes, reference.planes, transform, self._crop.size_px),
            ]
        )
        level, upright = self._seams
        level.add(mine, theirs)
        upright.add(*(plan.cut(side.planes, transform, upright=True) for side in (frame, reference)))

    def findings(self) -> PixelFindings:
        """Return what was found in all pairs."""
        rows = np.array(self._rows, np.float64).reshape(-1, 7)
        seam = max(profile.visibility for profile in self._seams) if self._seams else float("nan")
        return PixelFindings(rows[:, 0], rows[:, 1:3], rows[:, 3:5], rows[:, 5], rows[:, 6], seam)
