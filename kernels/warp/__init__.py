"""The compositor: a generator's flow, mask and colour applied to the image's own pixels at their own resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.canvas import Canvas
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp.fields import prepare_fields
from lipforge.kernels.warp.plane import composite_planes
from lipforge.kernels.warp.scratch import WarpScratch
from lipforge.kernels.yuv import I420Frame, Nv12Frame

__all__ = ["WarpScratch", "composite", "composite_i420", "composite_nv12"]


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
    _composite(Canvas.of_image(image, transform), scratch, (flow, mask, colour), spec, strength)


def composite_i420(
    frame: I420Frame,
    scratch: WarpScratch,
    transform: NDArray[np.floating],
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    spec: WarpSpec,
    strength: float = 1.0,
) -> None:
    """As ``composite``, straight in the planes of a YUV 4:2:0 frame.

    Every plane is warped at its own resolution: a chroma sample is treated as ``composite`` treats a pixel, at the
    position where its siting puts it. Luma or chroma with zero flow and zero mask keeps its bytes. The colours are
    converted with the frame's matrix and range.

    Args:
        frame: planes, changed in place.
        scratch: keeps the copy of the source pixels; use one per stream.
        transform: float32 or float64 (2, 3), luma px to crop px.
        flow: float32 (2, S, S), x then y, in crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        spec: the border ramp.
        strength: in [0, 1]; 0 leaves the frame as it is.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, a value is not finite, a plane is read-only or
            the transform cannot be inverted.
    """
    _composite(Canvas.of_frame(frame, transform), scratch, (flow, mask, colour), spec, strength)


def composite_nv12(
    frame: Nv12Frame,
    scratch: WarpScratch,
    transform: NDArray[np.floating],
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    spec: WarpSpec,
    strength: float = 1.0,
) -> None:
    """As ``composite_i420``, in a frame with U and V in turns.

    Args:
        frame: planes, changed in place.
        scratch: keeps the copy of the source pixels; use one per stream.
        transform: float32 or float64 (2, 3), luma px to crop px.
        flow: float32 (2, S, S), x then y, in crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        spec: the border ramp.
        strength: in [0, 1]; 0 leaves the frame as it is.

    Raises:
        InputError: as ``composite_i420``.
    """
    _composite(Canvas.of_frame(frame, transform), scratch, (flow, mask, colour), spec, strength)


def _composite(
    canvas: Canvas,
    scratch: WarpScratch,
    outputs: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    spec: WarpSpec,
    strength: float,
) -> None:
    fields = prepare_fields(canvas, scratch, outputs, spec, strength)
    if fields is not None:
        for group in canvas.groups:
            composite_planes(group, scratch, fields)
