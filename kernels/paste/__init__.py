"""The paste: a predicted face crop blended into the image through a soft mask, in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_array
from lipforge.kernels.buffers import Buffer
from lipforge.kernels.canvas import Canvas, Mixing, PlaneGroup
from lipforge.kernels.cell_planes import planes_shape
from lipforge.kernels.errors import InputError
from lipforge.kernels.paste.kernels import pack_crop, pack_mask, paste_rows
from lipforge.kernels.paste.layout import MASK
from lipforge.kernels.region import Region, active_box
from lipforge.kernels.simd.half_window import is_turned, pixels_per_half, plan_bytes
from lipforge.kernels.simd.number_formats import LARGEST_SHARE, LEVEL_BITS, REST_BYTES
from lipforge.kernels.yuv import I420Frame, Nv12Frame

__all__ = ["PasteScratch", "paste_face", "paste_face_i420", "paste_face_nv12"]

CROP_PLANES = 4


@dataclass
class PasteScratch:
    """Working memory that grows when a larger crop comes; keep one per stream, not for two threads at once."""

    planes: Buffer = field(default_factory=lambda: Buffer(np.int16))
    turned_crop: Buffer = field(default_factory=lambda: Buffer(np.uint8))
    turned_mask: Buffer = field(default_factory=lambda: Buffer(np.float32))
    row: Buffer = field(default_factory=lambda: Buffer(np.uint8))

    def row_room(self, planned: int) -> tuple[int, int]:
        """Return addresses of room for a block of pixels and for a plan of so many bytes."""
        start = self.row.room(REST_BYTES + planned).ctypes.data
        return start, start + REST_BYTES


def paste_face(
    image: NDArray[np.uint8],
    scratch: PasteScratch,
    transform: NDArray[np.floating],
    crop: NDArray[np.uint8],
    mask: NDArray[np.float32],
    *,
    reverse_channels: bool = False,
) -> None:
    """Blend a crop into the image where it was cut from.

    For every pixel whose crop position p lies in [-0.5, S - 0.5] on both axes: crop and mask are sampled bilinearly at
    p (edges clamped) and the pixel becomes ``(1 - mask) * pixel + mask * crop``, rounded to nearest. A pixel with zero
    mask keeps its bytes, and so does every pixel outside the square. A seam is avoided by a mask that fades to 0.

    Args:
        image: uint8 (H, W, 3), C-contiguous, changed in place.
        scratch: working memory; use one per stream.
        transform: float32 or float64 (2, 3), image px to crop px.
        crop: uint8 (S, S, 3), C-contiguous, channels in the image's order.
        mask: float32 (S, S), in [0, 1].
        reverse_channels: the crop's channels are in reverse order (RGB crop, BGR image).

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, the mask leaves [0, 1], or the transform cannot
            be inverted.
    """
    _paste(Canvas.of_image(image, transform), scratch, crop, mask, reverse_channels)


def paste_face_i420(
    frame: I420Frame,
    scratch: PasteScratch,
    transform: NDArray[np.floating],
    crop: NDArray[np.uint8],
    mask: NDArray[np.float32],
    *,
    reverse_channels: bool = False,
) -> None:
    """As ``paste_face``, straight in the planes of a YUV 4:2:0 frame, whose other pixels are never converted.

    Args:
        frame: planes, changed in place.
        scratch: working memory; use one per stream.
        transform: float32 or float64 (2, 3), luma px to crop px.
        crop: uint8 (S, S, 3) BGR, C-contiguous.
        mask: float32 (S, S), in [0, 1].
        reverse_channels: the crop is RGB.

    Raises:
        InputError: as ``paste_face``, or a plane is read-only.
    """
    _paste(Canvas.of_frame(frame, transform), scratch, crop, mask, reverse_channels)


def paste_face_nv12(
    frame: Nv12Frame,
    scratch: PasteScratch,
    transform: NDArray[np.floating],
    crop: NDArray[np.uint8],
    mask: NDArray[np.float32],
    *,
    reverse_channels: bool = False,
) -> None:
    """As ``paste_face_i420``, in a frame with U and V in turns.

    Args:
        frame: planes, changed in place.
        scratch: working memory; use one per stream.
        transform: float32 or float64 (2, 3), luma px to crop px.
        crop: uint8 (S, S, 3) BGR, C-contiguous.
        mask: float32 (S, S), in [0, 1].
        reverse_channels: the crop is RGB.

    Raises:
        InputError: as ``paste_face_i420``.
    """
    _paste(Canvas.of_frame(frame, transform), scratch, crop, mask, reverse_channels)


@dataclass(frozen=True)
class _Pasted:
    """Crop and mask as the kernel reads them.

    Attributes:
        planes: int16 (4, S + 10, S + 10), see ``pack_planes``.
        size_px: S.
        box: left, top, right, bottom of the planes' x and y in crop px, outside which the mask is zero.
        turned: the planes' x and y are the crop's y and x.
    """

    planes: NDArray[np.int16]
    size_px: int
    box: tuple[float, float, float, float]
    turned: bool


def _paste(
    canvas: Canvas, scratch: PasteScratch, crop: NDArray[np.uint8], mask: NDArray[np.float32], reverse_channels: bool
) -> None:
    pasted = _prepare(canvas, scratch, crop, mask, reverse_channels)
    if pasted is not None:
        for group in canvas.groups:
            _paste_planes(group, scratch, pasted)


def _prepare(
    canvas: Canvas, scratch: PasteScratch, crop: NDArray[np.uint8], mask: NDArray[np.float32], reverse_channels: bool
) -> _Pasted | None:
    require_array("mask", mask, np.float32, ("S", "S"))
    size_px = mask.shape[0]
    require_array("mask", mask, np.float32, (size_px, size_px))
    require_array("crop", crop, np.uint8, (size_px, size_px, 3))
    turned = is_turned(canvas.groups[0].forward)
    if turned:
        crop, mask = _turned(scratch, crop, mask)
    planes = scratch.planes.room(*planes_shape(CROP_PLANES, size_px))
    valid, cells = pack_mask(mask, mask.view(np.uint32), planes[MASK])
    if not valid:
        raise InputError("mask must lie in [0, 1] everywhere; clip it, and check the model that made it for NaN.")
    if cells[2] == cells[0]:
        return None
    pack_crop(crop.ctypes.data, _byte_mixing(canvas.mixing, reverse_channels), scratch.row_room(0)[0], planes)
    return _Pasted(planes, size_px, active_box(cells, size_px), turned)


@lru_cache
def _byte_mixing(mixing: Mixing, rgb: bool) -> tuple[int, ...]:
    """Return the mixing for the bytes of a BGR (or RGB) crop, as ``pack_levels`` takes it."""
    numbers: list[int] = []
    for row in range(0, len(mixing), 4):
        colours = mixing[row : row + 3] if rgb else mixing[row : row + 3][::-1]
        numbers += [min(round(share / 255.0 * (LARGEST_SHARE + 1)), LARGEST_SHARE) for share in colours]
        numbers.append(round(mixing[row + 3] * (1 << LEVEL_BITS)))
    return tuple(numbers)


def _turned(scratch: PasteScratch, crop: NDArray[np.uint8], mask: NDArray[np.float32]) -> tuple[Any, Any]:
    """Return copies with x and y exchanged."""
    room = scratch.turned_crop.room(*crop.shape), scratch.turned_mask.room(*mask.shape)
    np.copyto(room[0], crop.transpose(1, 0, 2))
    np.copyto(room[1], mask.T)
    return room


def _paste_planes(group: PlaneGroup, scratch: PasteScratch, pasted: _Pasted) -> None:
    forward, inverse = group.forward, group.inverse
    if pasted.turned:
        forward, inverse = np.ascontiguousarray(forward[::-1]), np.ascontiguousarray(inverse[:, [1, 0, 2]])
    region = Region.of_box(inverse, pasted.box, group.shape)
    if region.empty:
        return
    pixels, planes = pixels_per_half(forward), pasted.planes
    height, width = group.shape
    paste_rows(
        group.kind,
        (*group.addresses, planes.ctypes.data),
        (*group.strides, planes.strides[1], planes.strides[0]),
        (width, height),
        region.bounds,
        forward,
        pasted.box,
        (pasted.size_px, pixels),
        scratch.row_room(plan_bytes(region.width, pixels)),
    )
