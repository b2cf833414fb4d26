"""Batches for the sync expert: five frames of a mouth, and sound that belongs to them or does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.clip_mels import ClipMels
from lipforge.train.clip_windows import LEAST_GAP_FRAMES, elsewhere, index_windows, usable_starts
from lipforge.train.face_clips import FaceClip
from lipforge.train.models.wav2lip_blocks import FRAMES
from lipforge.train.sampler import WHOLE, Sampler, step_generator
from lipforge.train.sync_augment import NO_CHANGES, WHITE, augmented_mel, augmented_mouths
from lipforge.train.task import Batch
from lipforge.train.wav2lip_config import SyncAugmentConfig

SIZE_PX = 96


class SyncData:
    """Makes batches from clips; a batch depends on the seed and the step only. Several threads may ask at once.

    Every window of five consecutive frames is a sample. As published, in half of the samples the frames come from
    another place in the same clip than the sound, ``LEAST_GAP_FRAMES`` or more away. With several windows a clip all
    samples match, and the trainer compares each sound with all mouths of its clip (``mismatches``): from the same
    work it learns from many more mismatches.

    Args:
        clips: where samples come from.
        mel, chunk, fps: recipe of a mel window.
        batch_size: samples of a batch.
        seed: of sampling.
        windows_a_clip: windows that a clip gives to a batch at a time.
        augment: random changes of the windows of ``batch``.

    Attributes:
        unused_clips: clips without two windows that are far enough apart.

    Raises:
        InputError: no clip is long enough.
        ConfigError: the batch is no multiple of ``windows_a_clip``.
    """

    def __init__(
        self,
        clips: Sequence[FaceClip],
        mel: MelSpec,
        chunk: MelChunkSpec,
        fps: float,
        *,
        batch_size: int,
        seed: int,
        windows_a_clip: int = 1,
        augment: SyncAugmentConfig | None = None,
    ) -> None:
        if windows_a_clip < 1 or batch_size % windows_a_clip:
            raise ConfigError(f"data.windows_a_clip={windows_a_clip}; loop.batch_size={batch_size} must be a multiple.")
        self._clips, self._mel, self._chunk, self._fps, self._seed = clips, mel, chunk, fps, seed
        self._starts = [usable_starts(clip, mel, chunk, fps) for clip in clips]
        self._index = index_windows(clips, self._starts)
        self.unused_clips = sum(not len(starts) for starts in self._starts)
        self._windows_a_clip = windows_a_clip
        self._augment = None if augment == NO_CHANGES else augment
        self._sampler = Sampler(len(self._index), batch_size // windows_a_clip, seed)
        self._mels = ClipMels(clips, mel)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def windows(self) -> npt.NDArray[np.int64]:
        """Clip and first frame of every window, int64 (K, 2)."""
        return self._index

    def batch(self, step: int, part: slice = WHOLE) -> Batch:
        """Return the training batch of a step (``assemble``), or the part of it that one of several ranks takes."""
        rows, random = self._sampler.batch(step), step_generator(self._seed, step, stream=4)
        if self._windows_a_clip > 1:
            rows = self._with_companions(rows, random)
            matching, chances = np.zeros((2, len(rows)))
        else:
            matching, chances = random.random((2, len(rows)))
        batch = self._assemble(rows[part], matching[part] < 0.5, chances[part], self._changes(step, len(rows))[part])
        return batch | ({"window": torch.from_numpy(self._index[rows[part]])} if self._windows_a_clip > 1 else {})

    def assemble(
        self, rows: npt.NDArray[np.int64], matching: npt.NDArray[np.bool_], random: np.random.Generator
    ) -> Batch:
        """Return chosen windows.

        Args:
            rows: int64 (B,), windows; the sound is theirs.
            matching: bool (B,), whether the frames are theirs too.
            random: chooses other frames.

        Returns:
            ``mel`` float32 (B, 1, M, columns); ``frames`` float32 (B, 15, 48, 96), lower halves frame after frame, BGR
            in [0, 1]; ``matching`` float32 (B,), 0 or 1. Training batches of several windows a clip also have
            ``window`` int64 (B, 2), clip and first frame.
        """
        return self._assemble(rows, matching, random.random(len(rows)), [None] * len(rows))

    def _changes(self, step: int, rows: int) -> list[np.random.Generator | None]:
        """Return where the changes of each row come from; a row's do not depend on the others."""
        if self._augment is None:
            return [None] * rows
        return [np.random.default_rng([self._seed, 8, step, row]) for row in range(rows)]

    def _with_companions(self, rows: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return each window and others of its clip behind it."""
        clips = self._index[rows, 0]
        counts = np.array([len(self._starts[clip]) for clip in clips])
        first = np.searchsorted(self._index[:, 0], clips)
        others = first[:, None] + random.random((len(rows), self._windows_a_clip - 1)) * counts[:, None]
        return np.concatenate([rows[:, None], others.astype(np.int64)], 1).ravel()

    def _assemble(
        self,
        rows: npt.NDArray[np.int64],
        matching: npt.NDArray[np.bool_],
        chances: npt.NDArray[np.float64],
        changes: Sequence[np.random.Generator | None],
    ) -> Batch:
        mels = np.empty((len(rows), 1, self._mel.n_mels, self._chunk.columns), np.float32)
        frames = np.empty((len(rows), FRAMES, 3, SIZE_PX // 2, SIZE_PX), np.float32)

        for place, row in enumerate(rows):
            clip, start = (int(value) for value in self._index[row])
            column = self._chunk.first_column(start, self._mel, self._fps)
            self._mels.window(clip, column, mels[place, 0])
            shown = start if matching[place] else elsewhere(self._starts[clip], start, float(chances[place]))
            pictures = self._clips[clip].read_frames(shown, FRAMES, SIZE_PX)
            random = changes[place]
            if self._augment is None or random is None:
                np.divide(pictures[:, :, SIZE_PX // 2 :], WHITE, out=frames[place])
            else:
                frames[place] = augmented_mouths(pictures, self._augment, random)
                mels[place, 0] = augmented_mel(mels[place, 0], self._mel.max_abs, self._augment, random)
        return {
            "mel": torch.from_numpy(mels),
            "frames": torch.from_numpy(frames.reshape(len(rows), FRAMES * 3, SIZE_PX // 2, SIZE_PX)),
            "matching": torch.from_numpy(matching.astype(np.float32)),
        }


def mismatches(windows: Tensor) -> Tensor:
    """Return which sounds (rows) and mouths (columns) are of one clip and do not belong together, bool (B, B).

    Args:
        windows: int64 (B, 2), clip and first frame.
    """
    clip, start = windows.T
    found: Tensor = (clip[:, None] == clip) & ((start[:, None] - start).abs() >= LEAST_GAP_FRAMES)
    return found
