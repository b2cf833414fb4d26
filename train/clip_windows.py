"""Which windows of five consecutive frames a clip offers, and where else in it a window's counterpart may lie."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.face_clips import FaceClip
from lipforge.train.models.wav2lip_blocks import FRAMES

LEAST_GAP_FRAMES = 2  # a window one frame beside the true one is no mistake that the expert should be taught to see
Starts = npt.NDArray[np.int64]


def index_windows(clips: Sequence[FaceClip], starts: Sequence[Starts]) -> Starts:
    """Return all windows as rows (clip, first frame), int64 (K, 2).

    Raises:
        InputError: there are none.
    """
    counts = [len(of_clip) for of_clip in starts]
    if not sum(counts):
        raise InputError(
            f"none of {len(clips)} clips, such as {clips[0].name}, has two windows of {FRAMES} consecutive frames "
            "with sound; were the faces found, and is the sound as long as the pictures?"
        )
    return np.stack([np.repeat(np.arange(len(clips)), counts), np.concatenate(starts)], 1)


def usable_starts(clip: FaceClip, mel: MelSpec, chunk: MelChunkSpec, fps: float) -> Starts:
    """Return the first frames of all windows of five consecutive frames whose sound is whole (``far_apart``)."""
    starts = consecutive_starts(clip)
    return far_apart(starts[sound_is_whole(clip, starts, mel, chunk, fps)])


def consecutive_starts(clip: FaceClip) -> Starts:
    """Return the first frames of all windows of five consecutive frames, int64 (K,)."""
    frames = clip.frames
    if len(frames) < FRAMES:
        return np.zeros(0, np.int64)
    first = frames[: len(frames) - FRAMES + 1]
    starts: Starts = first[frames[FRAMES - 1 :] - first == FRAMES - 1]
    return starts


def sound_is_whole(clip: FaceClip, frames: Starts, mel: MelSpec, chunk: MelChunkSpec, fps: float) -> slice:
    """Return which of ascending frames have their mel windows inside the sound: those in between do."""
    # One column fewer than there should be: resampling may round the sound's length down.
    columns = int(clip.seconds * mel.sample_rate_hz) // mel.hop_samples

    def first_column(frame: np.int64) -> int:
        return chunk.first_column(int(frame), mel, fps)

    begin = bisect.bisect_left(frames, 0, key=first_column)
    end = bisect.bisect_right(frames, columns - chunk.columns, lo=begin, key=first_column)
    return slice(begin, end)


def far_apart(starts: Starts) -> Starts:
    """Return the windows that have another one ``LEAST_GAP_FRAMES`` away; ascending.

    A clip without a mismatch would teach that everything is in sync.
    """
    if not len(starts):
        return starts
    apart = np.maximum(starts - starts[0], starts[-1] - starts) >= LEAST_GAP_FRAMES
    usable: Starts = starts[apart]
    return usable


def elsewhere(starts: Starts, start: int, chance: float) -> int:
    """Return another window of a clip, ``LEAST_GAP_FRAMES`` away or more; ``chance`` in [0, 1) chooses evenly."""
    others = starts[np.abs(starts - start) >= LEAST_GAP_FRAMES]
    return int(others[int(chance * len(others))])
