"""Points of the mesh that correspond to the tracker's landmarks, and true lip motion in the head frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import LipSpec
from lipforge.preprocess.synth.expression import UNITS, Expression, MouthParts
from lipforge.preprocess.synth.head_data import F32, HeadData
from lipforge.preprocess.synth.identity import average_identity


@dataclass(frozen=True)
class SurfacePoints:
    """Points fixed to the mesh: int32 (n, 3) vertices and float32 (n, 3) weights that sum to 1."""

    vertices: npt.NDArray[np.int32]
    weights: F32

    def locate(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Interpolate per-vertex ``values`` (V, D) at the points; float64 (n, D)."""
        return np.asarray(np.einsum("nkd,nk->nd", values[self.vertices].astype(np.float64), self.weights))


@dataclass(frozen=True)
class Landmarks:
    """``key``: the five alignment points of CropSpec, in its order; ``lips``: the contours of LipSpec."""

    key: SurfacePoints
    lips: SurfacePoints


def load_landmarks(head: HeadData) -> Landmarks:
    """Read the shipped table for the pinned head data."""
    text = (resources.files("lipforge.preprocess.synth") / "landmarks.json").read_text(encoding="utf-8")
    table = json.loads(text)
    return Landmarks(*(_surface(np.array(table[name]), head) for name in ("key", "lips")))


def _surface(rows: npt.NDArray[np.float64], head: HeadData) -> SurfacePoints:
    weights = rows[:, 1:] / rows[:, 1:].sum(1, keepdims=True)
    return SurfacePoints(head.faces[rows[:, 0].astype(np.int64)], weights.astype(np.float32))


def lip_displacement(moved: F32, relaxed: F32, marks: Landmarks, spec: LipSpec) -> npt.NDArray[np.float64]:
    """True displacement (N, 3) of the lips between two states of one head, in LipSpec's head frame and unit."""
    eyes = marks.key.locate(relaxed)
    unit = spec.eye_distance / np.linalg.norm(eyes[0] - eyes[3])
    shift = marks.lips.locate(moved) - marks.lips.locate(relaxed)
    return np.asarray(shift * unit * [1.0, -1.0, -1.0])  # mesh y is up and z towards the viewer


def average_unit_mm(head: HeadData, marks: Landmarks, spec: LipSpec) -> float:
    """Length of LipSpec's unit on the average head, mm: the mesh is in decimetres."""
    eyes = marks.key.locate(average_identity(head).vertices)
    return float(100.0 * np.linalg.norm(eyes[0] - eyes[3]) / spec.eye_distance)


def average_lip_motion(head: HeadData, expression: Expression, marks: Landmarks, spec: LipSpec) -> F32:
    """Lip displacement of the average head per unit, float32 (12, N, 3); motion is linear in the units."""
    person = average_identity(head)
    rows = []
    for index in range(len(UNITS)):
        units = np.zeros(len(UNITS), np.float32)
        units[index] = 1.0
        moved = expression.vertices(person.vertices, units, person.asymmetry, MouthParts())
        rows.append(lip_displacement(moved, person.vertices, marks, spec))
    return np.array(rows, np.float32)


def seal_lips(relaxed: F32, head: HeadData, marks: Landmarks, spec: LipSpec) -> F32:
    """Close the small gap that shape mixing leaves between relaxed lips, by raising the lower lip.

    Without it teeth shine through the seam of a mouth that should be shut.
    """
    eyes = marks.key.locate(relaxed)
    unit = spec.eye_distance / np.linalg.norm(eyes[0] - eyes[3])
    lips = marks.lips.locate(relaxed)[spec.outer_points :, 1] * unit
    half = spec.inner_points // 2
    gap = float(np.max(lips[1:half] - lips[:half:-1]))
    raise_lower = head.units[list(head.unit_names).index("mouthShrugLower")]
    per_unit = float(np.mean(marks.lips.locate(raise_lower)[spec.outer_points + half + 3 : -2, 1])) * unit
    return np.asarray(relaxed + np.clip((gap - 0.1) / per_unit, 0.0, 0.8) * raise_lower, np.float32)
