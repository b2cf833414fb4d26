"""The talking head as a face detector hands it to the Wav2Lip trainers: one square picture of its box a frame."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import CropSpec, FaceBoxSpec
from lipforge.preprocess.face_samples import FACE_PX
from lipforge.preprocess.synth.camera import F64, head_sway
from lipforge.preprocess.synth.eyes import eye_motion
from lipforge.preprocess.synth.head_data import F32
from lipforge.preprocess.synth.scene import Scene, Studio

# The box in crop px (``CropSpec``): its middle, width and height. From the middle of the forehead to just below the
# chin and about as wide as the face, as detectors have it; squeezed into a square, as published. The mouth comes to
# lie at three quarters of the height.
BOX_MIDDLE, BOX_WIDTH, BOX_HEIGHT = (48.0, 32.0), 76.0, 92.0
# The studio takes two pixels to each of these: three for two of the face's are enough, in two thirds of the time.
RENDER_PX = 72
# How much boxes differ, sd as shares of their side: from clip to clip in size and place, from frame to frame in place.
SIZE_SD, PLACE_SD, TREMBLE_SD = 0.04, 0.015, 0.003


def face_box() -> FaceBoxSpec:
    """Return the box without its random differences, for whoever has to cut out faces as these are."""
    half = np.array([BOX_WIDTH, BOX_HEIGHT]) / 2
    edges = np.concatenate([np.array(BOX_MIDDLE) - half, np.array(BOX_MIDDLE) + half])
    left, top, right, bottom = ((edges + 0.5) / CropSpec().size_px).tolist()
    return FaceBoxSpec(FACE_PX, "alignment", (left, top, right, bottom), pads_px=(0, 0, 0, 0))


def render_faces(studio: Studio, scene: Scene, units: F32, fps: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return the face of every frame, uint8 (T, 96, 96, 3) RGB; one frame per row of ``units``."""
    sway = head_sway(len(units), fps, rng)
    looks = eye_motion(len(units), fps, rng)
    size = 1.0 + SIZE_SD * rng.normal(size=2)
    places = PLACE_SD * rng.normal(size=2) + TREMBLE_SD * rng.normal(size=(len(units), 2))
    faces = np.empty((len(units), FACE_PX, FACE_PX, 3), np.uint8)
    for face, mouth, turn, eyes, place in zip(faces, units, sway, looks, places, strict=True):
        moved = replace(scene, pose=scene.pose.turned(turn), eyes=eyes)
        picture = studio.capture_part(moved, mouth, _box_transform(studio, moved, size, place), RENDER_PX).picture
        small = cv2.resize(picture, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
        np.clip(np.rint(small), 0, 255, out=face, casting="unsafe")
    return faces


def _box_transform(studio: Studio, scene: Scene, size: F64, place: F64) -> F64:
    """View -> px of the box, (2, 3). Upright whatever the head does, as a detector's box is."""
    to_crop = studio.align(scene.person, scene.pose, scene.centre)
    crop_px_a_decimetre = np.sqrt(np.linalg.det(to_crop[:, :2]))
    middle = np.linalg.solve(to_crop[:, :2], np.array(BOX_MIDDLE) - to_crop[:, 2])
    scale = RENDER_PX * crop_px_a_decimetre / (np.array([BOX_WIDTH, BOX_HEIGHT]) * size)
    return np.column_stack([np.diag(scale), (RENDER_PX - 1) / 2 + RENDER_PX * place - scale * middle])
