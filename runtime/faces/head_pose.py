"""The head frame of LipSpec: where it is in the image, fitted to the rigid points of the face mesh."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import LipSpec
from lipforge.runtime.faces.points import (
    GLABELLA,
    LEFT_EYE_OUTER,
    MESH_POINTS,
    NOSE_BASE,
    RIGHT_EYE_OUTER,
    RIGID,
    RIGID_MIRRORED,
)
from lipforge.runtime.faces.similarity import F64, fit_similarity_3d
from lipforge.runtime.faces.steadying import Steadying

_TEMPLATE_FILE = "head_template.json"
_MOUTH_RADIUS = 0.8  # of the eye distance, from the frame's origin to the mouth: what a rotation moves


@dataclass(frozen=True)
class HeadPose:
    """The head frame in the image: ``image = scale * rotation @ head + origin``.

    Attributes:
        rotation: float64 (3, 3), proper; the identity for a face that looks straight into the camera.
        scale: image px per head unit.
        origin: float64 (3,), the middle between the outer eye corners in image px; z in the scale of x.
    """

    rotation: F64
    scale: float
    origin: F64

    def to_head(self, points: NDArray[np.floating]) -> F64:
        """Return image points (n, 3), px, in head units; float64 (n, 3)."""
        moved: F64 = (points - self.origin) @ self.rotation / self.scale
        return moved

    def to_image(self, points: NDArray[np.floating]) -> F64:
        """Return head points (n, 3), head units, in image px; float64 (n, 3)."""
        moved: F64 = np.asarray(points, np.float64) @ self.rotation.T * self.scale + self.origin
        return moved

    @property
    def frontal(self) -> float:
        """Cosine of the angle between the face's direction and the camera's: 1 looks into the camera."""
        return float(self.rotation[2, 2])


@dataclass(frozen=True)
class HeadTemplate:
    """A generic head's rigid points: mesh ``indices`` and float64 (n, 3) ``points`` in head units."""

    indices: tuple[int, ...]
    points: F64

    @classmethod
    def load(cls, lips: LipSpec) -> HeadTemplate:
        """Read the shipped template, scaled to the unit of ``lips``.

        Raises:
            ConfigError: the shipped file is damaged.
        """
        text = (resources.files("lipforge.runtime.faces") / _TEMPLATE_FILE).read_text(encoding="utf-8")
        return cls.from_dict(json.loads(text), lips)

    @classmethod
    def from_dict(cls, values: dict[str, Any], lips: LipSpec) -> HeadTemplate:
        """Build a template from ``{"indices": [...], "points": [[x, y, z], ...]}``.

        Raises:
            ConfigError: the outer eye corners are missing, or the two lists do not belong together.
        """
        indices, points = tuple(values["indices"]), np.array(values["points"], np.float64)
        fitting = points.shape == (len(indices), 3) and all(0 <= i < MESH_POINTS for i in indices)
        if not fitting or not {RIGHT_EYE_OUTER, LEFT_EYE_OUTER} <= set(indices):
            raise ConfigError(
                f"{_TEMPLATE_FILE}: needs one (x, y, z) per mesh index, both outer eye corners among them."
            )
        eyes = points[indices.index(LEFT_EYE_OUTER)] - points[indices.index(RIGHT_EYE_OUTER)]
        return cls(indices, points * (lips.eye_distance / float(np.linalg.norm(eyes))))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {"indices": list(self.indices), "points": np.round(self.points, 4).tolist()}

    def fit(self, landmarks: NDArray[np.floating]) -> HeadPose:
        """Return the head frame of landmarks (468, 3) in image px, by least squares over the rigid points."""
        measured = landmarks[list(self.indices)].astype(np.float64)
        return HeadPose(*fit_similarity_3d(self.points, measured))


def fit_head_frame(landmarks: NDArray[np.floating], lips: LipSpec) -> HeadPose:
    """Return the head frame of one face by its own definition, without a template.

    x runs along the line of the outer eye corners. y is the rest of the line from the glabella (between the brows)
    to the base of the nose, which stands nearly upright in a head held naturally. z is perpendicular to both.

    Args:
        landmarks: float (468, 3) in image px.
        lips: gives the unit.
    """
    points = landmarks.astype(np.float64)
    right, left = points[RIGHT_EYE_OUTER], points[LEFT_EYE_OUTER]
    distance = float(np.linalg.norm(left - right))
    x = (left - right) / distance
    down = points[NOSE_BASE] - points[list(GLABELLA)].mean(0)
    y = down - x * (x @ down)
    y /= np.linalg.norm(y)
    return HeadPose(np.column_stack([x, y, np.cross(x, y)]), distance / lips.eye_distance, (left + right) / 2)


def average_template(faces: Iterable[NDArray[np.floating]], lips: LipSpec) -> HeadTemplate:
    """Average the rigid points of several faces in their head frames, made symmetric; any pose and size will do.

    Args:
        faces: landmarks float (468, 3) in image px, one array per face.
        lips: gives the unit.

    Raises:
        InputError: there is no face.
    """
    heads = [fit_head_frame(landmarks, lips).to_head(landmarks) for landmarks in faces]
    if not heads:
        raise InputError("a head template needs the landmarks of at least one face.")
    mean = np.mean(heads, axis=0)
    mirrored = mean[list(RIGID_MIRRORED)] * (-1.0, 1.0, 1.0)
    return HeadTemplate(RIGID, (mean[list(RIGID)] + mirrored) / 2)


class PoseSmoother:
    """Smooths a sequence of head poses in their seven parameters."""

    def __init__(self, lips: LipSpec) -> None:
        self._radius = _MOUTH_RADIUS * lips.eye_distance
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next pose is taken as it is."""
        self._state: HeadPose | None = None
        self._steadying = Steadying(7)

    def step(self, measured: HeadPose) -> HeadPose:
        """Return the smoothed pose for this frame's measured one."""
        last = self._state
        if last is None:
            self._state = measured
            return measured
        turn = cv2.Rodrigues(measured.rotation @ last.rotation.T)[0].reshape(3)
        shift = (measured.origin - last.origin) / last.scale
        grown = np.log(measured.scale / last.scale)
        step = self._steadying.follow(np.array([*shift, *(turn * self._radius), grown * self._radius]))
        turned = np.asarray(cv2.Rodrigues(step[3:6] / self._radius)[0], np.float64)
        self._state = HeadPose(
            rotation=turned @ last.rotation,
            scale=last.scale * float(np.exp(step[6] / self._radius)),
            origin=last.origin + step[:3] * last.scale,
        )
        return self._state
