"""Batches by the ops' references: slow and obvious, to compare the other backends with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.batch.arguments import check_composites, check_crops
from lipforge.kernels.crop import reference as crop_reference
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.errors import InputError
from lipforge.kernels.mel import reference as mel_reference
from lipforge.kernels.mel.recipe import recipe_of
from lipforge.kernels.mel.samples import check_length, checked_audio
from lipforge.kernels.spec import MelSpec, WarpSpec
from lipforge.kernels.warp import reference as warp_reference


def log_mel(audio: NDArray[np.float32], spec: MelSpec) -> NDArray[np.float32]:
    """Return the log-mel spectrogram of a whole signal, as ``lipforge.kernels.mel.log_mel``.

    Args:
        audio: float32 (n,), mono, in [-1, 1], at ``spec.sample_rate_hz``.
        spec: the recipe.

    Returns:
        float32 (n_mels, 1 + n // hop_samples), in [-max_abs, max_abs].

    Raises:
        InputError: audio is not a finite float32 vector, is empty, or too short for reflect padding.
        ConfigError: the recipe is not usable.
    """
    recipe_of(spec)  # checks it
    audio = checked_audio(audio)
    check_length(audio.size, spec)
    return mel_reference.log_mel(audio, spec).astype(np.float32)


def crop_batch(
    images: NDArray[np.uint8],
    transforms: NDArray[np.floating],
    size_px: int,
    *,
    frames: NDArray[np.integer] | None = None,
    as_float: bool = False,
    reverse_channels: bool = False,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Cut one crop for each transform; arguments, result and errors as ``numba_batch.crop_batch``."""
    indices, out = check_crops(images, transforms, size_px, frames, as_float, out)
    crop = np.empty((size_px, size_px, 3), np.uint8)
    for target, index, transform in zip(out, indices, transforms, strict=True):
        inverse = invert_affine(transform)[1]
        crop_reference.sample_crop(images[index], inverse, taps_per_axis(inverse), reverse_channels, crop)
        target[:] = crop.transpose(2, 0, 1)
    if as_float:
        out /= np.float32(255.0)
    return out


def composite_batch(
    images: NDArray[np.uint8],
    transforms: NDArray[np.floating],
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    spec: WarpSpec,
    strength: float = 1.0,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Warp and blend the crop square of every image; arguments and result as ``numba_batch.composite_batch``."""
    out = check_composites(images, transforms, flow, mask, colour, out)
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength must lie between 0 and 1, not {strength!r}.")
    if not spec.border_px >= 0.0:
        raise InputError(f"WarpSpec.border_px must be 0 or more, not {spec.border_px!r}.")
    for i, image in enumerate(images):
        forward, inverse = invert_affine(transforms[i])
        out[i] = warp_reference.composite(
            image, forward, inverse, flow[i], mask[i], colour[i], spec.border_px, strength
        )
    return out
