"""Clips for the Wav2Lip trainers from the published layout: folders of ``<frame>.jpg`` with an ``audio.wav``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import MelSpec
from lipforge.preprocess.published_layout import SOUND, FrameFolder, decode_sound, open_published_layout
from lipforge.train.face_clips import FaceSet
from lipforge.train.mel_cache import kept_mel


@dataclass(frozen=True)
class FolderClip(FrameFolder):
    """A clip of the published layout whose spectrogram is kept (``train/mel_cache.py``)."""

    @property
    def name(self) -> str:
        """Its folder."""
        return str(self.folder)

    def read_mel(self, mel: MelSpec) -> npt.NDArray[np.float16]:
        """Return the whole mel spectrogram, float16 (M, C); columns of silence stand where the sound is missing.

        Raises:
            InputError: the sound is damaged.
        """
        sound = self.sound_file()
        return kept_mel(self.folder, sound, mel, lambda: decode_sound(self.folder / SOUND, sound, mel.sample_rate_hz))


def open_frame_folders(root: Path, filelists: Path | None = None) -> FaceSet:
    """Read the lists and look at every clip they name; unusable ones are counted, not fatal.

    Args:
        root: folder above the clips.
        filelists: folder of the two lists; by default ``ROOT/filelists``.

    Raises:
        InputError: no such folder or lists, or no usable clip on one side.
    """
    layout = open_published_layout(root, filelists)
    training, held_out = (
        tuple(FolderClip(clip.folder, clip.frames, clip.seconds) for clip in layout.clips[split])
        for split in ("train", "val")
    )
    return FaceSet(root, training, held_out, layout.skipped, layout.fingerprint)
