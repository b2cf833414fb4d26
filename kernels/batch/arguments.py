"""Checks that the numpy backends of a batch share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_array, require_output, require_size
from lipforge.kernels.batch.placement import frame_indices, invert_batch
from lipforge.kernels.errors import InputError


def check_crops(
    images: Any, transforms: Any, size_px: Any, frames: Any, as_float: bool, out: Any
) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Check the arguments of ``crop_batch``; return the image of each crop, int32 (B,), and the output array.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or a transform cannot be inverted.
    """
    require_array("images", images, np.uint8, ("F", "H", "W", 3))
    require_size("size_px", size_px)
    crops = len(invert_batch(transforms)[0])
    dtype: type[np.generic] = np.float32 if as_float else np.uint8
    if out is None:
        out = np.empty((crops, 3, size_px, size_px), dtype)
    require_output("out", out, dtype, (crops, 3, size_px, size_px))
    return frame_indices(frames, crops, len(images)), out


def check_composites(images: Any, transforms: Any, flow: Any, mask: Any, colour: Any, out: Any) -> NDArray[np.uint8]:
    """Check the arguments of ``composite_batch`` that belong to the whole batch; return the output array.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, a transform cannot be inverted, or ``out`` shares
            memory with ``images``.
    """
    require_array("images", images, np.uint8, ("B", "H", "W", 3))
    count = len(images)
    forward, _ = invert_batch(transforms)
    if len(forward) != count:
        raise InputError(f"{len(forward)} transforms for {count} images; pass one for each.")
    require_array("mask", mask, np.float32, (count, "S", "S"))
    size_px = mask.shape[-1]
    require_array("mask", mask, np.float32, (count, size_px, size_px))
    require_array("flow", flow, np.float32, (count, 2, size_px, size_px))
    require_array("colour", colour, np.float32, (count, 3, size_px, size_px))
    if not (np.isfinite(flow).all() and np.isfinite(mask).all() and np.isfinite(colour).all()):
        raise InputError(
            "flow, mask and colour must be finite; they hold NaN or infinity. Check the model that made them."
        )
    if out is None:
        out = np.empty_like(images)
    require_output("out", out, np.uint8, images.shape)
    if np.shares_memory(out, images):
        raise InputError("out shares memory with images; pass another array: the sources are read while it is written.")
    return np.asarray(out)
