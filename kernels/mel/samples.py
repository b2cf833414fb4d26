"""Checks of the samples that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel.kernels import first_bad_sample
from lipforge.kernels.mel.recipe import AnyMelSpec, recipe_of


def checked_audio(audio: Any, first_sample: int = 0) -> NDArray[np.float32]:
    """Return audio as the compiled loops need it; copied only if it is strided or misaligned.

    Args:
        audio: the argument to check.
        first_sample: position of ``audio[0]`` in its stream, for the message.

    Raises:
        InputError: it is not a float32 vector of finite values; the message gives the position of the first bad sample.
    """
    if not isinstance(audio, np.ndarray) or audio.dtype != np.float32 or audio.ndim != 1:
        got = f"{audio.dtype.name} {audio.shape}" if isinstance(audio, np.ndarray) else type(audio).__name__
        raise InputError(f"audio must be a float32 array of shape (samples,), mono, in [-1, 1], not {got}.")
    flags = audio.flags
    samples: NDArray[np.float32] = audio if flags.c_contiguous and flags.aligned else audio.copy()
    bad = first_bad_sample(samples)
    if bad >= 0:
        raise InputError(f"audio holds {samples[bad]} at sample {first_sample + bad}; samples must be finite.")
    return samples


def check_length(samples: int, spec: AnyMelSpec) -> None:
    """Check that a whole signal is long enough for its padding.

    Raises:
        InputError: it has no samples, or too few to be reflected.
    """
    if samples == 0:
        raise InputError("audio has no samples; a mel spectrogram needs at least one.")
    if not recipe_of(spec).reflect or samples > spec.n_fft // 2:
        return
    # Whisper's recipe has no other padding.
    other = " or use padding='constant'" if hasattr(spec, "padding") else ""
    raise InputError(
        f"audio has {samples} samples; reflect padding needs more than {spec.n_fft // 2} "
        f"({500 * spec.n_fft / spec.sample_rate_hz:g} ms). Lengthen it with silence{other}."
    )
