"""Mel of a whole signal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.columns import finished_columns
from lipforge.kernels.mel.plan import check_spec
from lipforge.kernels.mel.samples import check_audio, check_length, emphasise, left_padding, right_padding
from lipforge.kernels.spec import MelSpec


def log_mel(audio: NDArray[np.float32], spec: MelSpec) -> NDArray[np.float32]:
    """Return the log-mel spectrogram of a whole signal.

    Column k is centred on sample ``k * hop_samples``. Internally float64, as the published Wav2Lip code runs.

    Args:
        audio: float32 (n,), mono, in [-1, 1], at ``spec.sample_rate_hz``.
        spec: the recipe.

    Returns:
        float32 (n_mels, 1 + n // hop_samples), in [-max_abs, max_abs]; silence is -max_abs.

    Raises:
        InputError: audio is not a finite float32 vector, is empty, or with reflect padding has no more than
            n_fft / 2 samples.
        ConfigError: the recipe is not usable.
    """
    check_spec(spec)
    check_audio(audio)
    check_length(audio.size, spec)
    signal = emphasise(audio, 0.0, spec)
    padded = np.concatenate([left_padding(signal, spec), signal, right_padding(signal, spec)])
    return finished_columns(padded, 1 + audio.size // spec.hop_samples, spec)
