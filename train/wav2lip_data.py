"""Batches for the Wav2Lip generator: masked frames, a reference from elsewhere, and the sound of each frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.frame_folders import FaceClip
from lipforge.train.models.wav2lip_blocks import FRAMES
from lipforge.train.sampler import Sampler, step_generator
from lipforge.train.sync_data import (
    ClipMels,
    consecutive_starts,
    elsewhere,
    far_apart,
    index_windows,
    sound_is_whole,
)
from lipforge.train.task import Batch


class Wav2LipData:
    """Makes batches from clips; a batch depends on the seed and the step only.

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

    def batch(self, step: int) -> Batch:
        """Return the training batch of a step (``assemble``)."""
        return self.assemble(self._sampler.batch(step), step_generator(self._seed, step, stream=6))

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
        mels, expert_mels, pictures = [], [], np.empty((2, len(rows), FRAMES, self._size, self._size, 3), np.uint8)
        for place, row in enumerate(rows):
            clip, start = (int(value) for value in self._index[row])
            mels.append(np.stack([self._window(clip, start + k, self._chunk) for k in range(FRAMES)]))
            expert_mels.append(self._window(clip, start, self._expert_chunk))
            reference = elsewhere(self._starts[clip], start, random)
            for side, first in enumerate((start, reference)):
                pictures[side, place] = self._clips[clip].read_frames(first, FRAMES, self._size)
        frames = torch.from_numpy(pictures).permute(0, 1, 5, 2, 3, 4).float() / 255.0
        masked = frames[0].clone()
        masked[..., self._size // 2 :, :] = 0.0
        return {
            "face": torch.cat([masked, frames[1]], 1),
            "target": frames[0].contiguous(),
            "mels": torch.from_numpy(np.stack(mels)[:, :, None]),
            "expert_mel": torch.from_numpy(np.stack(expert_mels)[:, None]),
        }

    def _window(self, clip: int, frame: int, chunk: MelChunkSpec) -> npt.NDArray[np.float32]:
        return self._mels.window(clip, chunk.first_column(frame, self._mel, self._fps), chunk.columns)

    def _usable(self, clip: FaceClip) -> npt.NDArray[np.int64]:
        starts = consecutive_starts(clip)
        # The windows of the first and of the last frame are whole, so those between them are.
        whole = sound_is_whole(clip, starts, self._mel, self._expert_chunk, self._fps)
        for frame in (0, FRAMES - 1):
            whole &= sound_is_whole(clip, starts + frame, self._mel, self._chunk, self._fps)
        return far_apart(starts[whole])
