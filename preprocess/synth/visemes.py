"""Phonemes to mouth units over time, with co-articulation and real closures.

Every phoneme has a target and a dominance that rises before and falls after it; the mouth follows the
dominance-weighted mean of the targets (Cohen and Massaro, 1993). Lips move ahead of the sound: dominance reaches
further back (ANTICIPATION_S) than forward (RELEASE_S). /p b m/ then shut the mouth completely, whatever stands around
them, and /f v/ put the lower lip to the teeth.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.effort import EFFORT_RATE_HZ
from lipforge.preprocess.synth.expression import UNIT_INDEX, UNITS

ANTICIPATION_S = 0.09  # visible articulation leads sound by 80 to 120 ms
RELEASE_S = 0.06
INERTIA_S = 0.04  # jaw and lips hardly move faster than 6 Hz; standard deviation of a Gaussian
_RATE_HZ = 200  # resolution at which the curves are computed
_OPENING = [UNIT_INDEX[name] for name in ("jawOpen", "mouthLowerDown", "mouthUpperUp")]

Targets = dict[str, float]


@dataclass(frozen=True)
class Viseme:
    """Mouth units of a sound, how strongly it holds them, and whether it shuts the lips or bites the lower one."""

    units: Targets
    dominance: float = 1.0
    closure: float = 0.0
    bite: float = 0.0

    @cached_property
    def target(self) -> npt.NDArray[np.float64]:
        """Units as an array, float64 (12,)."""
        target = np.zeros(len(UNITS))
        for name, value in self.units.items():
            target[UNIT_INDEX[name]] = value
        return target


def _v(jaw: float, dominance: float = 1.0, *, closure: float = 0.0, bite: float = 0.0, **units: float) -> Viseme:
    return Viseme({"jawOpen": jaw, **{f"mouth{k}": v for k, v in units.items()}}, dominance, closure, bite)


REST = _v(0.0, 0.7)
_OPEN_A = _v(0.62, LowerDown=0.25, UpperUp=0.12)
_MID_A = _v(0.42, LowerDown=0.2, UpperUp=0.08)
_FRONT_A = _v(0.55, Stretch=0.3, LowerDown=0.3, UpperUp=0.15)
_OPEN_O = _v(0.4, Funnel=0.4)
_CLOSE_O = _v(0.22, Funnel=0.45, Pucker=0.6)
_U = _v(0.1, 1.3, Pucker=1.15, Funnel=0.25)
_SHORT_U = _v(0.16, Pucker=0.6, Funnel=0.25)
_I = _v(0.2, Stretch=0.55, Smile=0.25, LowerDown=0.3, UpperUp=0.15)
_SHORT_I = _v(0.22, Stretch=0.35, Smile=0.12, LowerDown=0.25, UpperUp=0.1)
_E = _v(0.35, Stretch=0.35, LowerDown=0.28, UpperUp=0.12)
_SCHWA = _v(0.25, 0.6, LowerDown=0.15)
_ER = _v(0.2, 0.8, Funnel=0.2, Pucker=0.2)
_BILABIAL = _v(0.06, 2.0, closure=1.0, Close=0.06, Press=0.2)
_LABIODENTAL = _v(0.1, 1.8, bite=1.0, RollLower=0.35, UpperUp=0.25)
_DENTAL = _v(0.18, 0.8, LowerDown=0.35, UpperUp=0.1)
_ALVEOLAR = _v(0.14, 0.6, LowerDown=0.3, UpperUp=0.1, Stretch=0.1)
_SIBILANT = _v(0.07, 1.0, LowerDown=0.4, UpperUp=0.2, Stretch=0.25)
_POSTALVEOLAR = _v(0.04, 1.2, Funnel=0.45, Pucker=0.25, LowerDown=0.15, UpperUp=0.1)
_R = _v(0.12, 0.9, Funnel=0.2, Pucker=0.4)
_W = _v(0.06, 1.4, Pucker=1.15, Funnel=0.2)
_BACK = _v(0.22, 0.4)
_HOLLOW = _v(0.25, 0.25)

_LETTERS: dict[str, Viseme] = {
    "ɑaɐ": _OPEN_A,
    "ʌ": _MID_A,
    "æ": _FRONT_A,
    "ɔɒ": _OPEN_O,
    "oɤɵ": _CLOSE_O,
    "uɯyʉ": _U,
    "ʊʏ": _SHORT_U,
    "ijʝ": _I,
    "ɪɨᵻ": _SHORT_I,
    "eɛøœ": _E,
    "əɘ": _SCHWA,
    "ɜɚɝ": _ER,
    "pbmɓ": _BILABIAL,
    "fvɱ": _LABIODENTAL,
    "ɸβ": _v(0.08, 1.2, Pucker=0.3),
    "θð": _DENTAL,
    "tdnlɾɫʈɖɳɭ": _ALVEOLAR,
    "sz": _SIBILANT,
    "ʃʒɕʑʂʐ": _POSTALVEOLAR,
    "rɹɻʀʁ": _R,
    "wʍɥ": _W,
    "kɡgŋxɣqɢcɟɲʎ": _BACK,
    "hɦʔʕħ": _HOLLOW,
}
_TABLE = {letter: viseme for letters, viseme in _LETTERS.items() for letter in letters}


def visemes_of(ipa: str) -> list[Viseme]:
    """The visemes of one phoneme string, several for diphthongs and affricates; empty for marks that make no sound.

    A pause (empty string, blanks, '_') is the resting mouth. Unknown letters are read as the neutral vowel.
    """
    text = unicodedata.normalize("NFD", ipa)
    if not text.strip("_ :|"):
        return [REST]
    letters = [c for c in text if unicodedata.category(c) in ("Ll", "Lo", "Lu")]
    found = [_TABLE.get(c) or _TABLE.get(c.lower()) or _SCHWA for c in letters]
    return [v for k, v in enumerate(found) if k == 0 or v is not found[k - 1]]


def unit_curves(
    phonemes: Sequence[tuple[str, float, float]],
    seconds: float,
    fps: float,
    energy: float = 1.0,
    effort: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float32]:
    """Mouth units of every frame, float32 (round(seconds * fps), 12).

    Args:
        phonemes: (ipa, start s, end s) in order; silence between and around them rests.
        seconds: length wanted.
        fps: frames a second; frame i shows time i / fps.
        energy: how widely this speaker moves, 1 is usual. Closures are not affected.
        effort: float64 (n,), factor of the opening at each moment (``effort.speaking_effort``); None is 1.
    """
    events = _events(phonemes, seconds)
    time = np.arange(int(np.ceil(seconds * _RATE_HZ)) + 1) / _RATE_HZ
    curves = _smooth(_blend(events, time)) * energy
    if effort is not None:
        curves[:, _OPENING] *= np.interp(time, np.arange(len(effort)) / EFFORT_RATE_HZ, effort)[:, None]
    shut, bite = _holds(events, time)
    _shut(curves, shut)
    curves[:, UNIT_INDEX["jawOpen"]] *= 1 - 0.65 * bite
    curves[:, UNIT_INDEX["mouthLowerDown"]] *= 1 - bite
    curves[:, UNIT_INDEX["mouthRollLower"]] = np.maximum(curves[:, UNIT_INDEX["mouthRollLower"]], 0.45 * bite)
    frames = np.arange(round(seconds * fps)) / fps
    return np.stack([np.interp(frames, time, curve) for curve in curves.T], 1).astype(np.float32)


@dataclass(frozen=True)
class _Event:
    viseme: Viseme
    start_s: float
    end_s: float


def _events(phonemes: Sequence[tuple[str, float, float]], seconds: float) -> list[_Event]:
    events: list[_Event] = []
    clock = 0.0
    for ipa, start, end in phonemes:
        if start > clock + 0.02:
            events.append(_Event(REST, clock, start))
        parts = visemes_of(ipa)
        for k, viseme in enumerate(parts):
            step = (end - start) / len(parts)
            events.append(_Event(viseme, start + k * step, start + (k + 1) * step))
        clock = max(clock, end)
    if clock < seconds:
        events.append(_Event(REST, clock, seconds + 1))
    return [_Event(REST, -1.0, 0.0), *events]


def _blend(events: list[_Event], time: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = np.full((len(time), 1), 1e-9)
    curves = np.zeros((len(time), len(UNITS)))
    for event in events:
        # Dominance is below 1e-4 beyond three spans.
        first, last = event.start_s - 3 * ANTICIPATION_S, event.end_s + 3 * RELEASE_S
        near = slice(max(0, int(first * _RATE_HZ)), max(0, int(last * _RATE_HZ) + 1))
        before = np.clip((event.start_s - time[near]) / ANTICIPATION_S, 0, None)
        after = np.clip((time[near] - event.end_s) / RELEASE_S, 0, None)
        weight = (event.viseme.dominance * np.exp(-2.0 * (before + after) ** 1.5))[:, None]
        curves[near] += weight * event.viseme.target
        total[near] += weight
    return np.asarray(curves / total)


def _smooth(curves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the mouth its inertia: a Gaussian over time, without delay."""
    reach = int(3 * INERTIA_S * _RATE_HZ)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (INERTIA_S * _RATE_HZ)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(curves, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(curve, kernel, "valid") for curve in padded.T], 1)


