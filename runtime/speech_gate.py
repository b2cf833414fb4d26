"""When the lips follow the audio and when the face shows its own mouth: a gate with hysteresis, and a fade."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError

LEVEL_BLOCK_SECONDS = 0.02


@dataclass(frozen=True)
class GateOptions:
    """Which audio counts as speech.

    Attributes:
        open_dbfs: the gate opens when 20 ms of audio are at least this loud (RMS, full scale is 0 dB).
        close_dbfs: it may close when none are this loud; below ``open_dbfs``, so that it does not flutter.
        hold_ms: it closes only after this time of silence: the pauses between words keep the lips.
    """

    open_dbfs: float = -46.0
    close_dbfs: float = -52.0
    hold_ms: float = 240.0


def loudest_dbfs(samples: NDArray[np.float32], sample_rate_hz: int) -> float:
    """Return the RMS of the loudest whole 20 ms, in dB below full scale; a constant offset does not count.

    Args:
        samples: float32 (n, channels) in [-1, 1].
        sample_rate_hz: of the samples.

    Returns:
        -inf for digital silence or less than 20 ms.
    """
    block = max(1, round(LEVEL_BLOCK_SECONDS * sample_rate_hz))
    blocks = samples[: len(samples) // block * block].reshape(-1, block, samples.shape[1])
    if not blocks.size:
        return -inf
    centred = blocks - np.add.reduce(blocks, axis=1, keepdims=True) / np.float32(block)
    power = float(np.einsum("bnc,bnc->bc", centred, centred).max()) / block
    return 10.0 * log10(power) if power > 0 else -inf


class SpeechGate:
    """Open while there is speech; one per stream.

    Args:
        options: thresholds.
        period_ms: of a frame.

    Raises:
        ConfigError: ``close_dbfs`` is above ``open_dbfs``, or ``hold_ms`` below 0.
    """

    def __init__(self, options: GateOptions, period_ms: float) -> None:
        if options.close_dbfs > options.open_dbfs or options.hold_ms < 0:
            raise ConfigError(
                f"a speech gate opens at {options.open_dbfs} dB, closes at {options.close_dbfs} dB after "
                f"{options.hold_ms} ms; it must close at or below where it opens, after 0 ms or more."
            )
        self._options, self._period_ms = options, period_ms
        self._quiet_ms = 0.0
        self.open = False

    def step(self, level_dbfs: float) -> bool:
        """Take the level around the next frame and tell whether it is open."""
        if level_dbfs >= self._options.open_dbfs:
            self.open = True
        if level_dbfs >= self._options.close_dbfs:
            self._quiet_ms = 0.0
        else:
            self._quiet_ms += self._period_ms
            self.open = self.open and self._quiet_ms <= self._options.hold_ms
        return self.open


class MouthFade:
    """How far the lips are moved: rises and falls in equal steps, but a face that is lost is let go at once.

    Args:
        steps: frames from 0 to 1; 1 switches.
    """

    def __init__(self, steps: int) -> None:
        self._steps, self._done = max(1, steps), 0

    def reset(self) -> None:
        """Start at 0 again."""
        self._done = 0

    def step(self, *, speaking: bool, face: bool) -> float:
        """Return the strength of the next frame, in [0, 1]."""
        if not face:
            self._done = 0
        else:
            self._done = min(self._steps, self._done + 1) if speaking else max(0, self._done - 1)
        return self._done / self._steps
