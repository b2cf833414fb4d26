"""One head before one camera: everything needed to take its picture with any mouth, and to know the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.preprocess.synth.appearance import Appearance, sample_appearance
from lipforge.preprocess.synth.camera import (
    F64,
    Pose,
    jitter_alignment,
    project,
    sample_pose,
    to_pixels,
)
from lipforge.preprocess.synth.expression import UNITS, Expression
from lipforge.preprocess.synth.eyes import Eyes, sample_eyes
from lipforge.preprocess.synth.foreground import put_before
from lipforge.preprocess.synth.head_data import F32, LOWER_TEETH, TONGUE, UPPER_TEETH, HeadData
from lipforge.preprocess.synth.identity import Identity, sample_identity
from lipforge.preprocess.synth.landmarks import Landmarks, load_landmarks, seal_lips
from lipforge.preprocess.synth.raster import Visible, Window, rasterise, vertex_normals
from lipforge.preprocess.synth.shading import Shader, apply_lens, draw_outlines
from lipforge.runtime.faces.similarity import fit_similarity_2d

ScalarT = TypeVar("ScalarT", bound=np.generic)

#: The canvas shows more than the crop, so that the face tracker sees the whole face. Crop pixels: how far the canvas
#: reaches beyond the crop's left and top edge, and its side.
CANVAS_LEFT, CANVAS_TOP, CANVAS_SPAN = 16, 30, 128
OVERSAMPLING = 2
#: Share of heads that move between the pictures of a pair, and by how much: what a frame or two brings.
MOVING_SHARE, MOVING_SD_DEG, FLICKER_SD = 0.2, 0.5, 0.02
_OPENING_MARGIN = np.ones((3, 5), np.uint8)


@dataclass(frozen=True)
class Capture:
    """A picture and its truth; pixels are those of the canvas, ``OVERSAMPLING`` per crop pixel.

    Attributes:
        picture: float64 (256, 256, 3) RGB in about [0, 255].
        points: float32 (V, 3), vertices in canvas pixels, z larger is nearer.
        seen: which triangle every pixel sees.
        lips: float64 (N, 2), true lip points in crop px.
        covered: uint8 (256, 256), 1 where something stands before the scene; None if nothing does.
    """

    picture: F64
    points: F32
    seen: Visible
    lips: F64
    covered: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Scene:
    """A person, their looks, the pose, the crop's alignment (view -> crop px) and the eyes."""

    person: Identity
    look: Appearance
    pose: Pose
    centre: F32
    transform: F64
    eyes: Eyes = Eyes()  # noqa: RUF009 (frozen)


