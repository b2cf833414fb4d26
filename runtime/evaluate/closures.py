"""Do the lips shut for p, b and m: the share of closures that are shut within one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

LOWEST, HIGHEST = 5, 90  # percentiles of a speaker's openings
SHUT_SHARE, OPEN_SHARE = 0.25, 0.4  # of the way between them
LEAST_RANGE = 0.01  # eye distances; lips that move less than the mesh trembles can tell nothing
BILABIALS = "pbm"
LEAST_SHIFT_S = 0.5
LEAST_FRAMES = 12


@dataclass(frozen=True)
class Closure:
    """A time at which the lips have to be shut, in seconds of the sound."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class ShutLevels:
    """Openings in eye distances: below ``shut`` a speaker's lips are shut, above ``open_again`` surely open.

    The mesh sees the shut lips of one face 0.001 apart and those of another 0.05, and one speaker's widest vowel is
    another's closure, so the levels are the speaker's own.
    """

    shut: float
    open_again: float

    @classmethod
    def of(cls, opening: F64) -> ShutLevels | None:
        """Take the levels from openings float64 (T,); None if they are too few or hardly change."""
        known = opening[np.isfinite(opening)]
        if len(known) < LEAST_FRAMES:
            return None
        low, high = np.percentile(known, [LOWEST, HIGHEST])
        if high - low < LEAST_RANGE:
            return None
        return cls(float(low + SHUT_SHARE * (high - low)), float(low + OPEN_SHARE * (high - low)))


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
    """Return the closures of a text's phonemes: (IPA, start_s, end_s), in order; neighbours join."""
    found: list[Closure] = []
    for sound, start, end in phonemes:
        if sound.lstrip("ˈˌ")[:1] not in tuple(BILABIALS):
            continue
        if found and start - found[-1].end_s < 1e-3:
            found[-1] = Closure(found[-1].start_s, end)
        else:
            found.append(Closure(start, end))
    return found


def closures_of_lips(opening: F64, times: F64, speech: NDArray[np.bool_], levels: ShutLevels) -> list[Closure]:
    """Return when lips shut between two openings while somebody speaks.

    Args:
        opening: float64 (T,) of the reference, eye distances.
        times: float64 (T,), seconds.
        speech: bool (T,).
        levels: the speaker's.
    """
    found: list[Closure] = []
    shut: list[int] = []  # frames since the lips were last open
    was_open = False
    for frame, gap in enumerate(opening):
        if gap > levels.open_again:
            if shut and speech[shut[0] : frame].any():
                found.append(Closure(float(times[shut[0]]), float(times[shut[-1]])))
            was_open, shut = True, []
        elif not np.isfinite(gap):
            was_open, shut = False, []
        elif gap < levels.shut and was_open:
            shut.append(frame)
    return found


def closure_rate(closures: Sequence[Closure], opening: F64, times: F64, fps: float, levels: ShutLevels) -> ClosureRate:
    """Return the share of closures in which the lips are shut, at their time or one frame beside it.

    Args:
        closures: when they have to be.
        opening: float64 (T,), eye distances.
        times: float64 (T,), seconds.
        fps: frames a second.
        levels: when they are.
    """
    lips = _Lips(opening, times, fps, levels.shut)
    known = [shut for closure in closures if (shut := lips.shut_in(closure)) is not None]
    if not known:
        return ClosureRate(float("nan"), float("nan"), 0)
    length = float(times[-1] - times[0])
    shifts = np.arange(LEAST_SHIFT_S, length - LEAST_SHIFT_S, 0.1)
    by_chance = [lips.shut_in(closure, float(shift)) for shift in shifts for closure in closures]
    apart = [shut for shut in by_chance if shut is not None]
    return ClosureRate(float(np.mean(known)), float(np.mean(apart)) if apart else float("nan"), len(known))


@dataclass(frozen=True)
class _Lips:
    opening: F64
    times: F64
    fps: float
    level: float

    def shut_in(self, closure: Closure, shift_s: float = 0.0) -> bool | None:
        """Say whether lips shut in a closure's frames or the next ones; None where no face is seen. Shifts go round."""
        length = float(self.times[-1] - self.times[0]) + 1 / self.fps
        start = (closure.start_s + shift_s) % length if shift_s else closure.start_s
        end = start + closure.end_s - closure.start_s
        near = self.opening[(self.times >= start - 1.01 / self.fps) & (self.times <= end + 1.01 / self.fps)]
        near = near[np.isfinite(near)]
        return bool(near.min() < self.level) if len(near) else None
