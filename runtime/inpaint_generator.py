"""The generator of kind ``inpaint``: a network of the Wav2Lip family draws the lower half of the face anew."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.crop import CropScratch
from lipforge.kernels.errors import ConfigError
from lipforge.kernels.paste import PasteScratch
from lipforge.runtime.faces.face_box import FaceBoxes
from lipforge.runtime.generator import RenderTimes

if TYPE_CHECKING:
    from lipforge.runtime.bundle import Bundle
    from lipforge.runtime.faces import Face
    from lipforge.runtime.picture import Picture

BOX_FADE, CROP_FADE = (0.46, 0.6), (0.42, 0.5)
"""From where to where, in shares of the side, the picture turns from the frame's into the drawn one.

The network draws from half the height on. In a face box the lips begin at two thirds, so most of the nose can stay the
frame's own and sharp; in a crop by ``CropSpec`` they lie at the half line, and all below it has to be the drawn one.
"""

SOLID_RADIUS, CORNER_POWER = 0.8, 4.0
"""Towards sides and chin the drawn part ends in a rounded rectangle (a superellipse of that power, radius 1 at the
box's edges) and is whole within the smaller radius: background in the box's corners stays the frame's own."""


class InpaintGenerator:
    """Cuts out the face, lets the network draw its mouth and blends the lower half back; docs/formats.md section 3.

    The frame's own face is mask and reference alike, as in the published inference. All buffers are allocated once.

    Raises:
        ConfigError: graph and specs of the bundle do not fit each other.
        BackendError: the graph cannot be loaded.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        manifest = bundle.manifest
        box = manifest.face_box
        self._boxes = None if box is None else FaceBoxes(box, manifest.crop)
        size = manifest.crop.size_px if box is None else box.size_px
        self._size = size
        self._mel = np.zeros((1, manifest.mel.n_mels, manifest.window.columns), np.float32)
        self._cropped = np.zeros((1, size, size, 3), np.uint8)
        self._drawn = np.zeros((1, size, size, 3), np.uint8)
        self._net = bundle.engine("wav2lip", threads).bind(
            {"mel": self._mel, "face": self._cropped, "reference": self._cropped, "image": self._drawn}
        )
        self._mask = mouth_mask(size, CROP_FADE if box is None else BOX_FADE)
        self._faded_mask = np.empty_like(self._mask)
        self._scratch, self._crop_scratch = PasteScratch(), CropScratch()
        self.reset()

    @property
    def times(self) -> RenderTimes:
        """Times of the last frame."""
        return self._times

    def reset(self) -> None:
        """Forget the person: the next face's box is taken as it is."""
        if self._boxes is not None:
            self._boxes.reset()
        self._transform: NDArray[np.float64] | None = None
        self._times, self._prepare_ms = RenderTimes(), 0.0

    def observe(self, face: Face) -> None:
        """Learn nothing: this kind of generator needs to know no more of a person than the frame shows."""

    def prepare(self, picture: Picture, face: Face) -> None:
        """Cut out the face.

        Args:
            picture: the frame.
            face: the face found in it.
        """
        start = perf_counter()
        self._transform = self._cut_out(picture, face)
        self._prepare_ms = 1000 * (perf_counter() - start)

    def render(self, window: NDArray[np.float32], out: Picture, strength: float = 1.0) -> None:
        """Draw the mouth that the audio says into the prepared frame.

        Args:
            window: float32 (n_mels, columns), the frame's mel columns.
            out: holds the prepared frame; changed in place inside the face box.
            strength: how much of the drawn mouth is seen, in [0, 1].

        Raises:
            ConfigError: no frame was prepared.
        """
        if self._transform is None:
            raise ConfigError("render was called before prepare; prepare the frame first.")
        start = perf_counter()
        self._mel[0] = window
        self._net()
        drawn = perf_counter()
        mask = self._mask
        if strength < 1.0:
            mask = np.multiply(self._mask, np.float32(strength), out=self._faded_mask)
        out.paste(self._scratch, self._transform, self._drawn[0], mask)
        self._times = RenderTimes(
            prepare_ms=self._prepare_ms,
            net_ms=1000 * (drawn - start),
            composite_ms=1000 * (perf_counter() - drawn),
        )
        self._prepare_ms = 0.0

    def _cut_out(self, picture: Picture, face: Face) -> NDArray[np.float64]:
        """Fill the network's picture and return where it came from: the transform image px -> its px."""
        transform = face.transform if self._boxes is None else self._boxes.step(face, picture.width, picture.height)
        picture.crop(self._crop_scratch, transform, self._size, self._cropped[0])
        return transform


def mouth_mask(size_px: int, fade: tuple[float, float] = BOX_FADE) -> NDArray[np.float32]:
    """Return how much of the drawn face replaces the frame's: float32 (S, S) in [0, 1], 0 at the square's edges.

    Args:
        size_px: S.
        fade: rows between which it rises from 0 to 1, in shares of the side.
    """
    at = (np.arange(size_px) + 0.5) / size_px
    across, down = np.abs(2.0 * at - 1.0)[None, :], np.maximum(0.0, 2.0 * at - 1.0)[:, None]
    radius = (across**CORNER_POWER + down**CORNER_POWER) ** (1.0 / CORNER_POWER)
    edge = 1.0 - 1.0 / size_px  # where the centres of the outermost pixels lie
    inside = _smooth((edge - radius) / (edge - SOLID_RADIUS))
    below = _smooth((at - fade[0]) / (fade[1] - fade[0]))[:, None]
    mask = np.asarray(inside * below, np.float32)
    mask[-1], mask[:, [0, -1]] = 0.0, 0.0  # exactly, whatever rounding says
    return mask


def _smooth(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rise from 0 at 0 to 1 at 1 without corners."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
