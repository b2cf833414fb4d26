"""Faces: detection, landmarks, alignment, head pose and the person's neutral lips. Nobody else owns face models."""

from __future__ import annotations

from lipforge.runtime.faces.face import Face
from lipforge.runtime.faces.head_pose import HeadPose, HeadTemplate, average_template, fit_head_frame
from lipforge.runtime.faces.neutral_lips import NeutralLips
from lipforge.runtime.faces.tracker import FaceTracker, face_models

__all__ = [
    "Face",
    "FaceTracker",
    "HeadPose",
    "HeadTemplate",
    "NeutralLips",
    "average_template",
    "face_models",
    "fit_head_frame",
]
