"""The one protocol of every kind of generator, and the choice between them by a bundle's manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError

if TYPE_CHECKING:
    from lipforge.runtime.bundle import Bundle
    from lipforge.runtime.faces import Face
    from lipforge.runtime.picture import Picture


@dataclass(frozen=True)
class RenderTimes:
    """Where the last frame's time went.

    Attributes:
        prepare_ms: cropping the face and drawing its lips.
        net_ms: the networks.
        composite_ms: bringing their result into the picture.
    """

    prepare_ms: float = 0.0
    net_ms: float = 0.0
    composite_ms: float = 0.0


class Generator(Protocol):
    """Gives a face new lips. One per stream: it holds what it learned of the person and its buffers."""

    @property
    def times(self) -> RenderTimes:
        """Times of the last frame."""

    def observe(self, face: Face) -> None:
        """Learn from a tracked face; called once for every face, in order, before its frame or well ahead of it."""

    def prepare(self, picture: Picture, face: Face) -> None:
        """Take the frame that the next ``render`` changes, and those after it that show the same.

        Args:
            picture: the frame; it is read, not kept.
            face: the face found in it.
        """

    def render(self, window: NDArray[np.float32], out: Picture, strength: float = 1.0) -> None:
        """Move the lips of the prepared frame.

        Args:
            window: float32 (n_mels, columns): the mel columns around the frame's time.
            out: holds the prepared frame; changed in place, only near the face.
            strength: how far, from 0 (the frame's own mouth) to 1 (what the audio says).
        """

    def reset(self) -> None:
        """Forget the person."""


def load_generator(bundle: Bundle, threads: int = 1) -> Generator:
    """Return the generator that the bundle's manifest names; nothing else chooses it.

    Raises:
        ConfigError: the kind is not known, or graphs and manifest do not fit each other.
        BackendError: a graph cannot be loaded.
    """
    kind = bundle.manifest.generator
    if kind == "warp":
        from lipforge.runtime.warp_generator import WarpGenerator

        return WarpGenerator(bundle, threads=threads)
    if kind == "inpaint":
        from lipforge.runtime.inpaint_generator import InpaintGenerator

        return InpaintGenerator(bundle, threads=threads)
    raise ConfigError(
        f"{bundle.folder}: generator {kind!r} draws nothing; use a bundle whose generator is warp or inpaint."
    )
