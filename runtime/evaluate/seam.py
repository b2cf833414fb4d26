"""Can the edge of what was pasted be seen: steps of the change along straight lines beside the mouth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SEGMENT_SHARE = 1 / 16  # of the side: the step along a seam keeps its sign for about that long
NEIGHBOURS = 6  # lines on each side that tell what is usual
NEAREST = 2  # lines that the seam itself may blur into


class SeamProfile:
    """Sums up, line by line, the steps of the change between a video and its reference.

    Where a box was pasted, the change jumps along its edges: ``d[x+1] - d[x]`` has one sign along the line, while
    texture and coding noise cancel within a segment.

    Args:
        side_px: of the patches.
    """

    def __init__(self, side_px: int) -> None:
        self._segment = max(2, round(side_px * SEGMENT_SHARE))
        self._sums = np.zeros((2, side_px - 1))
        self._frames = 0

    def add(self, patch: F32, reference: F32) -> None:
        """Take the next frame's patches, float32 (side_px, side_px), grey levels."""
        difference = patch - reference
        for axis, change in enumerate((difference, difference.T)):
            steps = np.diff(change, axis=1)
            whole = len(steps) // self._segment * self._segment
            segments = steps[:whole].reshape(-1, self._segment, steps.shape[1]).mean(1)
            self._sums[axis] += np.abs(segments).mean(0)
        self._frames += 1

    @property
    def visibility(self) -> float:
        """Grey levels by which the strongest line stands out from the lines beside it; nan without frames."""
        if not self._frames:
            return float("nan")
        return max(_strongest(profile / self._frames) for profile in self._sums)


def _strongest(profile: F64) -> float:
    """Return how far the most prominent line of float64 (n,) lies above the median of its neighbours."""
    best = 0.0
    for line in range(len(profile)):
        beside = [
            profile[place]
            for distance in range(NEAREST + 1, NEAREST + 1 + NEIGHBOURS)
            for place in (line - distance, line + distance)
            if 0 <= place < len(profile)
        ]
        if len(beside) >= NEIGHBOURS:
            best = max(best, float(profile[line] - max(np.median(beside), 0.0)))
    return best
