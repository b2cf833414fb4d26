"""A random person: head shape, proportions of mouth parts and how the face moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.expression import UNITS, MouthParts
from lipforge.preprocess.synth.head_data import F32, HeadData

_ORIGINS = ("african", "asian", "caucasian")
_WEIGHTS = {"averageweight": 0, "maxweight": 1, "minweight": 2}


@dataclass(frozen=True)
class Identity:
    """One head.

    Attributes:
        vertices: float32 (V, 3), the relaxed head, decimetres.
        male: 0 to 1. old: 0 to 1.
        origins: float64 (3,), shares of african, asian, caucasian; they sum to 1.
        asymmetry: float32 (U,), left/right imbalance of each mouth unit; 0 is symmetric.
        mouth: where teeth and tongue sit and how far they follow the jaw.
    """

    vertices: F32
    male: float
    old: float
    origins: npt.NDArray[np.float64]
    asymmetry: F32
    mouth: MouthParts


def sample_identity(head: HeadData, rng: np.random.Generator) -> Identity:
    """Draw a person over the whole range of the head data: sex, age, origin, weight and about 40 local shapes."""
    male, old = float(rng.beta(0.5, 0.5)), float(rng.beta(0.6, 1.2))
    origins = rng.dirichlet([0.6, 0.6, 0.9])
    weights = rng.dirichlet([1.0, 0.6, 0.6])
    vertices = head.vertices.copy()
    for name, shape in zip(head.macro_names, head.macros, strict=True):
        share = _macro_share(str(name), male, old, origins, weights)
        if share > 0.02:
            vertices += np.float32(share) * shape
    _add_local_shapes(vertices, head, rng)
    asymmetry = (rng.normal(size=len(UNITS)) * 0.12).astype(np.float32)
    return Identity(vertices, male, old, origins, asymmetry, _sample_mouth(rng))


def average_identity(head: HeadData) -> Identity:
    """The plain young head, symmetric; landmarks and the average lip motion are measured on it."""
    zeros = np.zeros(len(UNITS), np.float32)
    return Identity(head.average.copy(), 0.0, 0.0, np.array([0.0, 0.0, 1.0]), zeros, MouthParts())


def _macro_share(
    name: str, male: float, old: float, origins: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> float:
    parts = name.split("-")
    share = (male if parts[1] == "male" else 1 - male) * (old if parts[2] == "old" else 1 - old)
    if parts[0] == "universal":
        return float(share * weights[_WEIGHTS[parts[4]]] * 0.8)
    return float(share * origins[_ORIGINS.index(parts[0])])


def _add_local_shapes(vertices: F32, head: HeadData, rng: np.random.Generator) -> None:
    """Add about 18 % of the local shapes; left and right versions share a strength but for 10 % noise."""
    strength: dict[str, float] = {}
    for name, shape in zip(head.shape_names, head.shapes, strict=True):
        key = str(name)[2:] if str(name)[:2] in ("l-", "r-") else str(name)
        if key not in strength:
            scale = 0.7 if key.startswith("mouth") else 0.55
            strength[key] = float(rng.beta(1, 2) * scale * (rng.random() < 0.18))
        value = strength[key] * (0.4 if ("scale" in key and key.startswith("head")) or "trans" in key else 1.0)
        if value > 0:
            vertices += np.float32(value * (1 + 0.1 * rng.normal())) * shape


def _sample_mouth(rng: np.random.Generator) -> MouthParts:
    """Most people show the upper teeth's edge and a dark gap below when they speak, and few show the lower teeth.

    What is alike in most mouths is what a network can paint into one that it has only seen closed.
    """
    return MouthParts(
        jaw_gain=float(rng.uniform(0.85, 1.1)),
        upper_teeth_lift=float(np.clip(rng.normal(-0.055, 0.018), -0.1, -0.02)),
        lower_teeth_lift=float(rng.uniform(-0.15, -0.06)),
        teeth_back=float(rng.uniform(0.03, 0.1)),
        tongue_drop=float(rng.uniform(0.0, 0.5)),
        tongue_raise=float(rng.uniform(0.0, 0.12) * (rng.random() < 0.4)),
    )
