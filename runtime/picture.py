"""A frame in the form that its source has it, and all that the engine does with its pixels.

A BGR image from a camera and the planes of a decoded video go the same way: nothing outside this file asks which of
them it has, and no frame is converted to another form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_array
from lipforge.kernels.crop import CropScratch, crop_face, crop_face_i420, crop_face_nv12
from lipforge.kernels.errors import InputError
from lipforge.kernels.paste import PasteScratch, paste_face, paste_face_i420, paste_face_nv12
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite, composite_i420, composite_nv12
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec, require_writable

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Pixels: TypeAlias = U8 | I420Frame | Nv12Frame
"""uint8 (H, W, 3) BGR, C-contiguous; or the planes of a YUV 4:2:0 frame."""


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels inside a picture."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """Pixels with the operations that fit their form; made by ``Picture.of``.

    Attributes:
        pixels: what was given, not copied.
        width: in px.
        height: in px.
    """

    pixels: Pixels
    width: int
    height: int
    _form: _Form

    @classmethod
    def of(cls, pixels: Pixels | Picture) -> Picture:
        """Return the picture of these pixels; a picture is returned as it is.

        Raises:
            InputError: they are neither a uint8 (H, W, 3) C-contiguous array nor planes.
        """
        if isinstance(pixels, Picture):
            return pixels
        form = _FORMS.get(np.ndarray if isinstance(pixels, np.ndarray) else type(pixels))
        if form is None:
            raise InputError(
                f"image is a {type(pixels).__name__}; allowed are uint8 arrays (H, W, 3), I420Frame and Nv12Frame."
            )
        if isinstance(pixels, np.ndarray):
            require_array("image", pixels, np.uint8, ("H", "W", 3))
        luma = pixels if isinstance(pixels, np.ndarray) else pixels.y
        return cls(pixels, luma.shape[1], luma.shape[0], form)

    @property
    def whole(self) -> Box:
        """The box of all pixels."""
        return Box(0, 0, self.width, self.height)

    def require_writable(self) -> None:
        """Check that the pixels can be changed in place.

        Raises:
            InputError: they are read-only.
        """
        if not isinstance(self.pixels, np.ndarray):
            require_writable(self.pixels)
        elif not self.pixels.flags.writeable:
            raise InputError("image is read-only, but it is changed in place. Push a copy.")

    def crop(
        self, scratch: CropScratch, transform: NDArray[np.floating], size_px: int, out: U8, *, rgb: bool = False
    ) -> U8:
        """Cut the crop square out, see ``kernels.crop``.

        Args:
            scratch: the crop's working memory.
            transform: float32 or float64 (2, 3), image px to crop px.
            size_px: S, side of the crop.
            out: uint8 (S, S, 3), overwritten and returned.
            rgb: give RGB; BGR otherwise.
        """
        return self._form.crop(self.pixels, transform, size_px, out, reverse_channels=rgb, scratch=scratch)

    def composite(
        self,
        scratch: WarpScratch,
        transform: NDArray[np.floating],
        fields: tuple[F32, F32, F32],
        spec: WarpSpec,
        strength: float = 1.0,
    ) -> None:
        """Warp and blend the pixels of the crop square in place, see ``kernels.warp``.

        Args:
            scratch: the compositor's working memory.
            transform: float32 or float64 (2, 3), image px to crop px.
            fields: flow (2, S, S), mask (S, S) and colour (3, S, S) RGB.
            spec: the border ramp.
            strength: in [0, 1]; multiplies flow and mask.
        """
        self._form.composite(self.pixels, scratch, transform, *fields, spec, strength)

    def paste(self, scratch: PasteScratch, transform: NDArray[np.floating], crop: U8, mask: F32) -> None:
        """Blend a crop in, see ``kernels.paste``.

        Args:
            scratch: the paste's working memory.
            transform: float32 or float64 (2, 3), image px to crop px.
            crop: uint8 (S, S, 3) BGR.
            mask: float32 (S, S), in [0, 1].
        """
        self._form.paste(self.pixels, scratch, transform, crop, mask)

    def resized(self, box: Box, width: int, height: int) -> U8:
        """Return a part of the picture at another size, averaged where that is smaller; for small sizes.

        Of planes each is resized by itself and the small ones are converted; up to a pixel of the box's edge may
        have the chroma of its neighbour.

        Args:
            box: the part.
            width: of the result in px.
            height: of the result in px.

        Returns:
            uint8 (height, width, 3), BGR.
        """
        return self._form.resized(self.pixels, box, (width, height))


@dataclass(frozen=True)
class _Form:
    """What to call for one type of pixels."""

    crop: Callable[..., U8]
    composite: Callable[..., None]
    paste: Callable[..., None]
    resized: Callable[[Any, Box, tuple[int, int]], U8]


def _crop_bgr(
    pixels: U8,
    transform: NDArray[np.floating],
    size_px: int,
    out: U8,
    *,
    reverse_channels: bool,
    scratch: CropScratch,
) -> U8:
    del scratch  # planes need it
    return crop_face(pixels, transform, size_px, out, reverse_channels=reverse_channels)


def _resized(pixels: U8, box: Box, size: tuple[int, int]) -> U8:
    part = pixels[box.top : box.top + box.height, box.left : box.left + box.width]
    smaller = size[0] < box.width or size[1] < box.height
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8)


def _resized_i420(frame: I420Frame, box: Box, size: tuple[int, int]) -> U8:
    chroma = _chroma_of(box)
    planes = [_resized(plane, part, size) for plane, part in ((frame.y, box), (frame.u, chroma), (frame.v, chroma))]
    return _converted(cv2.merge(planes), frame.spec)


def _resized_nv12(frame: Nv12Frame, box: Box, size: tuple[int, int]) -> U8:
    planes = [_resized(frame.y, box, size), _resized(frame.uv, _chroma_of(box), size)]
    return _converted(cv2.merge(planes), frame.spec)


def _chroma_of(box: Box) -> Box:
    left, top = box.left // 2, box.top // 2
    return Box(left, top, (box.left + box.width + 1) // 2 - left, (box.top + box.height + 1) // 2 - top)


def _converted(yuv: Any, spec: YuvSpec) -> U8:
    to_bgr = np.column_stack(spec.to_rgb())[::-1]
    return np.asarray(cv2.transform(yuv, to_bgr), np.uint8)


_FORMS = {
    np.ndarray: _Form(_crop_bgr, composite, paste_face, _resized),
    I420Frame: _Form(crop_face_i420, composite_i420, paste_face_i420, _resized_i420),
    Nv12Frame: _Form(crop_face_nv12, composite_nv12, paste_face_nv12, _resized_nv12),
}
