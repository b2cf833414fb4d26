"""Head pose, perspective and the alignment of a rendered head to the face crop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.head_data import F32

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Head turn in degrees, and the camera's distance in decimetres of the mesh."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    distance: float = 10.0

    def rotation(self) -> F64:
        """Rotation matrix (3, 3): roll after pitch after yaw."""
        yaw, pitch, roll = np.radians([self.yaw_deg, self.pitch_deg, self.roll_deg])
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        lean = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        return np.asarray(lean @ nod @ turn)

    def turned(self, degrees: F64) -> Pose:
        """The pose turned further by yaw, pitch and roll, float64 (3,)."""
        yaw, pitch, roll = degrees.tolist()
        turn = {"yaw_deg": self.yaw_deg + yaw, "pitch_deg": self.pitch_deg + pitch, "roll_deg": self.roll_deg + roll}
        return replace(self, **turn)


def sample_pose(rng: np.random.Generator) -> Pose:
    """A pose as people have before a camera: yaw sd 14, pitch sd 8, roll sd 4 degrees."""
    yaw = float(np.clip(rng.normal() * 14, -32, 32))
    pitch, roll = float(rng.normal() * 8), float(rng.normal() * 4)
    return Pose(yaw, pitch, roll, distance=float(rng.uniform(5, 14)))


def head_sway(count: int, fps: int, rng: np.random.Generator) -> F64:
    """Slow sway (count, 3) in degrees: two sines a second apart in period for each of yaw, pitch and roll."""
    time = np.arange(count)[:, None] / fps
    reach = np.array([5.0, 3.0, 2.0])
    sway = np.zeros((count, 3))
    for _ in range(2):
        sway += np.sin(2 * np.pi * time * rng.uniform(0.1, 0.5, 3) + rng.uniform(0, 2 * np.pi, 3)) * reach / 2
    return sway


def project(vertices: F32, centre: F32, pose: Pose) -> F64:
    """Perspective view, float64 (V, 3): x right, y down, in decimetres at the head's centre; z larger is nearer."""
    seen = (vertices - centre) @ pose.rotation().T
    scale = pose.distance / (pose.distance - seen[:, 2])
    return np.stack([seen[:, 0] * scale, -seen[:, 1] * scale, seen[:, 2]], 1)


def jitter_alignment(transform: F64, size_px: int, rng: np.random.Generator) -> F64:
    """Disturb a crop transform as a tracker does: scale 3.5 %, 2 degrees, 1.6 px (sd)."""
    scale, angle = 1 + rng.normal() * 0.035, np.radians(rng.normal() * 2.0)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (size_px - 1) / 2
    offset = turn @ (transform[:, 2] - middle) + middle + rng.normal(size=2) * 1.6
    return np.concatenate([turn @ transform[:, :2], offset[:, None]], 1)


def to_pixels(view: F64, transform: F64, factor: float) -> F32:
    """View points (V, 3) to pixels of a crop that is ``factor`` times larger than the transform's; keeps z."""
    xy = (view[:, :2] @ transform[:, :2].T + transform[:, 2] + 0.5) * factor - 0.5
    return np.concatenate([xy, view[:, 2:]], 1).astype(np.float32)
