"""Do the lips shut for p, b and m: the share of closures that are shut within one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

SHUT = 0.04
"""Eye distances: the mesh sees shut lips 0.005 to 0.03 apart, the least vowel 0.06."""

OPEN_AGAIN = 0.07
BILABIALS = "pbm"
LEAST_SHIFT_S = 0.5


@dataclass(frozen=True)
class Closure:
    """A time at which the lips have to be shut, in seconds of the sound."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class ClosureRate:
    """What became of the closures.

    Attributes:
        rate: share that is shut within a frame.
        chance: the same share at times that have nothing to do with the closures: what lips that are often shut reach.
        count: closures that could be looked at.
    """

    rate: float
    chance: float
    count: int


def closures_of_phonemes(phonemes: Sequence[tuple[str, float, float]]) -> list[Closure]:
    """Return the closures of a text's phonemes: (IPA, start_s, end_s), in order; neighbours (as in "lamp post") join."""
    found: list[Closure] = []
    for sound, start, end in phonemes:
        if sound.lstrip("ˈˌ")[:1] not in tuple(BILABIALS):
            continue
        if found and start - found[-1].end_s < 1e-3:
            found[-1] = Closure(found[-1].start_s, end)
        else:
            found.append(Closure(start, end))
    return found


def closures_of_lips(opening: F64, times: F64, speech: NDArray[np.bool_]) -> list[Closure]:
    """Return when lips shut between two openings while somebody speaks.

    Args:
        opening: float64 (T,) of the reference, eye distances.
        times: float64 (T,), seconds.
        speech: bool (T,).
    """
    found, start = [], None
    was_open = False
    for frame, gap in enumerate(opening):
        if gap < SHUT:
            if start is None and was_open:
                start = frame
        elif gap > OPEN_AGAIN:
            if start is not None and speech[start:frame].any():
                last = max(k for k in range(start, frame) if opening[k] < SHUT)
                found.append(Closure(float(times[start]), float(times[last])))
            was_open, start = True, None
        elif not np.isfinite(gap):
            was_open, start = False, None
    return found


def closure_rate(closures: Sequence[Closure], opening: F64, times: F64, fps: float) -> ClosureRate:
    """Return the share of closures in which the lips are shut, at their time or one frame beside it.

    Args:
        closures: when they have to be.
        opening: float64 (T,), eye distances.
        times: float64 (T,), seconds.
        fps: frames a second.
    """
    results = [_shut(closure, opening, times, fps, 0.0) for closure in closures]
    known = [shut for shut in results if shut is not None]
    if not known:
        return ClosureRate(float("nan"), float("nan"), 0)
    length = float(times[-1] - times[0])
    shifts = np.arange(LEAST_SHIFT_S, length - LEAST_SHIFT_S, 0.1)
    by_chance = [_shut(closure, opening, times, fps, float(shift)) for shift in shifts for closure in closures]
    apart = [shut for shut in by_chance if shut is not None]
    return ClosureRate(float(np.mean(known)), float(np.mean(apart)) if apart else float("nan"), len(known))


def _shut(closure: Closure, opening: F64, times: F64, fps: float, shift_s: float) -> bool | None:
    """Say whether lips shut in a closure's frames or the next ones; None where no face is seen. Shifts go around."""
    length = float(times[-1] - times[0]) + 1 / fps
    start = (closure.start_s + shift_s) % length if shift_s else closure.start_s
    end = start + closure.end_s - closure.start_s
    near = opening[(times >= start - 1.01 / fps) & (times <= end + 1.01 / fps)]
    near = near[np.isfinite(near)]
    return bool(near.min() < SHUT) if len(near) else None
