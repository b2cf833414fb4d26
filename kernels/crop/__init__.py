"""The face crop: the image resampled through a similarity transform."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine, require_array, require_output, require_size
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.crop.kernels import crop_rows
from lipforge.kernels.crop.planes import Plane
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec

__all__ = ["crop_face", "crop_face_i420", "crop_face_nv12"]

# Which of the image's channels, and of 1, make the channels of the crop.
FORWARDS = np.eye(3, 4)
BACKWARDS = np.ascontiguousarray(FORWARDS[::-1])


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
    require_size("size_px", size_px)
    if out is None:
        out = np.empty((size_px, size_px, 3), np.uint8)
    require_output("out", out, np.uint8, (size_px, size_px, 3))
    _, inverse = invert_affine(transform)
    taps = taps_per_axis(inverse)
    plane = Plane.of(image, taps)
    crop_rows(np.array([plane.arguments]), inverse, inverse, BACKWARDS if reverse_channels else FORWARDS, out)
    return out


def crop_face_i420(
    frame: I420Frame,
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[np.uint8] | None = None,
    *,
    reverse_channels: bool = False,
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

    Returns:
        uint8 (S, S, 3), the crop.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or the transform cannot be inverted.
    """
    return _crop_yuv(frame.y, [frame.u, frame.v], frame.spec, transform, size_px, out, reverse_channels)


def crop_face_nv12(
    frame: Nv12Frame,
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[np.uint8] | None = None,
    *,
    reverse_channels: bool = False,
) -> NDArray[np.uint8]:
    """As ``crop_face_i420``, from a frame with U and V in turns.

    Args:
        frame: the planes.
        transform: float32 or float64 (2, 3), luma px to crop px.
        size_px: S, width and height of the crop.
        out: uint8 (S, S, 3), C-contiguous, overwritten. A new array if None.
        reverse_channels: give RGB; BGR otherwise.

    Returns:
        uint8 (S, S, 3), the crop.

    Raises:
        InputError: as ``crop_face_i420``.
    """
    return _crop_yuv(frame.y, [frame.uv], frame.spec, transform, size_px, out, reverse_channels)


def _crop_yuv(
    luma: NDArray[np.uint8],
    chroma: list[NDArray[np.uint8]],
    spec: YuvSpec,
    transform: NDArray[np.floating],
    size_px: int,
    out: NDArray[np.uint8] | None,
    reverse_channels: bool,
) -> NDArray[np.uint8]:
    require_size("size_px", size_px)
    if out is None:
        out = np.empty((size_px, size_px, 3), np.uint8)
    require_output("out", out, np.uint8, (size_px, size_px, 3))
    forward, inverse = invert_affine(transform)
    _, chroma_inverse = spec.chroma_transforms(forward)
    taps, chroma_taps = taps_per_axis(inverse), taps_per_axis(chroma_inverse)
    planes = [Plane.of(luma, taps), *(Plane.of(plane, chroma_taps) for plane in chroma)]
    described = np.array([plane.arguments for plane in planes])
    crop_rows(described, inverse, chroma_inverse, _yuv_mixing(spec, reverse_channels), out)
    return out


@lru_cache
def _yuv_mixing(spec: YuvSpec, reverse_channels: bool) -> NDArray[np.float64]:
    """Return the matrix (3, 4) from Y, U, V and 1 to the channels of the crop."""
    to_rgb = np.column_stack(spec.to_rgb())
    return np.ascontiguousarray(to_rgb if reverse_channels else to_rgb[::-1])
