"""Log-mel spectrograms of the Wav2Lip and the Whisper recipe, of whole signals and of streams."""

from __future__ import annotations

from lipforge.kernels.mel.offline import log_mel
from lipforge.kernels.mel.stream import MelState, MelStream, samples_needed

__all__ = ["MelState", "MelStream", "log_mel", "samples_needed"]
