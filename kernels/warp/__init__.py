"""The compositor: a generator's flow, mask and colour applied to the image's own pixels at their own resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine, require_array, require_output
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp.numba_warp import composite_region, pack_fields
from lipforge.kernels.warp.region import Region
from lipforge.kernels.warp.scratch import WarpScratch

__all__ = ["WarpScratch", "composite"]


def composite(
    image: NDArray[np.uint8],
    scratch: WarpScratch,
    transform: NDArray[np.floating],
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    spec: WarpSpec,
    strength: float = 1.0,
) -> None:
    """Warp and blend the pixels of the crop square in place.

    For every image pixel whose crop position p lies in [-0.5, S - 0.5] on both axes: flow, mask and colour are sampled
    bilinearly at p (edges clamped), flow and mask multiplied by ``strength`` and by the border ramp of ``WarpSpec``;
    the pixel becomes ``(1 - mask) * image(pixel + flow in image px) + mask * colour``, rounded to nearest. Sources come
    from a copy made beforehand, beyond the image its edge pixels repeat. A pixel with zero flow and zero mask keeps
    its bytes, and so does every pixel outside the square.

    Args:
        image: uint8 (H, W, 3) BGR, C-contiguous, changed in place.
        scratch: keeps the copy of the source pixels; use one per stream.
        transform: float32 or float64 (2, 3), image px to crop px.
        flow: float32 (2, S, S), x then y, in crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        spec: the border ramp.
        strength: in [0, 1]; 0 leaves the image as it is.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, a value is not finite, or the transform cannot be
            inverted.
    """
    require_output("image", image, np.uint8, ("H", "W", 3))
    require_array("mask", mask, np.float32, ("S", "S"))
    size_px = mask.shape[0]
    require_array("mask", mask, np.float32, (size_px, size_px))
    require_array("flow", flow, np.float32, (2, size_px, size_px))
    require_array("colour", colour, np.float32, (3, size_px, size_px))
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength must lie between 0 and 1, not {strength!r}.")
    if not spec.border_px >= 0.0:
        raise InputError(f"WarpSpec.border_px must be 0 or more, not {spec.border_px!r}.")
    forward, inverse = invert_affine(transform)
    fields = scratch.fields(size_px)
    reach_x, reach_y, finite = pack_fields(flow, mask, colour, fields)
    if not finite:
        raise InputError(
            "flow, mask and colour must be finite; they hold NaN or infinity. Check the model that made them."
        )
    target = Region.of_crop(inverse, size_px, image.shape[:2])
    if target.empty:
        return
    source = target.grown(inverse, reach_x, reach_y, image.shape[:2])
    pixels = scratch.pixels(source.height, source.width)
    np.copyto(pixels, image[source.top : source.bottom, source.left : source.right])
    composite_region(
        image, pixels, source.left, source.top, target.bounds, forward, inverse, fields, spec.border_px, strength
    )
