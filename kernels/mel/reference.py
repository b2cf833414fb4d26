"""The Wav2Lip mel with numpy's FFT in float64, the definition that the fast one is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.mel.samples import emphasise, left_padding, right_padding
from lipforge.kernels.spec import MelSpec


def log_mel(audio: NDArray[np.float32], spec: MelSpec) -> NDArray[np.float64]:
    """Return the log-mel spectrogram, see ``lipforge.kernels.mel.log_mel``.

    Args:
        audio: float32 (n,), mono, in [-1, 1].
        spec: the recipe.

    Returns:
        float64 (n_mels, 1 + n // hop_samples), in [-max_abs, max_abs].
    """
    signal = emphasise(audio, 0.0, spec)
    padded = np.concatenate([left_padding(signal, spec), signal, right_padding(signal, spec)])
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(spec.n_fft) / spec.n_fft)
    starts = range(0, padded.size - spec.n_fft + 1, spec.hop_samples)
    spectrum = np.abs(np.fft.rfft([padded[i : i + spec.n_fft] * window for i in starts]))
    amplitude = slaney_filterbank(spec) @ spectrum.T
    level_db = 20.0 * np.log10(np.maximum(amplitude, spec.amplitude_floor)) - spec.ref_level_db
    share = (level_db - spec.min_level_db) / -spec.min_level_db
    return np.asarray(np.clip(2.0 * spec.max_abs * share - spec.max_abs, -spec.max_abs, spec.max_abs))
