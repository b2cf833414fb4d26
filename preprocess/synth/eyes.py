"""Eyes that blink and look around, and glasses before them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.head_data import F32

F64 = npt.NDArray[np.float64]

GLASSES_SHARE = 0.15
_BLINK_S = 0.12  # from open to shut, and again to open
_GAZE_DM = 0.03  # standard deviation of where the iris stands, decimetres from the middle of the eye


@dataclass(frozen=True)
class Eyes:
    """How far the lids are shut, 0 to 1, and where the irises stand: right and up, decimetres on the rest mesh."""

    shut: float = 0.0
    right: float = 0.0
    up: float = 0.0


def sample_eyes(rng: np.random.Generator) -> Eyes:
    """Draw the eyes of one picture: looking near the camera, now and then away or in a blink."""
    reach = _GAZE_DM * (1.0 if rng.random() < 0.5 else 0.3)
    return Eyes(float(rng.uniform(0.2, 1.0) * (rng.random() < 0.12)), *(reach * rng.normal(size=2)).tolist())


def eye_motion(count: int, fps: int, rng: np.random.Generator) -> list[Eyes]:
    """Eyes of ``count`` frames: a blink every 2 to 6 s, and a look elsewhere every 0.5 to 3 s."""
    time = np.arange(count) / fps
    shut, gaze = np.zeros(count), np.zeros((count, 2))
    blink = rng.uniform(0, 4)
    while blink < count / fps:
        shut = np.maximum(shut, np.clip(1 - np.abs(time - blink) / _BLINK_S, 0, 1))
        blink += rng.uniform(2, 6)
    look = 0.0
    while look < count / fps:
        gaze[time >= look] = rng.normal(size=2) * _GAZE_DM * 0.6
        look += rng.uniform(0.5, 3)
    return [Eyes(float(lid), float(x), float(y)) for lid, (x, y) in zip(shut, gaze, strict=True)]


@dataclass(frozen=True)
class Glasses:
    """Lengths are shares of the distance between the outer eye corners; colours RGB in [0, 255].

    Attributes:
        width, height: of one glass, half of each.
        roundness: exponent of the rim's outline: 2 is an ellipse, more is a box.
        rim: width of its line.
        colour: float64 (3,), of the rim. tint: float64 (3,), of the glass. opacity: of the glass.
    """

    width: float
    height: float
    roundness: float
    rim: float
    colour: F64
    tint: F64
    opacity: float

    def draw(self, picture: F32, corners: F64) -> None:
        """Put the glasses on, in place.

        Args:
            picture: float32 (S, S, 3).
            corners: float64 (4, 2) in px: outer and inner corner of the eye on the left, inner and outer of the other.
        """
        across = corners[3] - corners[0]
        scale = float(np.linalg.norm(across))
        turn = np.array([across, [-across[1], across[0]]]) / scale
        angle = np.linspace(0, 2 * np.pi, 33)
        flat = 2 / self.roundness
        ring = np.stack([np.sign(trig) * np.abs(trig) ** flat for trig in (np.cos(angle), np.sin(angle))], 1)
        line = max(1, round(self.rim * scale))
        middles = []
        for eye in (corners[:2], corners[2:]):
            # A glass is as far turned away as the eye behind it; it hangs a little low.
            width = 0.7 * self.width * scale + 0.3 * float(np.linalg.norm(eye[1] - eye[0]))
            middle = eye.mean(0) + 0.25 * self.height * scale * turn[1]
            rim = np.rint((middle + ring * [width, self.height * scale] @ turn) * 16).astype(np.int32)
            glass = np.zeros(picture.shape[:2], np.uint8)
            cv2.fillPoly(glass, [rim], 1, shift=4)
            inside = glass > 0
            picture[inside] = picture[inside] * (1 - self.opacity) + self.tint * self.opacity
            cv2.polylines(picture, [rim], True, self.colour.tolist(), line, cv2.LINE_AA, 4)
            middles.append((middle, width))
        (left, left_width), (right, right_width) = middles
        for start, end in (
            (left + left_width * turn[0], right - right_width * turn[0]),
            (left - left_width * turn[0], left - (left_width + 0.2 * scale) * turn[0]),
            (right + right_width * turn[0], right + (right_width + 0.2 * scale) * turn[0]),
        ):
            points = np.rint(np.stack([start, end]) * 16).astype(np.int32)
            cv2.polylines(picture, [points], False, self.colour.tolist(), line, cv2.LINE_AA, 4)


def sample_glasses(rng: np.random.Generator) -> Glasses | None:
    """Draw glasses for few people, dark ones for fewer."""
    if rng.random() >= GLASSES_SHARE:
        return None
    dark = rng.random() < 0.2
    return Glasses(
        width=float(rng.uniform(0.24, 0.31)),
        height=float(rng.uniform(0.13, 0.23)),
        roundness=float(rng.uniform(2, 5)),
        rim=float(rng.uniform(0.01, 0.05)),
        colour=rng.uniform(5, 90, 3) if rng.random() < 0.8 else rng.uniform(5, 230, 3),
        tint=rng.uniform(5, 60, 3) if dark else rng.uniform(150, 255, 3),
        opacity=float(rng.uniform(0.6, 1.0) if dark else rng.uniform(0.0, 0.25)),
    )
