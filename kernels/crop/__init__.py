"""The face crop: the image resampled through a similarity transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine, require_array, require_output, require_size
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.crop.numba_crop import sample_crop

__all__ = ["crop_face"]


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
    sample_crop(image, inverse, taps_per_axis(inverse), reverse_channels, out)
    return out
