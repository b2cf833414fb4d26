"""How much effort speech is spoken with at each moment: who speaks louder opens the mouth wider."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EFFORT_RATE_HZ = 200
_WINDOW_S = 0.12  # about half a syllable
_OPENING_PER_DB = 0.02  # powers of ten: 10 dB louder opens 1.6 times as wide
_LEAST, _MOST = 0.55, 1.25
_LOUD_SHARE = 0.9  # the level that counts as usual effort: this share of the clip is quieter


def speaking_effort(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Return a factor for the opening of the mouth, about 1 at the clip's loud syllables.

    Args:
        samples: float32 (n,), clean speech in [-1, 1].
        sample_rate_hz: a multiple of EFFORT_RATE_HZ.

    Returns:
        float64 (n * EFFORT_RATE_HZ / sample_rate_hz, rounded up), smooth over a syllable.
    """
    step = sample_rate_hz // EFFORT_RATE_HZ
    blocks = np.pad(samples.astype(np.float64), (0, -len(samples) % step)).reshape(-1, step)
    power = np.square(blocks).mean(1)
    window = np.hanning(int(_WINDOW_S * EFFORT_RATE_HZ) + 2)[1:-1]
    level_db = 10.0 * np.log10(np.convolve(power, window / window.sum(), "same") + 1e-9)
    usual_db = np.quantile(level_db, _LOUD_SHARE)
    return np.clip(10.0 ** (_OPENING_PER_DB * (level_db - usual_db)), _LEAST, _MOST)
