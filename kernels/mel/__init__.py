"""Log-mel spectrograms of the Wav2Lip recipe, of whole signals and of streams."""

from __future__ import annotations

from .offline import log_mel
from .stream import MelState, MelStream, samples_needed

__all__ = ["MelState", "MelStream", "log_mel", "samples_needed"]
