"""The mel recipes with numpy's FFT in float64, the definition that the fast ones are tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.mel.recipe import AnyMelSpec
from lipforge.kernels.spec import MelSpec, WhisperMelSpec


def log_mel(audio: NDArray[np.float32], spec: AnyMelSpec) -> NDArray[np.float64]:
    """Return the log-mel spectrogram, see ``lipforge.kernels.mel.log_mel``.

    Args:
        audio: float32 (n,), mono, in [-1, 1].
        spec: the recipe.

    Returns:
        float64 (n_mels, columns).
    """
    return _whisper(audio, spec) if isinstance(spec, WhisperMelSpec) else _wav2lip(audio, spec)


def _wav2lip(audio: NDArray[np.float32], spec: MelSpec) -> NDArray[np.float64]:
    emphasised = audio.astype(np.float64)
    emphasised[1:] -= spec.preemphasis * audio[:-1].astype(np.float64)
    amplitude = slaney_filterbank(spec) @ _amplitudes(np.pad(emphasised, spec.n_fft // 2, mode=spec.padding), spec)
    level_db = 20.0 * np.log10(np.maximum(amplitude, spec.amplitude_floor)) - spec.ref_level_db
    share = (level_db - spec.min_level_db) / -spec.min_level_db
    return np.asarray(np.clip(2.0 * spec.max_abs * share - spec.max_abs, -spec.max_abs, spec.max_abs))


def _whisper(audio: NDArray[np.float32], spec: WhisperMelSpec) -> NDArray[np.float64]:
    padded = np.pad(audio.astype(np.float64), spec.n_fft // 2, mode="reflect")
    power = slaney_filterbank(spec) @ _amplitudes(padded, spec)[:, :-1] ** 2
    level = np.log10(np.maximum(power, spec.power_floor))
    if spec.clamp == "global":
        level = np.maximum(level, level.max() - spec.range_log10)
    elif spec.clamp == "running":
        level = np.maximum(level, np.maximum.accumulate(level.max(axis=0)) - spec.range_log10)
    return np.asarray((level + 4.0) / 4.0)


def _amplitudes(padded: NDArray[np.float64], spec: AnyMelSpec) -> NDArray[np.float64]:
    """Return the amplitude spectrum of every window, float64 (n_fft / 2 + 1, columns)."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(spec.n_fft) / spec.n_fft)
    starts = range(0, padded.size - spec.n_fft + 1, spec.hop_samples)
    return np.abs(np.fft.rfft([padded[i : i + spec.n_fft] * window for i in starts])).T