def _holds(
    events: list[_Event], time: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How fully the lips are shut, and the lower lip bitten, at each time: 1 through the sound, ramps of 50 ms."""
    shut, bite = np.zeros(len(time)), np.zeros(len(time))
    for event in events:
        if event.viseme.closure or event.viseme.bite:
            away = np.maximum(np.maximum(event.start_s - 0.015 - time, time - event.end_s + 0.01), 0)
            hold = np.clip(1 - away / 0.05, 0, 1)
            hold = hold * hold * (3 - 2 * hold)
            if event.viseme.closure:
                shut = np.maximum(shut, hold)
            else:
                bite = np.maximum(bite, hold)
    return shut, bite


def _shut(curves: npt.NDArray[np.float64], shut: npt.NDArray[np.float64]) -> None:
    """Seal the lips in place: the jaw nearly closes, what parts the lips goes, and the rest of the gap is closed."""
    jaw, close = UNIT_INDEX["jawOpen"], UNIT_INDEX["mouthClose"]
    curves[:, jaw] *= 1 - 0.7 * shut
    for name in ("mouthUpperUp", "mouthLowerDown", "mouthFunnel", "mouthStretch"):
        curves[:, UNIT_INDEX[name]] *= 1 - shut
    curves[:, close] = np.maximum(curves[:, close] * (1 - shut), curves[:, jaw] * shut)
    press = UNIT_INDEX["mouthPress"]
    curves[:, press] = np.maximum(curves[:, press], 0.25 * shut)
