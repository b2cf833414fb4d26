"""Log-mel spectrograms of the Wav2Lip and the Whisper recipe, of whole signals and of streams."""

from __future__ import annotations

from lipforge.kernels.mel.offline import log_mel
from lipforge.kernels.mel.stream import MelState, MelStream, samples_needed

VALUES_VERSION = 1
"""Raised whenever the kernels give a recipe other values beyond rounding; spectrograms kept on disk are then stale."""

__all__ = ["VALUES_VERSION", "MelState", "MelStream", "log_mel", "samples_needed"]
