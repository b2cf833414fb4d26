"""The compositor in batches on a GPU or NPU, into copies of the images.

A program visits a tile of the rectangle around a crop square, as the CPU's compositor does; what that leaves alone was
copied beforehand. As in the crop kernel whole pixels travel as integers: positions are relative to the rectangle's
upper left corner, so that a float32 holds them as well in a 4K image as in a small one.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

from lipforge.kernels.batch.placement import invert_batch, warp_placements
from lipforge.kernels.crop.triton_crop import bilinear, neighbours
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.triton_launch import (
    LARGEST_OFFSET,
    Array,
    as_given,
    config_of,
    kernel,
    launch,
    on_device,
    output,
)


def composite_batch(
    images: Array,
    transforms: NDArray[Any],
    flow: Array,
    mask: Array,
    colour: Array,
    spec: WarpSpec,
    strength: float = 1.0,
    out: torch.Tensor | None = None,
) -> Any:
    """Warp and blend the crop square of every image; ``lipforge.kernels.warp.composite`` says how.

    Args:
        images: uint8 (B, H, W, 3) BGR, C-contiguous; numpy, or a tensor on the accelerator. Not changed.
        transforms: float32 or float64 numpy (B, 2, 3), image px to crop px.
        flow: float32 (B, 2, S, S), x then y, in crop px.
        mask: float32 (B, S, S), in [0, 1].
        colour: float32 (B, 3, S, S) RGB, in [0, 1].
        spec: the border ramp.
        strength: in [0, 1]; 0 leaves the images as they are.
        out: uint8 tensor (B, H, W, 3) on the images' device, overwritten, with no memory of ``images``; or None.

    Returns:
        uint8 (B, H, W, 3) BGR; numpy if ``images`` is, else a tensor.

    Raises:
        InputError: an argument is of the wrong shape, dtype, layout or device, not finite, or not invertible.
        BackendError: there is no accelerator, or a tensor is not on one.
    """
    pixels = on_device("images", images, torch.uint8, ("B", "H", "W", 3))
    count, height, width, _ = pixels.shape
    forward, inverse = invert_batch(transforms)
    _check_values(pixels, len(forward), spec, strength)
    planes = _checked_planes(flow, mask, colour, pixels)
    result = _copy_of(pixels, out)
    reals, wholes = warp_placements(forward, inverse, planes[1].shape[-1], (height, width))
    config = config_of(pixels.device)
    tiles_per_image = triton.cdiv(int((wholes[:, 2] * wholes[:, 3]).max(initial=0)), config.warp_pixels)
    launch(
        warp_tiles,
        tiles_per_image * count,
        config.pixel_programs,
        config.pixel_warps,
        pixels.device,
        images=pixels,
        out=result,
        flow=planes[0],
        mask=planes[1],
        colour=planes[2],
        reals=torch.from_numpy(reals).to(pixels.device),
        wholes=torch.from_numpy(wholes).to(pixels.device),
        height=height,
        width=width,
        size_px=planes[1].shape[-1],
        ramp=1.0 / spec.border_px if spec.border_px > 0.0 else 0.0,
        strength=float(strength),
        tiles_per_image=tiles_per_image,
        PIXELS=config.warp_pixels,
    )
    return as_given(result, images)


def _check_values(pixels: torch.Tensor, transforms: int, spec: WarpSpec, strength: float) -> None:
    count, height, width, _ = pixels.shape
    if height * width * 3 > LARGEST_OFFSET:
        raise InputError(f"images of {height} x {width} px are too large; scale them down.")
    if transforms != count:
        raise InputError(f"{transforms} transforms for {count} images; pass one for each.")
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength must lie between 0 and 1, not {strength!r}.")
    if not spec.border_px >= 0.0:
        raise InputError(f"WarpSpec.border_px must be 0 or more, not {spec.border_px!r}.")


def _copy_of(pixels: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    result = output("out", out, torch.uint8, tuple(pixels.shape), pixels.device)
    if result.untyped_storage().data_ptr() == pixels.untyped_storage().data_ptr():
        raise InputError("out shares memory with images; pass another tensor: sources are read while it is written.")
    return result.copy_(pixels)


def _checked_planes(flow: Array, mask: Array, colour: Array, pixels: torch.Tensor) -> list[torch.Tensor]:
    count = pixels.shape[0]
    size_px = int(mask.shape[-1]) if hasattr(mask, "shape") and len(mask.shape) else 1
    shapes = {"flow": (count, 2, size_px, size_px), "mask": (count, size_px, size_px)}
    shapes["colour"] = (count, 3, size_px, size_px)
    planes = []
    for (name, shape), given in zip(shapes.items(), (flow, mask, colour), strict=True):
        plane = on_device(name, given, torch.float32, shape)
        if plane.device != pixels.device:
            raise InputError(f"{name} is on {plane.device}, images are on {pixels.device}; put them on one device.")
        planes.append(plane)
    if not all(bool(torch.isfinite(plane).all()) for plane in planes):
        raise InputError(
            "flow, mask and colour must be finite; they hold NaN or infinity. Check the model that made them."
        )
    return planes


@kernel
def warp_tiles(
    images: tl.tensor,
    out: tl.tensor,
    flow: tl.tensor,
    mask: tl.tensor,
    colour: tl.tensor,
    reals: tl.tensor,
    wholes: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    size_px: tl.tensor,
    ramp: tl.tensor,
    strength: tl.tensor,
    tiles_per_image: tl.tensor,
    tiles: tl.tensor,
    PIXELS: tl.constexpr,
) -> None:
    """Composite into ``out`` what the two tables of ``warp_placements`` say, float32 (B, 10) and int32 (B, 4)."""
    plane = size_px * size_px
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0)):
        image = tile // tiles_per_image
        real, whole = reals + image * 10, wholes + image * 4
        region_left, region_top = tl.load(whole), tl.load(whole + 1)
        region_width, region_height = tl.load(whole + 2), tl.load(whole + 3)
        index = (tile % tiles_per_image) * PIXELS + tl.arange(0, PIXELS)
        # An empty region has no columns to divide by; none of its rows is inside either.
        row, column = index // tl.maximum(region_width, 1), index % tl.maximum(region_width, 1)
        x, y = column.to(tl.float32), row.to(tl.float32)
        crop_x = tl.load(real) * x + tl.load(real + 1) * y + tl.load(real + 2)
        crop_y = tl.load(real + 3) * x + tl.load(real + 4) * y + tl.load(real + 5)
        edge = edge_distance(crop_x, crop_y, tl.cast(size_px - 1, tl.float32))
        # A ramp of no width is over at once.
        gain = tl.where(ramp > 0.0, tl.minimum(tl.maximum(edge * ramp, 0.0), 1.0), 1.0) * strength
        left, right, share_x = neighbours(crop_x, 0, size_px)
        top, bottom, share_y = neighbours(crop_y, 0, size_px)
        upper, lower = top * size_px, bottom * size_px
        batch = tl.cast(image, tl.int64) * plane
        planes = flow + 2 * batch
        flow_x = gain * bilinear(planes + upper, planes + lower, left, right, share_x, share_y)
        planes += plane
        flow_y = gain * bilinear(planes + upper, planes + lower, left, right, share_x, share_y)
        weight = gain * bilinear(mask + batch + upper, mask + batch + lower, left, right, share_x, share_y)
        source_x = x + (tl.load(real + 6) * flow_x + tl.load(real + 7) * flow_y)
        source_y = y + (tl.load(real + 8) * flow_x + tl.load(real + 9) * flow_y)
        first, second, shift_x = neighbours(source_x, region_left, width)
        source_top, source_bottom, shift_y = neighbours(source_y, region_top, height)
        pixels = tl.cast(image, tl.int64) * (height * width * 3)
        source_upper = images + pixels + source_top * width * 3
        source_lower = images + pixels + source_bottom * width * 3
        target = out + pixels + ((row + region_top) * width + column + region_left) * 3
        inside = (y < tl.cast(region_height, tl.float32)) & (edge >= 0.0)
        inside &= (flow_x != 0.0) | (flow_y != 0.0) | (weight != 0.0)
        planes = colour + 3 * batch + 2 * plane  # colours are RGB, images BGR
        for channel in tl.static_range(3):
            painted = bilinear(planes + upper, planes + lower, left, right, share_x, share_y) * 255.0
            warped = bilinear(source_upper + channel, source_lower + channel, 3 * first, 3 * second, shift_x, shift_y)
            blended = warped + weight * (painted - warped)
            level = tl.minimum(tl.maximum(blended, 0.0), 255.0) + 0.5
            tl.store(target + channel, level.to(tl.int32).to(tl.uint8), mask=inside)
            planes -= plane


@kernel
def edge_distance(crop_x: tl.tensor, crop_y: tl.tensor, last: tl.tensor) -> tl.tensor:
    """Return how far a position lies inside the crop square, whose outermost pixels' centres are at 0 and ``last``."""
    return tl.minimum(tl.minimum(crop_x, last - crop_x), tl.minimum(crop_y, last - crop_y)) + 0.5
