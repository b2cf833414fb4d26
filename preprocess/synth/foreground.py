"""What stands between the camera and the face and stays where it is: hair, a microphone, a hand.

All of it lies on the canvas of ``scene.Studio.capture``, 256 px square, two px to a crop px.
The mouth is near (129, 162).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.camera import F64
from lipforge.preprocess.synth.head_data import F32

CANVAS_PX = 256
_MOUTH = np.array([129.0, 162.0])
_CURTAIN_SHARE, _STRAND_SHARE, _MICROPHONE_SHARE, _HAND_SHARE = 0.33, 0.12, 0.06, 0.06


@dataclass(frozen=True)
class Foreground:
    """``paint``: float32 (256, 256, 4) on the canvas, RGB in [0, 255] times opacity, and the opacity in [0, 1]."""

    paint: F32

    def seen_by(self, to_picture: F64, size_px: int) -> F32:
        """The same in another picture, float32 (size, size, 4); ``to_picture`` (2, 3) is canvas px -> its px."""
        if size_px == CANVAS_PX and np.allclose(to_picture, np.eye(2, 3), atol=1e-6):
            return self.paint
        return np.asarray(cv2.warpAffine(self.paint, to_picture, (size_px, size_px), borderMode=cv2.BORDER_REPLICATE))


def put_before(picture: F32, paint: F32) -> npt.NDArray[np.uint8]:
    """Paint a foreground over a picture float32 (S, S, 3), in place; return where it hides it, uint8 (S, S)."""
    picture *= 1 - paint[..., 3:]
    picture += paint[..., :3]
    return (paint[..., 3] > 0.5).astype(np.uint8)


def sample_foreground(skin: F64, rng: np.random.Generator) -> Foreground | None:
    """Draw what stands before a face: mostly nothing, often hair at its sides, seldom something before the mouth.

    Args:
        skin: float64 (3,), colour of the person's skin as lit, RGB in [0, 255].
        rng: where chance comes from.
    """
    kinds = (
        (_hair_curtain, _CURTAIN_SHARE),
        (_strands, _STRAND_SHARE),
        (_microphone, _MICROPHONE_SHARE),
        (partial(_hand, skin), _HAND_SHARE),
    )
    layers = [layer(rng) for layer, share in kinds if rng.random() < share]
    if not layers:
        return None
    paint = np.zeros((CANVAS_PX, CANVAS_PX, 4), np.float32)
    for opacity, colour in layers:
        paint *= 1 - opacity
        paint[..., :3] += colour * opacity
        paint[..., 3:] += opacity
    return Foreground(paint)


def _hair_colour(rng: np.random.Generator) -> F64:
    return np.asarray(rng.uniform(10, 140) * np.array([1.0, 0.8, 0.6]))


def _soft(opacity: F32, blur_px: float) -> F32:
    return np.asarray(cv2.GaussianBlur(opacity, (0, 0), blur_px)[..., None], np.float32)


def _hair_curtain(rng: np.random.Generator) -> tuple[F32, F32]:
    """Long hair at both sides of the picture: opacity (256, 256, 1) and colour (256, 256, 3)."""
    size = CANVAS_PX
    opacity = np.zeros((size, size), np.float32)
    for side in (0, 1):
        x = rng.uniform(0, 0.27) * size
        edge = -5 if side == 0 else size + 5
        outline: list[tuple[float, int]] = [(edge, -5)]
        for y in range(0, size + 1, 16):
            x += rng.normal() * 4
            outline.append((x if side == 0 else size - x, y))
        outline.append((edge, size + 5))
        cv2.fillPoly(opacity, [np.array(outline, np.int32)], 1.0)
    strands = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), sigmaX=1, sigmaY=18)
    shade = 1 + 0.25 * (strands / strands.std())[..., None]
    return _soft(opacity, 2.5), np.asarray(_hair_colour(rng) * shade, np.float32)


def _strands(rng: np.random.Generator) -> tuple[F32, F32]:
    """A lock that hangs over one cheek, sometimes as far as the mouth."""
    opacity = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    side = rng.choice([-1, 1])
    root, tip = _MOUTH[0] + side * rng.uniform(25, 60), _MOUTH[0] + side * rng.uniform(0, 45)
    bow, y = rng.normal() * 15, np.linspace(20, rng.uniform(130, 250), 20)
    share = np.linspace(0, 1, 20)
    middle = root + (tip - root) * share**2 + bow * np.sin(np.pi * share)
    for _ in range(rng.integers(2, 14)):
        x = middle + rng.normal() * 5 * (1 - 0.5 * share) + rng.normal() * 4 * share
        line = np.rint(np.stack([x, y], 1) * 16).astype(np.int32)
        cv2.polylines(opacity, [line], False, float(rng.uniform(0.6, 1)), int(rng.integers(1, 3)), cv2.LINE_AA, 4)
    colour = np.broadcast_to(_hair_colour(rng), (CANVAS_PX, CANVAS_PX, 3))
    return _soft(opacity, 0.6), np.asarray(colour, np.float32)


def _microphone(rng: np.random.Generator) -> tuple[F32, F32]:
    """The head of a microphone below or beside the mouth, on a handle that comes from below."""
    radius = rng.uniform(14, 28)
    head = _MOUTH + np.array([rng.uniform(-30, 30), rng.uniform(4, 30) + radius])
    foot = np.array([head[0] + rng.uniform(-60, 60), CANVAS_PX + 40])
    opacity = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    ends = [tuple(np.rint(point).astype(int).tolist()) for point in (head, foot)]
    cv2.line(opacity, ends[0], ends[1], 1.0, int(radius * rng.uniform(0.8, 1.3)), cv2.LINE_AA)
    cv2.circle(opacity, ends[0], int(radius), 1.0, -1, cv2.LINE_AA)
    rows, columns = np.mgrid[:CANVAS_PX, :CANVAS_PX].astype(np.float32)
    ball = np.clip(
        1.2 - np.hypot(columns - head[0] + radius / 3, rows - head[1] + radius / 3) / (1.6 * radius), 0.25, 1
    )
    mesh = 1 + rng.uniform(0, 0.3) * np.sin(columns * 1.7) * np.sin(rows * 1.7)
    colour = (ball * mesh)[..., None] * (np.full(3, rng.uniform(30, 190)) + rng.normal(size=3) * 12)
    return _soft(opacity, 0.8), np.asarray(colour, np.float32)


def _hand(skin: F64, rng: np.random.Generator) -> tuple[F32, F32]:
    """Fingers that come in from one side or below and end on a cheek, the chin or the lips."""
    skin = skin * rng.uniform(0.8, 1.1)
    side = rng.choice([-1, 1])
    palm = _MOUTH + np.array([side * rng.uniform(40, 85), rng.uniform(30, 75)])
    reach = rng.uniform(0.5, 1.0)
    wide = rng.uniform(11, 17)
    opacity = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    colour = np.empty((CANVAS_PX, CANVAS_PX, 3), np.float32)
    colour[:] = skin * 0.8
    last = palm + np.array([side * 80, 110])
    cv2.line(opacity, _whole(palm), _whole(last), 1.0, int(3.6 * wide), cv2.LINE_AA)
    for finger in range(rng.integers(1, 5)):
        start = palm + np.array([-side * 0.3 * finger * wide, (finger - 1.5) * 0.85 * wide])
        tip = start + reach * (_MOUTH + np.array([0, (finger - 1.5) * 1.1 * wide]) - start)
        for width, shade in ((wide, 0.72), (0.7 * wide, 0.9), (0.35 * wide, 1.05)):
            cv2.line(colour, _whole(start), _whole(tip), (skin * shade).tolist(), int(width), cv2.LINE_AA)
        cv2.line(opacity, _whole(start), _whole(tip), 1.0, int(wide), cv2.LINE_AA)
    noise = cv2.GaussianBlur(rng.standard_normal((CANVAS_PX, CANVAS_PX)).astype(np.float32), (0, 0), 2)
    return _soft(opacity, 0.8), np.asarray(
        cv2.GaussianBlur(colour, (0, 0), 1.5) * (1 + 0.3 * noise[..., None]), np.float32
    )


def _whole(point: F64) -> tuple[int, int]:
    x, y = np.rint(point).astype(int).tolist()
    return x, y
