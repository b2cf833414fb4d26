"""Mouth units to vertices: what the lips, jaw, teeth and tongue do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipforge.preprocess.synth.head_data import F32, LOWER_TEETH, PARTS, TONGUE, UPPER_TEETH, HeadData

#: The twelve symmetric units that move the mouth, in the order of every ``units`` array. Names are ARKit's; a name
#: that the data only has as a left and a right half means both.
UNITS = (
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthStretch",
    "mouthSmile",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthPress",
    "mouthUpperUp",
    "mouthLowerDown",
    "mouthShrugLower",
)
UNIT_INDEX = {name: index for index, name in enumerate(UNITS)}


@dataclass(frozen=True)
class MouthParts:
    """Where teeth and tongue sit; lengths in decimetres of the mesh.

    The data's tongue fills the mouth, so it is flattened and lowered; lower teeth follow the jaw.
    """

    jaw_gain: float = 1.0
    upper_teeth_lift: float = -0.03
    lower_teeth_lift: float = 0.0
    teeth_back: float = 0.03
    tongue_drop: float = 0.2
    tongue_raise: float = 0.0


class Expression:
    """Turns mouth units into vertices for any identity of one head data set."""

    def __init__(self, head: HeadData) -> None:
        names = [str(n) for n in head.unit_names]
        halves = [_halves(names, unit) for unit in UNITS]
        self._left = np.stack([head.units[left] for left, _ in halves])
        self._right = np.stack([head.units[right] if right != left else 0 * head.units[left] for left, right in halves])
        self._part_of_vertex = np.zeros(len(head.vertices), np.int32)
        for part in range(1, len(PARTS)):
            self._part_of_vertex[np.unique(head.faces[head.face_class == part])] = part
        self._lids = sum(head.units[names.index(f"eyeBlink{side}")] for side in ("Left", "Right"))
        self._jaw = head.units[names.index("jawOpen")]

    def vertices(self, relaxed: F32, units: F32, asymmetry: F32, mouth: MouthParts, shut_eyes: float = 0.0) -> F32:
        """Return float32 (V, 3): the relaxed head moved by ``units``, float32 (12,), mostly in [0, 1]."""
        active = np.flatnonzero(units)
        left = (units * (1 + asymmetry))[active]
        right = (units * (1 - asymmetry))[active]
        # Not tensordot: for so little work BLAS starts threads, which then wait at the cost of whole cores.
        moved = relaxed + np.einsum("u,uvk->vk", left, self._left[active])
        moved += np.einsum("u,uvk->vk", right, self._right[active])
        if shut_eyes:
            moved += np.float32(shut_eyes) * self._lids
        self._place_teeth(moved, relaxed, float(units[0]) * mouth.jaw_gain, mouth)
        return np.asarray(moved, np.float32)

    def _place_teeth(self, moved: F32, relaxed: F32, jaw: float, mouth: MouthParts) -> None:
        part = self._part_of_vertex
        lower = (part == LOWER_TEETH) | (part == TONGUE)
        moved[lower] = relaxed[lower] + np.float32(jaw) * self._jaw[lower]
        moved[part == UPPER_TEETH] = relaxed[part == UPPER_TEETH]
        tongue = part == TONGUE
        centre = moved[tongue, 1].mean()
        # 0.6: flattened; 0.05: rests below the teeth's edge; 0.27: travel of the data's jaw at full opening
        height = centre + (moved[tongue, 1] - centre) * 0.6 - 0.05 - mouth.tongue_drop * 0.27 * jaw
        moved[tongue, 1] = height + mouth.tongue_raise
        moved[(part == UPPER_TEETH) | lower, 2] -= mouth.teeth_back
        moved[part == UPPER_TEETH, 1] += mouth.upper_teeth_lift
        moved[part == LOWER_TEETH, 1] += mouth.lower_teeth_lift


def _halves(names: list[str], unit: str) -> tuple[int, int]:
    if unit in names:
        return names.index(unit), names.index(unit)
    return names.index(unit + "Left"), names.index(unit + "Right")