class Studio:
    """Takes pictures of heads of one data set."""

    def __init__(self, head: HeadData, crop: CropSpec, lips: LipSpec) -> None:
        self.head, self.crop, self.lip_spec = head, crop, lips
        self.expression = Expression(head)
        self.shader = Shader(head)
        self.landmarks: Landmarks = load_landmarks(head)
        self._inside = np.isin(head.face_class, (UPPER_TEETH, LOWER_TEETH, TONGUE))

    def sample_scene(self, rng: np.random.Generator) -> Scene:
        """Draw a person with sealed lips, looks, pose and a slightly disturbed alignment."""
        person = sample_identity(self.head, rng)
        person = replace(person, vertices=seal_lips(person.vertices, self.head, self.landmarks, self.lip_spec))
        look = sample_appearance(person, rng)
        pose = sample_pose(rng)
        centre = person.vertices.mean(0)
        exact = self.align(person, pose, centre)
        return Scene(person, look, pose, centre, jitter_alignment(exact, self.crop.size_px, rng))

    def moments(self, scene: Scene, count: int, rng: np.random.Generator) -> list[Scene]:
        """The scene at ``count`` moments: eyes blink and look around; some heads move a little, as does their light.

        What stands before a head would have to move with it, so such heads keep still.
        """
        scenes = [replace(scene, eyes=sample_eyes(rng)) for _ in range(count)]
        if scene.look.foreground is not None or rng.random() >= MOVING_SHARE:
            return scenes
        turns, lights = rng.normal(size=(count, 3)) * MOVING_SD_DEG, 1 + rng.normal(size=count) * FLICKER_SD
        return [
            replace(
                one,
                pose=one.pose.turned(turn),
                look=replace(one.look, light=one.look.light.scaled(float(light))),
            )
            for one, turn, light in zip(scenes, turns, lights, strict=True)
        ]

    def align(self, person: Identity, pose: Pose, centre: F32) -> F64:
        """Crop transform (2, 3), view -> crop px, from the five steady points of the relaxed head."""
        view = project(person.vertices, centre, pose)
        return fit_similarity_2d(self.landmarks.key.locate(view)[:, :2], np.array(self.crop.template))

    def capture(self, scene: Scene, units: F32) -> Capture:
        """Take the picture of a scene with the given mouth units, float32 (12,), on the canvas around the crop."""
        return self.capture_part(scene, units, self._to_canvas(scene), CANVAS_SPAN)

    def _to_canvas(self, scene: Scene) -> F64:
        """View -> canvas, (2, 3), in crop px."""
        return np.asarray(scene.transform + np.array([[0, 0, CANVAS_LEFT], [0, 0, CANVAS_TOP]]))

    def capture_part(self, scene: Scene, units: F32, transform: F64, size_px: int) -> Capture:
        """Take a picture of another part: ``transform`` (2, 3), view -> px of a square of ``size_px``.

        The picture and its points have ``OVERSAMPLING`` pixels to each of these.
        """
        person = scene.person
        moved = self.expression.vertices(person.vertices, units, person.asymmetry, person.mouth, scene.eyes.shut)
        view = project(moved, scene.centre, scene.pose)
        points = to_pixels(view, transform, OVERSAMPLING)
        lips = self.landmarks.lips.locate(view)
        window = Window(self._inside, self._opening(to_pixels(lips, transform, OVERSAMPLING), size_px * OVERSAMPLING))
        seen = rasterise(points, self.head.faces, Visible.empty(size_px * OVERSAMPLING), window)
        normals = (vertex_normals(moved, self.head.faces) @ scene.pose.rotation().T).astype(np.float32)
        picture = self.shader.shade(seen, normals, scene.look, scene.eyes, float(lips[:, 2].mean()) + 0.02)
        if scene.look.drawn is not None:
            inner = to_pixels(lips, transform, OVERSAMPLING)[self.lip_spec.outer_points :, :2]
            draw_outlines(picture, seen, inner, scene.look.drawn)
        if scene.look.glasses is not None:
            eyes = to_pixels(self.landmarks.key.locate(view), transform, OVERSAMPLING)[:4, :2]
            scene.look.glasses.draw(picture, eyes.astype(np.float64))
        covered = None
        if scene.look.foreground is not None:
            to_picture = _between(self._to_canvas(scene), transform)
            covered = put_before(picture, scene.look.foreground.seen_by(to_picture, size_px * OVERSAMPLING))
        in_crop = lips[:, :2] @ scene.transform[:, :2].T + scene.transform[:, 2]
        return Capture(apply_lens(picture, scene.look), points, seen, in_crop, covered)

    def _opening(self, lips: F32, size_px: int) -> npt.NDArray[np.uint8]:
        """Where teeth and tongue can be seen, uint8 (size, size): between the lips, whose skin is thin in the data."""
        opening = np.zeros((size_px, size_px), np.uint8)
        inner = np.rint(lips[self.lip_spec.outer_points :, :2]).astype(np.int32)
        cv2.fillPoly(opening, [inner], 1)
        # The points lie on the lips' edge, a little before what is behind them.
        return np.asarray(cv2.dilate(opening, _OPENING_MARGIN), np.uint8)


def _between(first: F64, second: F64) -> F64:
    """Oversampled pixels of a picture by one transform -> those by another, (2, 3)."""
    linear = second[:, :2] @ np.linalg.inv(first[:, :2])
    edge = (OVERSAMPLING - 1) / 2
    # An oversampled px u is px (u - edge) / OVERSAMPLING; the view's origin is the same in both.
    offset = OVERSAMPLING * (second[:, 2] - linear @ first[:, 2]) + edge - linear @ np.full(2, edge)
    return np.column_stack([linear, offset])


def crop_of(picture: npt.NDArray[ScalarT], crop: CropSpec) -> npt.NDArray[ScalarT]:
    """The crop's part of a canvas-sized array (views only), still oversampled."""
    top, left, span = CANVAS_TOP * OVERSAMPLING, CANVAS_LEFT * OVERSAMPLING, crop.size_px * OVERSAMPLING
    return picture[top : top + span, left : left + span]


def crop_picture(capture: Capture, crop: CropSpec) -> npt.NDArray[np.uint8]:
    """The face crop, uint8 (S, S, 3) RGB, averaged down from the oversampled canvas."""
    small = cv2.resize(
        np.ascontiguousarray(crop_of(capture.picture, crop)), (crop.size_px, crop.size_px), interpolation=cv2.INTER_AREA
    )
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def canvas_picture(capture: Capture) -> npt.NDArray[np.uint8]:
    """The whole canvas, uint8 (256, 256, 3) RGB."""
    return np.clip(np.rint(capture.picture), 0, 255).astype(np.uint8)


def relaxed_units() -> F32:
    """No motion: the closed, relaxed mouth."""
    return np.zeros(len(UNITS), np.float32)
