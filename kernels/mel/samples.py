"""What happens to samples before the FFT: checks, pre-emphasis and the padding at both ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import MelSpec


def check_audio(audio: Any, first_sample: int = 0) -> None:
    """Check that audio is a float32 vector of finite values.

    Args:
        audio: the argument to check.
        first_sample: position of ``audio[0]`` in its stream, for the message.

    Raises:
        InputError: it is not; the message gives the position of the first bad sample.
    """
    if not isinstance(audio, np.ndarray) or audio.dtype != np.float32 or audio.ndim != 1:
        got = f"{audio.dtype.name} {audio.shape}" if isinstance(audio, np.ndarray) else type(audio).__name__
        raise InputError(f"audio must be a float32 array of shape (samples,), mono, in [-1, 1], not {got}.")
    finite = np.isfinite(audio)
    if not finite.all():
        position = int(np.argmin(finite))
        raise InputError(f"audio holds {audio[position]} at sample {first_sample + position}; samples must be finite.")


def check_length(samples: int, spec: MelSpec) -> None:
    """Check that a whole signal is long enough for its padding.

    Raises:
        InputError: it has no samples, or too few to be reflected.
    """
    if samples == 0:
        raise InputError("audio has no samples; a mel spectrogram needs at least one.")
    if spec.padding == "reflect" and samples <= spec.n_fft // 2:
        raise InputError(
            f"audio has {samples} samples; reflect padding needs more than {spec.n_fft // 2} "
            f"({500 * spec.n_fft / spec.sample_rate_hz:g} ms). Lengthen it with silence or use padding='constant'."
        )


def emphasise(audio: NDArray[np.float32], previous: float, spec: MelSpec) -> NDArray[np.float64]:
    """Return ``audio[n] - preemphasis * audio[n - 1]`` as float64 (n,); ``previous`` stands before the first sample."""
    emphasised = audio.astype(np.float64)
    emphasised[1:] -= spec.preemphasis * emphasised[:-1].copy()
    if audio.size:
        emphasised[0] -= spec.preemphasis * previous
    return emphasised


def left_padding(emphasised: NDArray[np.float64], spec: MelSpec) -> NDArray[np.float64]:
    """Return the n_fft / 2 values that stand before the signal, float64; reflection needs n_fft / 2 + 1 samples."""
    half = spec.n_fft // 2
    return emphasised[half:0:-1] if spec.padding == "reflect" else np.zeros(half)


def right_padding(emphasised: NDArray[np.float64], spec: MelSpec) -> NDArray[np.float64]:
    """Return the n_fft / 2 values that stand behind the signal, float64; reflection needs n_fft / 2 + 1 samples."""
    half = spec.n_fft // 2
    return emphasised[-2 : -half - 2 : -1] if spec.padding == "reflect" else np.zeros(half)
