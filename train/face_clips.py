"""Face clips with sound, wherever they come from: what the trainers of the Wav2Lip family learn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import FaceBoxSpec, MelSpec

FPS = 25.0
DETECTED_BOX = FaceBoxSpec(pads_px=(0, 0, 0, 0))
"""How the published preprocessing cuts faces out: as the detector has them."""


class FaceClip(Protocol):
    """One clip at 25 frames a second."""

    @property
    def name(self) -> str:
        """Where it is, for messages."""

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """Numbers of the frames that there are, int64 (T,), ascending; a frame without a face leaves a gap."""

    @property
    def seconds(self) -> float:
        """Length of the sound."""

    def read_frames(self, first: int, count: int, size_px: int) -> npt.NDArray[np.uint8]:
        """Return consecutive crops, uint8 (count, 3, S, S) BGR, perhaps a view that must not be written to.

        Raises:
            InputError: a picture is missing or damaged.
        """

    def read_mel(self, mel: MelSpec) -> npt.NDArray[np.float16]:
        """Return the whole mel spectrogram, float16 (M, C): 13 kB a second.

        Raises:
            InputError: the sound is damaged.
        """


@dataclass(frozen=True)
class FaceSet:
    """Clips for training and held-out ones.

    Attributes:
        root: folder that they come from.
        skipped: how many clips were left out, by reason.
        fingerprint: changes when the lists or the shards change.
        notes: what the user should know, one line each.
        face_box: how the faces were cut out.
    """

    root: Path
    training: tuple[FaceClip, ...]
    held_out: tuple[FaceClip, ...]
    skipped: dict[str, int]
    fingerprint: str
    fps: float = FPS
    mel: MelSpec = field(default_factory=MelSpec)
    notes: tuple[str, ...] = ()
    face_box: FaceBoxSpec = DETECTED_BOX

    @property
    def samples(self) -> int:
        """Number of usable clips."""
        return len(self.training) + len(self.held_out)


def open_face_clips(root: Path, filelists: Path | None = None, validation_share: float = 0.1) -> FaceSet:
    """Open packed shards, if the folder has a ``dataset.json``, or the published layout.

    Args:
        root: the folder.
        filelists: folder of the published layout's lists; by default ``ROOT/filelists``.
        validation_share: share of the clips that is held out, where shards do not say which.

    Raises:
        InputError: it is neither, or has no usable clips on one side.
    """
    from lipforge.train.face_shards import open_face_shards
    from lipforge.train.frame_folders import open_frame_folders

    if (root / "dataset.json").is_file():
        return open_face_shards(root, validation_share)
    return open_frame_folders(root, filelists)
