"""The generator of kind ``warp``: mel -> lip geometry -> motion of the frame's own pixels."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.crop import CropScratch
from lipforge.kernels.errors import ConfigError
from lipforge.kernels.polygon import draw_lips
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch
from lipforge.runtime.faces import NeutralLips
from lipforge.runtime.faces.similarity import enlarge_transform
from lipforge.runtime.generator import RenderTimes

if TYPE_CHECKING:
    from lipforge.runtime.bundle import Bundle
    from lipforge.runtime.faces import Face
    from lipforge.runtime.picture import Picture


class WarpGenerator:
    """Moves the lips of a frame by warping its own pixels at its own resolution; see docs/formats.md section 3.

    All buffers are allocated once; only the compositor's working memory grows when a larger face comes.

    Raises:
        ConfigError: graphs and specs of the bundle do not fit each other.
        BackendError: a graph cannot be loaded.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        manifest = bundle.manifest
        self._crop, self._lips, self._warp = manifest.crop, manifest.lips, manifest.warp
        size, points = self._crop.size_px, self._lips.points
        fields = size * self._warp.factor
        # The compositor's grid is that of the fields: so are its ramp and, in ``_composite``, the transform.
        self._fields_spec = WarpSpec(self._warp.border_field_px)
        mel_shape = (1, manifest.mel.n_mels, manifest.window.columns)
        self._mel = np.zeros(mel_shape, np.float32)
        self._displacement = np.zeros((1, points, 3), np.float32)
        self._reference = np.zeros((1, size, size, 3), np.uint8)
        self._reference_lips = np.zeros((1, 2, size, size), np.uint8)
        self._target_lips = np.zeros((1, 2, size, size), np.uint8)
        self._flow = np.zeros((1, 2, fields, fields), np.float32)
        self._mask = np.zeros((1, 1, fields, fields), np.float32)
        self._colour = np.zeros((1, 3, fields, fields), np.float32)
        self._audio_net = bundle.engine("audio2lips", threads).bind({"mel": self._mel, "lips": self._displacement})
        self._warp_net = bundle.engine("warp", threads).bind(
            {
                "reference": self._reference,
                "reference_lips": self._reference_lips,
                "target_lips": self._target_lips,
                "flow": self._flow,
                "mask": self._mask,
                "colour": self._colour,
            }
        )
        self._scratch, self._crop_scratch = WarpScratch(), CropScratch()
        self.reset()

    @property
    def times(self) -> RenderTimes:
        """Times of the last frame."""
        return self._times

    def reset(self) -> None:
        """Forget the person: the next face starts a new neutral mouth."""
        self._neutral = NeutralLips(self._lips)
        self._face: Face | None = None
        self._times, self._prepare_ms = RenderTimes(), 0.0

    def observe(self, face: Face) -> None:
        """Let a tracked face tell about the person's relaxed, closed mouth."""
        self._neutral.update(face)

    def prepare(self, picture: Picture, face: Face) -> None:
        """Crop the face as the reference and draw the lips that it has now.

        Args:
            picture: the frame.
            face: the face found in it.
        """
        start = perf_counter()
        size = self._crop.size_px
        picture.crop(self._crop_scratch, face.transform, size, self._reference[0], rgb=True)
        draw_lips(face.lips, self._lips, size, out=self._reference_lips[0])
        self._face = face
        self._prepare_ms = 1000 * (perf_counter() - start)

    def render(self, window: NDArray[np.float32], out: Picture, strength: float = 1.0) -> None:
        """Move the lips of the prepared frame to what the audio says.

        Args:
            window: float32 (n_mels, columns), the mel columns around the frame's time.
            out: holds the prepared frame; changed in place inside the crop.
            strength: how far, in [0, 1]: flow and mask are multiplied by it, so lips move instead of fading.

        Raises:
            ConfigError: no frame was prepared.
        """
        if self._face is None:
            raise ConfigError("render was called before prepare; prepare the frame first.")
        start = perf_counter()
        self._mel[0] = window
        self._audio_net()
        audio_done = perf_counter()
        target = self._neutral.place(self._displacement[0], self._face)
        draw_lips(target, self._lips, self._crop.size_px, out=self._target_lips[0])
        drawn = perf_counter()
        self._warp_net()
        warp_done = perf_counter()
        self._composite(out, self._face, strength)
        self._times = RenderTimes(
            prepare_ms=self._prepare_ms + 1000 * (drawn - audio_done),
            net_ms=1000 * (audio_done - start + warp_done - drawn),
            composite_ms=1000 * (perf_counter() - warp_done),
        )
        self._prepare_ms = 0.0

    def _composite(self, out: Picture, face: Face, strength: float) -> None:
        fields = self._flow[0], self._mask[0, 0], self._colour[0]
        transform = enlarge_transform(face.transform, self._warp.factor)
        out.composite(self._scratch, transform, fields, self._fields_spec, strength)
