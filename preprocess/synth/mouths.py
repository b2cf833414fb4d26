"""Which mouths a person is shown with, and between which of them the warp network learns to move.

Speech alone has few extremes: what a network never saw, it does by halves. So every person shows some mouths that are
far rounder, wider, more open or toothier than speech, and pairs that change much are drawn more often.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import LipSpec
from lipforge.preprocess.synth.expression import UNIT_INDEX, UNITS
from lipforge.preprocess.synth.head_data import F32

Pair = tuple[int, int]

#: Changes of the mouth's opening and of its width, crop px, that make a pair twice as likely as one without change.
_OPENING_PX, _WIDTH_PX = 4.0, 2.0
_CLOSED_WEIGHT = 1.5  # of pairs that start from or end in the closed mouth


def _units(**values: float) -> F32:
    units = np.zeros(len(UNITS), np.float32)
    for name, value in values.items():
        units[UNIT_INDEX[name]] = value
    return units


def random_units(rng: np.random.Generator) -> F32:
    """A random mouth, wider than speech alone: open, rounded, spread, smiling, pressed, baring teeth."""
    units = np.zeros(len(UNITS), np.float32)
    if rng.random() > 0.22:
        units[0] = min(1.0, rng.beta(1.1, 1.8) * 1.1)
    if rng.random() < 0.15:
        units[1] = rng.random() * units[0] * 0.95
    shape = rng.random()
    if shape < 0.25:
        units[3], units[2] = rng.random() * 1.5, rng.random() * 0.8 * (rng.random() < 0.5)
    elif shape < 0.45:
        units[2] = rng.random() * 1.3
    elif shape < 0.65:
        units[4], units[5] = rng.random() * 1.1, rng.random() * 0.6 * (rng.random() < 0.5)
    elif shape < 0.8:
        units[5] = rng.random()
    for index, chance, most in (
        (6, 0.15, 0.8),
        (7, 0.12, 0.7),
        (8, 0.2, 1.0),
        (9, 0.3, 1.0),
        (10, 0.3, 1.0),
        (11, 0.15, 0.8),
    ):
        if rng.random() < chance:
            units[index] = rng.random() * most
    return units


def toothy_smile(rng: np.random.Generator) -> F32:
    """A smile that bares the upper teeth with the jaw (nearly) shut: how many people look into a camera."""
    return _units(
        mouthSmile=rng.uniform(0.4, 1.3),
        mouthUpperUp=rng.uniform(0.3, 1.0),
        mouthLowerDown=rng.uniform(0.1, 0.7),
        jawOpen=rng.uniform(0.0, 0.3),
        mouthStretch=rng.uniform(0.0, 0.6) * (rng.random() < 0.4),
    )


def rounded(rng: np.random.Generator) -> F32:
    """Lips as for /u/, /o/ and whistling: puckered, funnelled or both, from nearly shut to half open."""
    pucker = rng.uniform(0.7, 1.5)
    return _units(
        mouthPucker=pucker,
        mouthFunnel=rng.uniform(0.0, 1.5 - 0.9 * pucker),  # both in full fold the lips upright
        jawOpen=rng.uniform(0.0, 0.5) * (rng.random() < 0.7),
    )


def spread(rng: np.random.Generator) -> F32:
    """Lips drawn wide with hardly a tooth between them, as for /i/ and a shut smile."""
    return _units(
        mouthStretch=rng.uniform(0.5, 1.3),
        mouthSmile=rng.uniform(0.0, 0.9) * (rng.random() < 0.6),
        mouthPress=rng.uniform(0.0, 0.6) * (rng.random() < 0.3),
        jawOpen=rng.uniform(0.0, 0.35) * (rng.random() < 0.6),
        mouthLowerDown=rng.uniform(0.0, 0.5) * (rng.random() < 0.5),
    )


def wide_open(rng: np.random.Generator) -> F32:
    """The mouth of a shout, or of a laugh with its teeth."""
    laugh = rng.random() < 0.4
    return _units(
        jawOpen=rng.uniform(0.65, 1.1),
        mouthSmile=rng.uniform(0.2, 0.9) * laugh,
        mouthUpperUp=rng.uniform(0.2, 0.8) * laugh,
        mouthLowerDown=rng.uniform(0.0, 0.6),
        mouthStretch=rng.uniform(0.0, 0.7) * (rng.random() < 0.3),
    )


#: What most people show beside speech, with the chance of each.
EXTREMES: tuple[tuple[Callable[[np.random.Generator], F32], float], ...] = (
    (toothy_smile, 0.6),
    (rounded, 0.7),
    (spread, 0.6),
    (wide_open, 0.5),
)


def choose_mouths(count: int, speech: F32, rng: np.random.Generator) -> list[F32]:
    """Choose the mouth units of ``count`` pictures: the closed mouth first, then extremes, then speech and any mouths.

    Args:
        count: how many.
        speech: float32 (T, 12), units of the person's speech.
        rng: where chance comes from.
    """
    extremes = [make(rng) for make, chance in EXTREMES if rng.random() < chance]
    mouths = [_units(), *(extremes[k] for k in rng.permutation(len(extremes)))][:count]
    while len(mouths) < count:
        moment = speech[rng.integers(len(speech))].copy()
        if rng.random() < 0.4:
            moment[UNIT_INDEX["mouthSmile"]] += rng.uniform(0, 0.6)
        mouths.append(moment if rng.random() < 0.5 else random_units(rng))
    return mouths


def choose_pairs(lips: npt.NDArray[np.float64], wanted: int, spec: LipSpec, rng: np.random.Generator) -> list[Pair]:
    """Choose different ordered pairs of mouths, those that change much or concern the closed one (0) more often.

    Args:
        lips: float64 (K, N, 2), true lip points of every mouth in crop px.
        wanted: how many pairs; at most K (K - 1).
        spec: order of the points.
        rng: where chance comes from.
    """
    inner = lips[:, spec.outer_points :]
    half = spec.inner_points // 2
    opening = (inner[:, half + half // 2] - inner[:, half // 2])[:, 1]
    width = np.linalg.norm(lips[:, spec.outer_points // 2] - lips[:, 0], axis=1)
    pairs = [(i, j) for i in range(len(lips)) for j in range(len(lips)) if i != j]
    start, end = np.array(pairs).T
    weight = 1.0 + np.abs(opening[end] - opening[start]) / _OPENING_PX + np.abs(width[end] - width[start]) / _WIDTH_PX
    weight *= np.where((start == 0) | (end == 0), _CLOSED_WEIGHT, 1.0)
    return [pairs[k] for k in rng.choice(len(pairs), wanted, replace=False, p=weight / weight.sum())]
