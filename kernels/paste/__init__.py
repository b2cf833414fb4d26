"""The paste: a predicted face crop blended into the image through a soft mask, in place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine, require_array, require_output
from lipforge.kernels.errors import InputError
from lipforge.kernels.paste.numba_paste import BGR, LUMA, PAIRED_CHROMA, SEPARATE_CHROMA, pack_records, paste_rows
from lipforge.kernels.paste.vector_paste import RECORD
from lipforge.kernels.region import Region
from lipforge.kernels.spans import active_box
from lipforge.kernels.yuv import I420Frame, Nv12Frame, require_writable

__all__ = ["PasteScratch", "paste_face", "paste_face_i420", "paste_face_nv12"]

KEEP = np.eye(3, 4, dtype=np.float32)
REVERSE = np.ascontiguousarray(KEEP[::-1])


@dataclass
class PasteScratch:
    """Working memory that grows when a larger crop comes; keep one per stream, not for two threads at once."""

    buffer: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def records(self, size_px: int) -> NDArray[np.float32]:
        """Return room for crop and mask, float32 (S + 1, S + 1, 4); its content is left over."""
        needed = (size_px + 1) ** 2 * RECORD
        if self.buffer.size < needed:
            self.buffer = np.zeros(needed, np.float32)
        return self.buffer[:needed].reshape(size_px + 1, size_px + 1, RECORD)


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
    require_output("image", image, np.uint8, ("H", "W", 3))
    forward, inverse = invert_affine(transform)
    pasted = _prepare(scratch, crop, mask, REVERSE if reverse_channels else KEEP)
    if pasted is not None:
        _paste(BGR, [image], forward, inverse, pasted)


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
    _paste_yuv(frame, SEPARATE_CHROMA, [frame.u, frame.v], scratch, transform, crop, mask, reverse_channels)


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
    _paste_yuv(frame, PAIRED_CHROMA, [frame.uv], scratch, transform, crop, mask, reverse_channels)


@dataclass(frozen=True)
class _Pasted:
    """Crop and mask as the kernel reads them, and the box of the crop outside which the mask is zero."""

    records: NDArray[np.float32]
    box: tuple[float, float, float, float]


def _prepare(
    scratch: PasteScratch, crop: NDArray[np.uint8], mask: NDArray[np.float32], mixing: NDArray[np.float32]
) -> _Pasted | None:
    require_array("mask", mask, np.float32, ("S", "S"))
    size_px = mask.shape[0]
    require_array("mask", mask, np.float32, (size_px, size_px))
    require_array("crop", crop, np.uint8, (size_px, size_px, 3))
    records = scratch.records(size_px)
    valid, *cells = pack_records(crop, mask, mixing, records)
    if not valid:
        records[:] = 0.0  # a later, smaller crop must not meet a NaN in the memory
        raise InputError("mask must lie in [0, 1] everywhere; clip it, and check the model that made it for NaN.")
    return _Pasted(records, active_box(cells, size_px)) if cells[2] > cells[0] else None


def _paste_yuv(
    frame: I420Frame | Nv12Frame,
    chroma_kind: int,
    chroma: list[NDArray[np.uint8]],
    scratch: PasteScratch,
    transform: NDArray[np.floating],
    crop: NDArray[np.uint8],
    mask: NDArray[np.float32],
    reverse_channels: bool,
) -> None:
    require_writable(frame)
    forward, inverse = invert_affine(transform)
    matrix, offset = frame.spec.from_rgb()
    mixing = np.column_stack([(matrix if reverse_channels else matrix[:, ::-1]) / 255.0, offset]).astype(np.float32)
    pasted = _prepare(scratch, crop, mask, mixing)
    if pasted is not None:
        _paste(LUMA, [frame.y], forward, inverse, pasted)
        _paste(chroma_kind, chroma, *frame.spec.chroma_transforms(forward), pasted)


def _paste(
    kind: int,
    planes: list[NDArray[np.uint8]],
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
    pasted: _Pasted,
) -> None:
    region = Region.of_box(inverse, pasted.box, planes[0].shape[:2])
    if region.empty:
        return
    addresses = (planes[0].ctypes.data, planes[-1].ctypes.data, pasted.records.ctypes.data)
    strides = (planes[0].strides[0], planes[-1].strides[0])
    paste_rows(kind, addresses, strides, region.bounds, forward, pasted.box, pasted.records.shape[0] - 1)
