"""Where a batch's crops lie in their images, checked, inverted and split into whole pixels and a rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.errors import InputError
from lipforge.kernels.region import Region

LARGEST_ORIGIN_PX = float(2**22)
"""Beyond it float32 has no fractions of pixels left to lose, and every pixel is the image's edge anyway."""


def invert_batch(transforms: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a batch of affine matrices and their inverses.

    Args:
        transforms: float (B, 2, 3), image px to crop px.

    Returns:
        Forward and inverse, both float64 (B, 2, 3).

    Raises:
        InputError: wrong shape or dtype, or a matrix that cannot be inverted; the message says which.
    """
    if not isinstance(transforms, np.ndarray) or transforms.ndim != 3 or transforms.dtype.kind != "f":
        got = f"{transforms.dtype.name} {transforms.shape}" if isinstance(transforms, np.ndarray) else repr(transforms)
        raise InputError(f"transforms must be a float numpy array of shape (B, 2, 3) (image to crop), not {got}.")
    pairs = []
    for i, transform in enumerate(transforms):
        try:
            pairs.append(invert_affine(transform))
        except InputError as error:
            raise InputError(f"transforms[{i}]: {error}") from None
    both = np.array(pairs, np.float64).reshape(-1, 2, 2, 3)
    return both[:, 0], both[:, 1]


def frame_indices(frames: Any, crops: int, count: int) -> NDArray[np.int32]:
    """Return which image each crop belongs to.

    Args:
        frames: integer (B,), or None for crop b of image b.
        crops: B, number of crops.
        count: number of images.

    Raises:
        InputError: wrong shape or dtype, an index that is no image's, or None where B is not the number of images.
    """
    if frames is None:
        if crops != count:
            raise InputError(f"{crops} transforms for {count} images; pass frames, which image each crop belongs to.")
        return np.arange(crops, dtype=np.int32)
    if not isinstance(frames, np.ndarray) or frames.shape != (crops,) or frames.dtype.kind not in "iu":
        got = f"{frames.dtype.name} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise InputError(f"frames must be an integer numpy array of shape ({crops},), not {got}.")
    if crops and (frames.min() < 0 or frames.max() >= count):
        raise InputError(f"frames must lie between 0 and {count - 1}, not between {frames.min()} and {frames.max()}.")
    return frames.astype(np.int32)


def split_whole(positions: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Split positions into whole pixels and the rest, so that the rest keeps its fraction as a float32."""
    near = np.abs(positions) < LARGEST_ORIGIN_PX
    whole = np.where(near, np.floor(positions), 0.0)
    return whole.astype(np.int32), (positions - whole).astype(np.float32)


def crop_placements(transforms: Any, frames: Any, count: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the two tables that a batched crop kernel reads.

    Args:
        transforms: float (B, 2, 3), image px to crop px.
        frames: integer (B,) or None, see ``frame_indices``.
        count: number of images.

    Returns:
        float32 (B, 6): rows of the inverse matrix with the rest of the origin as third element. int32 (B, 4): whole
        px of the origin, x and y; taps per axis; image.

    Raises:
        InputError: a transform cannot be inverted, or the frames do not fit.
    """
    _, inverse = invert_batch(transforms)
    indices = frame_indices(frames, len(inverse), count)
    origin, rest = split_whole(inverse[:, :, 2])
    reals = inverse.astype(np.float32)
    reals[:, :, 2] = rest
    taps = np.array([taps_per_axis(matrix) for matrix in inverse], np.int32)
    wholes = np.column_stack([origin, taps, indices]).astype(np.int32)
    return np.ascontiguousarray(reals.reshape(-1, 6)), np.ascontiguousarray(wholes)


def warp_placements(
    forward: NDArray[np.float64], inverse: NDArray[np.float64], size_px: int, image_shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the two tables that the batched compositor reads.

    Args:
        forward: float64 (B, 2, 3), image px to crop px.
        inverse: float64 (B, 2, 3), crop px to image px.
        size_px: S, width and height of the crop.
        image_shape: height and width of the images in px.

    Returns:
        float32 (B, 10): the forward matrix, from a position in the region to one in the crop, and the linear part of
        the inverse. int32 (B, 4): left, top, width and height of the region; 0 wide where the square misses the image.
    """
    reals, wholes = np.empty((len(forward), 10), np.float32), np.zeros((len(forward), 4), np.int32)
    for i, (to_crop, to_image) in enumerate(zip(forward, inverse, strict=True)):
        region = Region.of_box(to_image, (-0.5, -0.5, size_px - 0.5, size_px - 0.5), image_shape)
        if not region.empty:
            wholes[i] = region.left, region.top, region.width, region.height
        local = to_crop.copy()
        local[:, 2] += to_crop[:, :2] @ wholes[i, :2]
        reals[i] = np.concatenate([local.ravel(), to_image[:, :2].ravel()])
    return reals, wholes
