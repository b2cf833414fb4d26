"""Mel of a whole signal."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.engine import engine_for
from lipforge.kernels.mel.kernels import clamp_columns
from lipforge.kernels.mel.recipe import AnyMelSpec, recipe_of
from lipforge.kernels.mel.samples import check_length, checked_audio


def log_mel(audio: NDArray[np.float32], spec: AnyMelSpec) -> NDArray[np.float32]:
    """Return the log-mel spectrogram of a whole signal.

    Column k is centred on sample ``k * hop_samples``. The published recipes run as float32 vector code, within 2e-5 of
    float64 on speech; a recipe with another FFT size or hop runs in float64, several times slower.

    Args:
        audio: float32 (n,), mono, in [-1, 1], at ``spec.sample_rate_hz``.
        spec: the recipe, a ``MelSpec`` or a ``WhisperMelSpec``.

    Returns:
        ``MelSpec``: float32 (n_mels, 1 + n // hop_samples), in [-max_abs, max_abs]; silence is -max_abs.
        ``WhisperMelSpec``: float32 (n_mels, n // hop_samples), about [-1.5, 1.5].

    Raises:
        InputError: audio is not a finite float32 vector, is empty, or with reflect padding has no more than
            n_fft / 2 samples.
        ConfigError: the recipe is not usable.
    """
    recipe = recipe_of(spec)
    audio = checked_audio(audio)
    check_length(audio.size, spec)
    out = np.empty((recipe.n_mels, recipe.columns(audio.size)), np.float32)
    engine_for(spec).whole(audio, out)
    if recipe.clamp != "none":
        clamp_columns(out, 0, out.shape[1], recipe.clamp_range, recipe.clamp == "running", -inf)
    return out
