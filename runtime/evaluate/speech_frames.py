"""In which frames somebody speaks, by the energy of the sound, and in which nobody does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import MelSpec

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW_COLUMNS = 16  # 200 ms around the frame: a stop consonant is no pause
QUIET, LOUD = 10, 90  # percentiles
SPEECH_SHARE = 0.25  # of the way from quiet to loud
LEAST_RANGE = 0.5  # of the mel's 8: below, the sound never rests (or never starts)
ANTICIPATION_S = 0.12
"""Lips open up to this long before the voice and close as long after it: these frames are no rest."""


def loudness(samples: F32, times: F64, mel: MelSpec | None = None) -> F64:
    """Return the mean log-mel level around each frame.

    Args:
        samples: float32 (n,), mono, in [-1, 1], at the rate of ``mel``; the first one is at time 0.
        times: float64 (T,), seconds.
        mel: recipe.

    Returns:
        float64 (T,) in [-4, 4]; -4 is silence.
    """
    mel = mel or MelSpec()
    columns = log_mel(samples, mel).mean(0).astype(np.float64)
    half = WINDOW_COLUMNS // 2
    padded = np.concatenate([np.full(half, -mel.max_abs), columns, np.full(half, -mel.max_abs)])
    sums = np.concatenate([[0.0], np.cumsum(padded)])
    first = np.clip(np.round(times * mel.columns_per_second).astype(np.int64), 0, len(columns))
    return np.asarray((sums[first + WINDOW_COLUMNS] - sums[first]) / WINDOW_COLUMNS)


def speech_frames(level: F64) -> Mask:
    """Return in which frames there is speech.

    Args:
        level: float64 (T,), see ``loudness``.

    Returns:
        bool (T,). All of them where the level hardly changes and is no silence.
    """
    if not len(level):
        return np.zeros(0, np.bool_)
    quiet, loud = np.percentile(level, [QUIET, LOUD])
    if loud - quiet < LEAST_RANGE:
        return np.full(len(level), loud > -3.9)
    return np.asarray(level > quiet + SPEECH_SHARE * (loud - quiet))


def rest_frames(speech: Mask, fps: float) -> Mask:
    """Return in which frames the mouth has no reason to move: bool (T,), pauses without their first and last 120 ms."""
    margin = round(ANTICIPATION_S * fps)
    rest = ~speech
    for shift in range(1, margin + 1):
        rest[shift:] &= ~speech[:-shift]
        rest[:-shift] &= ~speech[shift:]
    return rest
