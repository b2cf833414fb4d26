"""Can the edge of what was pasted be seen: steps of the change along straight lines beside the mouth."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
ScalarT = TypeVar("ScalarT", np.bool_, np.float32)

SEGMENT_SHARE = 1 / 16  # of the side: the step along a seam keeps its sign for about that long
NEIGHBOURS = 6  # lines on each side that tell what is usual
USUAL = 0.95
NEAREST = 2  # lines that the seam itself may blur into


class SeamProfile:
    """Sums up, line by line, the steps of the change between a video and its reference.

    Where a box was pasted, the change jumps along its edges: ``d[x+1] - d[x]`` has one sign along the line, while
    texture and coding noise cancel within a segment.

    Args:
        mouth: bool (S, S), True where the change is wanted: steps there do not count.
    """

    def __init__(self, mouth: Mask) -> None:
        side_px = len(mouth)
        self._segment = max(2, round(side_px * SEGMENT_SHARE))
        self._counts = [~self._segments(side[:, 1:] | side[:, :-1]).any(1) for side in (mouth, mouth.T)]
        self._sums = np.zeros((2, side_px - 1))
        self._frames = 0

    def add(self, patch: F32, reference: F32) -> None:
        """Take the next frame's patches, float32 (S, S), grey levels."""
        difference = patch - reference
        for sums, counts, change in zip(self._sums, self._counts, (difference, difference.T), strict=True):
            steps = np.abs(self._segments(np.diff(change, axis=1)).mean(1))
            sums += (steps * counts).sum(0) / np.maximum(counts.sum(0), 1)
        self._frames += 1

    def _segments(self, lines: NDArray[ScalarT]) -> NDArray[ScalarT]:
        """Cut (S, n) into (segments, rows of a segment, n); what is left over at the end is dropped."""
        whole = len(lines) // self._segment * self._segment
        return lines[:whole].reshape(-1, self._segment, lines.shape[1])

    @property
    def visibility(self) -> float:
        """Grey levels by which the strongest line stands out from the lines beside it; nan without frames.

        What one line in twenty reaches is taken off: the blocks of a codec make lines too, but many of them.
        """
        if not self._frames:
            return float("nan")
        prominent = np.concatenate([_prominence(profile / self._frames) for profile in self._sums])
        return float(prominent.max() - np.quantile(prominent, USUAL))


def _prominence(profile: F64) -> F64:
    """Return how far each line of float64 (n,) lies above the median of its neighbours, 0 where it does not."""
    found = np.zeros(len(profile))
    for line in range(len(profile)):
        beside = [
            profile[place]
            for distance in range(NEAREST + 1, NEAREST + 1 + NEIGHBOURS)
            for place in (line - distance, line + distance)
            if 0 <= place < len(profile)
        ]
        if len(beside) >= NEIGHBOURS:
            found[line] = max(float(profile[line] - np.median(beside)), 0.0)
    return found
