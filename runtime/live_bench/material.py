"""What the bench lets speak: the sample face and voice that the package brings, at 720p."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar
from lipforge.runtime.media.audio_reader import AudioReader

WIDTH, HEIGHT = 1280, 720
FPS = 25
PERIOD = Fraction(1, FPS)


@dataclass(frozen=True)
class Material:
    """A model, and what it is fed.

    Attributes:
        bundle: sharing its networks.
        face: an image or video; None for the sample.
        seconds: of speech in a measurement.
    """

    bundle: Bundle
    face: Path | None = None
    seconds: float = 6.0

    @cached_property
    def voice(self) -> tuple[NDArray[np.float32], int]:
        """Speech, float32 (n, 1), repeated up to ``seconds``; and its rate in Hz."""
        with as_file(files("lipforge.runtime") / "assets" / "sample_voice.wav") as path, AudioReader(path) as reader:
            speech = np.concatenate(list(reader.blocks()))[:, :1]
            rate = reader.info.sample_rate_hz
        wanted = round(self.seconds * rate)
        return np.tile(speech, (wanted // len(speech) + 1, 1))[:wanted], rate

    @cached_property
    def avatar(self) -> Avatar:
        """The face as an avatar."""
        if self.face is not None:
            return Avatar.prepare(self.face, self.bundle)
        with as_file(files("lipforge.runtime") / "assets" / "sample_face.jpg") as path:
            return Avatar.prepare(path, self.bundle)

    @cached_property
    def scene(self) -> NDArray[np.uint8]:
        """A frame of a 720p camera, uint8 (720, 1280, 3) BGR, with the face in the middle."""
        image = _bgr_of(self.avatar)
        scale = min(HEIGHT / image.shape[0], WIDTH / image.shape[1])
        face = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scene = cv2.resize(cv2.GaussianBlur(image, (0, 0), 15), (WIDTH, HEIGHT))
        left, top = (WIDTH - face.shape[1]) // 2, (HEIGHT - face.shape[0]) // 2
        scene[top : top + face.shape[0], left : left + face.shape[1]] = face
        return np.asarray(scene, np.uint8)

    def camera(self, frames: int) -> Iterator[NDArray[np.uint8]]:
        """Yield frames of a camera that is held by hand: the scene, moved by a few pixels."""
        for index in range(frames):
            right, down = round(6 * np.sin(index / 7)), round(4 * np.cos(index / 11))
            yield np.ascontiguousarray(np.roll(self.scene, (down, right), (0, 1)))


def _bgr_of(avatar: Avatar) -> NDArray[np.uint8]:
    from lipforge.runtime.picture import Picture

    picture = Picture.of(avatar.play().next().frame.planes)
    return picture.resized(picture.whole, picture.width, picture.height)
