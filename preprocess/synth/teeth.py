"""Teeth, gums and tongue: painted on the rest mesh, so that they move with it.

The data's teeth are two smooth bands. What makes a row of teeth of a band is paint: gaps, round corners, gums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.head_data import F32, UPPER_TEETH

F64 = npt.NDArray[np.float64]

#: Where one tooth ends and the next begins, decimetres from the middle as seen from the front (an adult's average).
_UPPER_EDGES = np.array([0.0, 0.085, 0.150, 0.205, 0.240, 0.265])
_LOWER_EDGES = np.array([0.0, 0.053, 0.110, 0.170, 0.212, 0.250])
#: Height of the biting edges in the middle of the rest mesh, and by how much they rise to 0.25 dm from it.
_UPPER_BITE, _LOWER_BITE, _RISE = 6.198, 6.196, 0.03
_TONGUE_GROOVE = 0.02  # half width, decimetres


@dataclass(frozen=True)
class Teeth:
    """The teeth of one person; lengths in decimetres.

    Attributes:
        colour, gums: float64 (3,), RGB in [0, 255].
        width: of the teeth, 1 is average. middle: where the two front teeth meet.
        gap: half width of the line between two teeth. gap_depth: how dark it is, 0 to 1.
        corner: height of the notch that round corners leave between two teeth.
        height: of a tooth from its edge to the gums.
        shade: float64 (2, 2 n), brightness of every tooth of the upper and the lower row.
        flat: a plain white band, as in drawings.
    """

    colour: F64
    gums: F64
    width: float
    middle: float
    gap: float
    gap_depth: float
    corner: float
    height: float
    shade: F64
    flat: bool = False


def sample_teeth(rng: np.random.Generator, *, flat: bool = False) -> Teeth:
    """Draw the teeth of one person, from even and white to gapped and yellow."""
    worn = rng.beta(1.2, 2.5)  # 0: even and white
    colour = np.array([240.0, 235.0, 224.0]) * (1 - worn * np.array([0.1, 0.16, 0.36])) * rng.uniform(0.7, 1.05)
    return Teeth(
        colour=np.clip(colour + rng.normal(size=3) * 3, 0, 255) if not flat else np.full(3, rng.uniform(225, 255)),
        gums=np.array([190.0, 105.0, 108.0]) * rng.uniform(0.65, 1.1),
        width=float(rng.uniform(0.85, 1.15)),
        middle=float(rng.normal() * 0.008),
        gap=float(rng.uniform(0.003, 0.007) * (1 + worn)),
        gap_depth=float(rng.uniform(0.12, 0.5)),
        corner=float(rng.uniform(0.005, 0.022)),
        height=float(rng.uniform(0.085, 0.13)),
        shade=1 + rng.normal(size=(2, 2 * len(_UPPER_EDGES))) * (0.025 + 0.06 * worn),
        flat=flat,
    )


def paint_teeth(rest: F32, part: int, teeth: Teeth, cavity: F64) -> F64:
    """Colour points of one row, float64 (n, 3).

    Args:
        rest: float32 (n, 3), the points on the rest mesh, decimetres.
        part: ``UPPER_TEETH`` or ``LOWER_TEETH``.
        teeth: whose.
        cavity: colour of the dark that shows in the notches.
    """
    if teeth.flat:
        return np.broadcast_to(teeth.colour, (len(rest), 3))
    upper = part == UPPER_TEETH
    edges = (_UPPER_EDGES if upper else _LOWER_EDGES) * teeth.width
    x, y = rest[:, 0] - teeth.middle, rest[:, 1]
    away = np.abs(x)
    tooth = np.clip(np.searchsorted(edges, away, "right") - 1, 0, len(edges) - 2)
    start, width = edges[tooth], np.diff(edges)[tooth]
    across = np.clip((away - start) / width, 0, 1)
    side_gap = np.minimum(across, 1 - across) * width  # distance to the next gap
    rise = _RISE * (x / 0.25) ** 2
    above_bite = (y - _UPPER_BITE - rise) if upper else (_LOWER_BITE + rise - y)
    round_tooth = 1 - 0.2 * (2 * across - 1) ** 4
    gap = 1 - teeth.gap_depth * np.clip(2 - side_gap / teeth.gap, 0, 1)
    shade = teeth.shade[0 if upper else 1][2 * tooth + (x < 0)]
    colour = teeth.colour * (round_tooth * gap * shade)[:, None]
    gum_line = teeth.height - 0.03 * (2 * across - 1) ** 2
    gums = np.clip((above_bite - gum_line) / 0.012 + 0.5, 0, 1)[:, None]
    notch = np.clip(1.5 - above_bite / (teeth.corner * np.exp(-((side_gap / 0.012) ** 2)) + 1e-4), 0, 1)[:, None]
    return np.asarray((colour * (1 - gums) + teeth.gums * gums) * (1 - notch) + 0.6 * cavity * notch)


def paint_tongue(rest: F32, colour: F64) -> F64:
    """Colour points of the tongue, float64 (n, 3): a groove along its middle, and redder behind than at the tip."""
    groove = 1 - 0.22 * np.exp(-((rest[:, :1] / _TONGUE_GROOVE) ** 2))
    behind = np.clip((1.2 - rest[:, 2:]) / 0.4, 0, 1)
    return np.asarray(colour * groove * (1 - behind * np.array([0.15, 0.3, 0.28])))
