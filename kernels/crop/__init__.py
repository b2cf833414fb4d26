"""The face crop: the image resampled through a similarity transform."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import inverse_path, invert_affine, require_array, require_output, require_size
from lipforge.kernels.crop import reference
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.crop.kernels import crop_bgr, crop_yuv
from lipforge.kernels.crop.layouts import BYTE_PLANES, FLOAT_PLANES, PIXELS, RECORD_COLUMNS
from lipforge.kernels.crop.planes import described
from lipforge.kernels.crop.scratch import CropScratch
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec

__all__ = ["CropScratch", "crop_face", "crop_face_i420", "crop_face_nv12", "crop_face_planes"]


def crop_face(
    image: NDArray[np.uint8],
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[np.uint8] | None = None,
    *,
    reverse_channels: bool = False,
) -> NDArray[np.uint8]:
    """Cut the crop square out of an image.

    Where the crop is about as large as the face or larger, a pixel is one bilinear sample. Where the face is larger,
    it is the mean of n x n bilinear samples spread over the area that the crop pixel covers in the image, at most 1.25
    image px apart, so that fine detail is averaged and does not alias. Beyond the image its edge pixels
    repeat.

    Args:
        image: uint8 (H, W, 3), C-contiguous.
        transform: float32 or float64 (2, 3), image px to crop px.
        size_px: S, width and height of the crop.
        out: uint8 (S, S, 3), C-contiguous, overwritten; must not share memory with ``image``. A new array if None.
        reverse_channels: give the channels in reverse order (BGR in, RGB out).

    Returns:
        uint8 (S, S, 3), the crop.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or the transform cannot be inverted.
    """
    require_array("image", image, np.uint8, ("H", "W", 3))
    out = _pixels(out, size_px)
    _crop(image, transform, size_px, out, PIXELS + reverse_channels, None)
    return out


def crop_face_i420(
    frame: I420Frame,
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[np.uint8] | None = None,
    *,
    reverse_channels: bool = False,
    scratch: CropScratch | None = None,
) -> NDArray[np.uint8]:
    """Cut the crop square out of the planes of a YUV 4:2:0 frame, as ``crop_face`` does from BGR.

    Every plane is sampled at its own resolution, so chroma is interpolated where its siting puts it; then the samples
    are converted with the frame's matrix and range.

    Args:
        frame: the planes.
        transform: float32 or float64 (2, 3), luma px to crop px.
        size_px: S, width and height of the crop.
        out: uint8 (S, S, 3), C-contiguous, overwritten. A new array if None.
        reverse_channels: give RGB; BGR otherwise.
        scratch: working memory, kept by the caller between frames; new memory if None.

    Returns:
        uint8 (S, S, 3), the crop.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or the transform cannot be inverted.
    """
    out = _pixels(out, size_px)
    _crop(frame, transform, size_px, out, PIXELS + reverse_channels, scratch)
    return out


def crop_face_nv12(
    frame: Nv12Frame,
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[np.uint8] | None = None,
    *,
    reverse_channels: bool = False,
    scratch: CropScratch | None = None,
) -> NDArray[np.uint8]:
    """As ``crop_face_i420``, from a frame with U and V in turns.

    Args:
        frame: the planes.
        transform: float32 or float64 (2, 3), luma px to crop px.
        size_px: S, width and height of the crop.
        out: uint8 (S, S, 3), C-contiguous, overwritten. A new array if None.
        reverse_channels: give RGB; BGR otherwise.
        scratch: as for ``crop_face_i420``.

    Returns:
        uint8 (S, S, 3), the crop.

    Raises:
        InputError: as ``crop_face_i420``.
    """
    out = _pixels(out, size_px)
    _crop(frame, transform, size_px, out, PIXELS + reverse_channels, scratch)
    return out


def crop_face_planes(
    source: NDArray[np.uint8] | I420Frame | Nv12Frame,
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[Any] | None = None,
    *,
    as_float: bool = True,
    reverse_channels: bool = False,
    scratch: CropScratch | None = None,
) -> NDArray[Any]:
    """Cut the crop square out as a network takes it: one plane per channel, without a second pass over the crop.

    Args:
        source: what ``crop_face`` (uint8 (H, W, 3)), ``crop_face_i420`` or ``crop_face_nv12`` takes.
        transform: float32 or float64 (2, 3), image px to crop px.
        size_px: S, width and height of the crop.
        out: (3, S, S), C-contiguous, overwritten. A new array if None.
        as_float: give float32, the uint8 level divided by 255.
        reverse_channels: give RGB (of a BGR image); BGR otherwise.
        scratch: as for ``crop_face_i420``; an image needs none.

    Returns:
        float32 (3, S, S) in [0, 1], or uint8.

    Raises:
        InputError: as ``crop_face``.
    """
    if not isinstance(source, I420Frame | Nv12Frame):
        require_array("image", source, np.uint8, ("H", "W", 3))
    require_size("size_px", size_px)
    dtype: type[np.generic] = np.float32 if as_float else np.uint8
    if out is None:
        out = np.empty((3, size_px, size_px), dtype)
    require_output("out", out, dtype, (3, size_px, size_px))
    _crop(source, transform, size_px, out, (FLOAT_PLANES if as_float else BYTE_PLANES) + reverse_channels, scratch)
    return out


def _pixels(out: NDArray[np.uint8] | None, size_px: int) -> NDArray[np.uint8]:
    require_size("size_px", size_px)
    if out is None:
        out = np.empty((size_px, size_px, 3), np.uint8)
    require_output("out", out, np.uint8, (size_px, size_px, 3))
    return out


def _crop(
    source: NDArray[np.uint8] | I420Frame | Nv12Frame,
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[Any],
    layout: int,
    scratch: CropScratch | None,
) -> None:
    path, target = inverse_path(transform), out.reshape(-1)
    if layout >= FLOAT_PLANES:
        target = target.view(np.uint8)
    if isinstance(source, np.ndarray):
        row, numbers = described(source, 2)
        if not crop_bgr(row, numbers, path, size_px, target, layout):
            _crop_slowly(source, transform, out, layout)
        return
    rows, plane_numbers = _described_frame(source)
    spec, mixing = source.spec, _mixing(source.spec)
    scratch = CropScratch() if scratch is None else scratch
    while True:
        records = scratch.record_buffer
        needed = crop_yuv(rows, plane_numbers, spec.chroma_offset, records, path, mixing, size_px, target, layout)
        if needed < 0:
            _crop_slowly(source, transform, out, layout)
        if needed <= records.size:
            return
        scratch.grow(needed)


def _described_frame(frame: I420Frame | Nv12Frame) -> tuple[tuple[NDArray[np.uint8], ...], tuple[int, ...]]:
    """Return the first rows of luma, U and V and the nine numbers that ``crop_yuv`` takes."""
    luma, numbers = described(frame.y, 2)
    if isinstance(frame, Nv12Frame):
        pairs, (stride, *rest) = described(frame.uv, RECORD_COLUMNS + 1)
        return (luma, pairs, pairs), (*numbers, stride, stride, *rest)
    u, (u_stride, *rest) = described(frame.u, RECORD_COLUMNS + 1)
    v, v_numbers = described(frame.v, RECORD_COLUMNS + 1)
    return (luma, u, v), (*numbers, u_stride, v_numbers[0], *rest)


def _crop_slowly(
    source: NDArray[np.uint8] | I420Frame | Nv12Frame, transform: NDArray[np.floating], out: NDArray[Any], layout: int
) -> None:
    """Fill ``out`` by the reference, for transforms so absurd that the fast kernel's numbers would overflow."""
    forward, inverse = invert_affine(transform)
    crop = np.empty((out.shape[1], out.shape[1], 3), np.uint8)
    if isinstance(source, np.ndarray):
        reference.sample_crop(source, inverse, taps_per_axis(inverse), layout % 2 == 1, crop)
    else:
        pairs = source.uv.transpose(2, 0, 1) if isinstance(source, Nv12Frame) else (source.u, source.v)
        inverses = [inverse, *[source.spec.chroma_transforms(forward)[1]] * 2]
        taps = [taps_per_axis(each) for each in inverses]
        reference.sample_yuv_crop([source.y, *pairs], inverses, taps, *source.spec.to_rgb(), crop)
        if layout % 2 == 0:
            crop = crop[..., ::-1]
    if layout < BYTE_PLANES:
        out[:] = crop
    else:
        out[:] = crop.transpose(2, 0, 1)
        if layout >= FLOAT_PLANES:
            out /= np.float32(255.0)


@lru_cache
def _mixing(spec: YuvSpec) -> tuple[float, ...]:
    """Return the matrix 3 x 4 from Y, U, V and 1 to blue, green and red, row by row."""
    return tuple(np.column_stack(spec.to_rgb())[::-1].ravel().tolist())
