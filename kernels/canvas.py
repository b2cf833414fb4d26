"""What warp and paste paint into, checked: a BGR image or the planes of a YUV 4:2:0 frame, with the place of the crop.

An image is one ``PlaneGroup``; a frame is two, because luma and chroma differ in resolution and so in
transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine, require_output
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec, require_writable

BGR, LUMA, SEPARATE_CHROMA, PAIRED_CHROMA = 0, 1, 2, 3
"""What the pixels of a plane group are: the compiled loops choose their vector code by it."""

PIXEL_BYTES = (3, 1, 1, 2)

Mixing = tuple[float, ...]
"""Three rows of four numbers: from red, green, blue in 0..1 and 1 to the levels of a canvas' channels."""

TO_BGR: Mixing = (0.0, 0.0, 255.0, 0.0, 0.0, 255.0, 0.0, 0.0, 255.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PlaneGroup:
    """Planes of the same size that are painted together.

    Attributes:
        kind: BGR, LUMA, SEPARATE_CHROMA or PAIRED_CHROMA.
        planes: uint8 (H, W) or (H, W, channels); two (U and V) for SEPARATE_CHROMA, else one.
        forward: float64 (2, 3), px of these planes to crop px.
        inverse: float64 (2, 3), crop px to px of these planes.
        halvings: how often the resolution is half that of the image.
    """

    kind: int
    planes: tuple[NDArray[np.uint8], ...]
    forward: NDArray[np.float64]
    inverse: NDArray[np.float64]
    halvings: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        height, width = self.planes[0].shape[:2]
        return height, width

    @property
    def addresses(self) -> tuple[int, int]:
        """Where the planes begin; twice the same if there is one."""
        first = self.planes[0].ctypes.data
        return first, self.planes[1].ctypes.data if len(self.planes) > 1 else first

    @property
    def strides(self) -> tuple[int, int]:
        """Bytes from row to row of both planes."""
        return self.planes[0].strides[0], self.planes[-1].strides[0]


@dataclass(frozen=True)
class Canvas:
    """An image or frame and where a crop lies in it.

    Attributes:
        groups: the planes; the first one has the resolution of the transform.
        mixing: gives the levels of the stored channels in their order: B, G, R or Y, U, V.
    """

    groups: tuple[PlaneGroup, ...]
    mixing: Mixing

    @classmethod
    def of_image(cls, image: Any, transform: Any) -> Canvas:
        """Check a BGR image and a transform.

        Args:
            image: uint8 (H, W, 3), C-contiguous, writable.
            transform: float (2, 3), image px to crop px.

        Raises:
            InputError: the image does not fit or is read-only, or the transform cannot be inverted.
        """
        require_output("image", image, np.uint8, ("H", "W", 3))
        return cls((PlaneGroup(BGR, (image,), *invert_affine(transform)),), TO_BGR)

    @classmethod
    def of_frame(cls, frame: I420Frame | Nv12Frame, transform: Any) -> Canvas:
        """Check a frame and a transform.

        Args:
            frame: planes, writable.
            transform: float (2, 3), luma px to crop px.

        Raises:
            InputError: a plane is read-only, or the transform cannot be inverted.
        """
        require_writable(frame)
        forward, inverse = invert_affine(transform)
        kind, planes = (
            (PAIRED_CHROMA, (frame.uv,)) if isinstance(frame, Nv12Frame) else (SEPARATE_CHROMA, (frame.u, frame.v))
        )
        luma = PlaneGroup(LUMA, (frame.y,), forward, inverse)
        chroma = PlaneGroup(kind, planes, *frame.spec.chroma_transforms(forward), halvings=1)
        return cls((luma, chroma), to_yuv(frame.spec))


@lru_cache
def to_yuv(spec: YuvSpec) -> Mixing:
    """Return the mixing that gives levels of Y, U and V."""
    return tuple(np.column_stack(spec.from_rgb()).ravel().tolist())
