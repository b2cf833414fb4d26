"""Batches for the Wav2Lip generator: masked frames, a reference from elsewhere, and the sound of each frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.clip_mels import ClipMels
from lipforge.train.clip_windows import consecutive_starts, elsewhere, far_apart, index_windows, sound_is_whole
from lipforge.train.face_clips import FaceClip
from lipforge.train.models.wav2lip_blocks import FRAMES
from lipforge.train.sampler import WHOLE, Sampler, step_generator
from lipforge.train.sync_augment import WHITE
from lipforge.train.task import Batch


class Wav2LipData:
    """Makes batches from clips; a batch depends on the seed and the step only. Several threads may ask at once.

    Args:
        clips: where samples come from.
        mel, fps: recipe of the sound.
        chunk: window of a single frame, for the generator.
        expert_chunk: window of five frames, for the expert.
        size_px: side S of the crops.
        batch_size: samples of a batch.
        seed: of sampling.

    Attributes:
        unused_clips: clips without two windows that are far enough apart.

    Raises:
        InputError: no clip is long enough.
    """

    def __init__(
        self,
        clips: Sequence[FaceClip],
        mel: MelSpec,
        fps: float,
        chunk: MelChunkSpec,
        expert_chunk: MelChunkSpec,
        *,
        size_px: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self._clips, self._mel, self._fps, self._size, self._seed = clips, mel, fps, size_px, seed
        self._chunk, self._expert_chunk = chunk, expert_chunk
        self._starts = [self._usable(clip) for clip in clips]
        self._index = index_windows(clips, self._starts)
        self.unused_clips = sum(not len(starts) for starts in self._starts)
        self._sampler = Sampler(len(self._index), batch_size, seed)
        self._mels = ClipMels(clips, mel)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def windows(self) -> npt.NDArray[np.int64]:
        """Clip and first frame of every window, int64 (K, 2)."""
        return self._index

    def batch(self, step: int, part: slice = WHOLE) -> Batch:
        """Return the training batch of a step (``assemble``), or the part of it that one of several ranks takes."""
        rows = self._sampler.batch(step)
        chances = step_generator(self._seed, step, stream=6).random(len(rows))
        return self._assemble(rows[part], chances[part])

    def assemble(self, rows: npt.NDArray[np.int64], random: np.random.Generator) -> Batch:
        """Return chosen windows.

        Args:
            rows: int64 (B,), windows.
            random: chooses the references.

        Returns:
            ``face`` float32 (B, 6, 5, S, S), true frames with their lower half blanked, then reference frames, and
            ``target`` float32 (B, 3, 5, S, S), true frames, all BGR in [0, 1]; ``mels`` float32 (B, 5, 1, M, columns),
            one window a frame; ``expert_mel`` float32 (B, 1, M, columns), the window of all five.
        """
        return self._assemble(rows, random.random(len(rows)))

    def _assemble(self, rows: npt.NDArray[np.int64], chances: npt.NDArray[np.float64]) -> Batch:
        count, size, bands, half = len(rows), self._size, self._mel.n_mels, self._size // 2
        mels = np.empty((count, FRAMES, 1, bands, self._chunk.columns), np.float32)
        expert_mels = np.empty((count, 1, bands, self._expert_chunk.columns), np.float32)
        face = np.empty((count, 6, FRAMES, size, size), np.float32)
        target = np.empty((count, 3, FRAMES, size, size), np.float32)

        for place, row in enumerate(rows):
            clip, start = (int(value) for value in self._index[row])
            for frame in range(FRAMES):
                self._mels.window(clip, self._first_column(start + frame, self._chunk), mels[place, frame, 0])
            self._mels.window(clip, self._first_column(start, self._expert_chunk), expert_mels[place, 0])
            reference = elsewhere(self._starts[clip], start, float(chances[place]))
            for first, out in ((start, target[place]), (reference, face[place, 3:])):
                pictures = self._clips[clip].read_frames(first, FRAMES, size)
                np.divide(pictures.transpose(1, 0, 2, 3), WHITE, out=out)
            face[place, :3, :, :half] = target[place, :, :, :half]
            face[place, :3, :, half:] = 0.0
        batch = {"face": face, "target": target, "mels": mels, "expert_mel": expert_mels}
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def _first_column(self, frame: int, chunk: MelChunkSpec) -> int:
        return chunk.first_column(frame, self._mel, self._fps)

    def _usable(self, clip: FaceClip) -> npt.NDArray[np.int64]:
        starts = consecutive_starts(clip)
        starts = starts[sound_is_whole(clip, starts, self._mel, self._expert_chunk, self._fps)]
        # The windows of the first and of the last frame are whole, so those between them are.
        for frame in (0, FRAMES - 1):
            starts = starts[sound_is_whole(clip, starts + frame, self._mel, self._chunk, self._fps)]
        return far_apart(starts)
