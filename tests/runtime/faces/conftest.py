"""A made-up face of 468 points that can be posed, and networks that see it without any model file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.runtime.faces import Face, HeadPose, HeadTemplate
from lipforge.runtime.faces.alignment import crop_transform
from lipforge.runtime.faces.detector import Detection
from lipforge.runtime.faces.mesh import FaceRegion
from lipforge.runtime.faces.points import MESH_POINTS, NOSE_BASE, lip_indices
from lipforge.runtime.faces.similarity import apply_affine
from lipforge.runtime.picture import Picture

F64 = NDArray[np.float64]
CLOSED_Y = 31.0


def head_points(gap: float = 0.0, seed: int = 0) -> F64:
    """A head in head units: template points, lips with a gap, the rest somewhere on the face."""
    lips = LipSpec()
    rng = np.random.default_rng(seed)
    points = rng.uniform((-30.0, -22.0, -10.0), (30.0, 55.0, 10.0), (MESH_POINTS, 3))
    template = HeadTemplate.load(lips)
    points[list(template.indices)] = template.points
    points[NOSE_BASE] = (0.0, 19.5, -15.0)
    points[list(lip_indices(lips))] = lip_points(gap)
    return points


def lip_points(gap: float) -> F64:
    """Lips in LipSpec's order; of the gap a quarter is upper lip, the rest lower lip and jaw."""
    steps = np.arange(1, 10)
    x = -10 * np.cos(np.pi * steps / 10)
    arch = np.sin(np.pi * steps / 10)
    upper, lower = CLOSED_Y - 0.25 * gap * arch, CLOSED_Y + 0.75 * gap * arch

    def ring(up: F64, down: F64) -> F64:
        y = np.concatenate([[CLOSED_Y], up, [CLOSED_Y], down[::-1]])
        z = np.concatenate([[-8.0], -8 - 4 * arch, [-8.0], (-8 - 4 * arch)[::-1]])
        return np.column_stack([np.concatenate([[-10.0], x, [10.0], x[::-1]]), y, z])

    return np.concatenate([ring(upper - 3 * arch, lower + 4 * arch), ring(upper, lower)])


def pose_at(
    x: float = 200.0, y: float = 150.0, scale: float = 2.5, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0
) -> HeadPose:
    """A pose from angles in degrees."""
    rotation = np.eye(3)
    for axis, angle in ((1, yaw), (0, pitch), (2, roll)):
        vector = np.zeros(3)
        vector[axis] = np.radians(angle)
        rotation = np.asarray(cv2.Rodrigues(vector)[0], np.float64) @ rotation
    return HeadPose(rotation, scale, np.array([x, y, 0.0]))


def posed(pose: HeadPose, gap: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    """Landmarks float32 (468, 3), image px."""
    return pose.to_image(head_points(gap, seed)).astype(np.float32)


def face_of(pose: HeadPose, gap: float = 0.0) -> Face:
    """A face whose transform and pose are exact."""
    landmarks = posed(pose, gap)
    transform = crop_transform(landmarks, CropSpec())
    lips = apply_affine(transform, landmarks[list(lip_indices(LipSpec())), :2]).astype(np.float32)
    return Face(landmarks, 1.0, transform, pose, lips)


@dataclass
class World:
    """Faces that the fake networks can see, and what happened."""

    poses: list[HeadPose] = field(default_factory=list)
    false_alarms: list[Detection] = field(default_factory=list)
    patient_only: bool = False
    looks: int = 0
    patience: list[bool] = field(default_factory=list)

    def move(self, index: int, **changes: Any) -> None:
        self.poses[index] = replace(self.poses[index], **changes)

    def searches(self, picture: Picture, *, patient: bool) -> Iterator[list[Detection]]:
        self.patience.append(patient)
        found = [] if self.patient_only else [*self.false_alarms, *map(detection_of, self.poses)]
        yield found
        if patient:
            yield [*self.false_alarms, *map(detection_of, self.poses)]

    def __call__(self, picture: Picture, region: FaceRegion) -> tuple[NDArray[np.float32], float]:
        self.looks += 1
        for pose in self.poses:
            landmarks = posed(pose)
            own = FaceRegion.of_landmarks(landmarks)
            near = float(np.hypot(*(own.centre - region.centre))) < 0.3 * own.side_px
            if near and 0.5 < region.side_px / own.side_px < 2:
                return landmarks, 0.99
        return np.zeros((MESH_POINTS, 3), np.float32), 0.01


def detection_of(pose: HeadPose) -> Detection:
    landmarks = posed(pose)[:, :2].astype(np.float64)
    return Detection(np.concatenate([landmarks.min(0), landmarks.max(0)]), landmarks[[33, 263]], 0.9)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def maker() -> SimpleNamespace:
    """The functions above, because test modules cannot import this file."""
    return SimpleNamespace(head_points=head_points, pose_at=pose_at, posed=posed, face_of=face_of)
