"""Batches for the sync expert: five frames of a mouth, and sound that belongs to them or does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.frame_folders import FaceClip
from lipforge.train.models.wav2lip_blocks import FRAMES
from lipforge.train.sampler import Sampler, step_generator
from lipforge.train.task import Batch

LEAST_GAP_FRAMES = 2  # a window one frame beside the true one is no mistake that the expert should be taught to see
SIZE_PX = 96


class ClipMels:
    """Mel spectrograms of clips, made when first asked for and kept as float16: 13 kB a second."""

    def __init__(self, clips: Sequence[FaceClip], mel: MelSpec) -> None:
        self._clips, self._mel = clips, mel
        self._made: dict[int, npt.NDArray[np.float16]] = {}

    def window(self, clip: int, first_column: int, columns: int) -> npt.NDArray[np.float32]:
        """Return float32 (M, columns); what lies outside of the sound is silence."""
        if clip not in self._made:
            audio = self._clips[clip].read_sound(self._mel.sample_rate_hz)
            self._made[clip] = log_mel(audio, self._mel).astype(np.float16)
        whole = self._made[clip]
        out = np.full((len(whole), columns), -self._mel.max_abs, np.float32)
        first, last = max(0, first_column), min(whole.shape[1], first_column + columns)
        if first < last:
            out[:, first - first_column : last - first_column] = whole[:, first:last]
        return out


class SyncData:
    """Makes batches from clips; a batch depends on the seed and the step only.

    Every window of five consecutive frames is a sample. In half of the samples the frames come from another place in
    the same clip than the sound, ``LEAST_GAP_FRAMES`` or more away.

    Args:
        clips: where samples come from.
        mel, chunk, fps: recipe of a mel window.
        batch_size: samples of a batch.
        seed: of sampling.

    Attributes:
        unused_clips: clips without two windows that are far enough apart.

    Raises:
        InputError: no clip is long enough.
    """

    def __init__(
        self, clips: Sequence[FaceClip], mel: MelSpec, chunk: MelChunkSpec, fps: float, *, batch_size: int, seed: int
    ) -> None:
        self._clips, self._mel, self._chunk, self._fps, self._seed = clips, mel, chunk, fps, seed
        self._starts = [usable_starts(clip, mel, chunk, fps) for clip in clips]
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
        random = step_generator(self._seed, step, stream=4)
        rows = self._sampler.batch(step)
        return self.assemble(rows, random.random(len(rows)) < 0.5, random)

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
            in [0, 1]; ``matching`` float32 (B,), 0 or 1.
        """
        mels, frames = [], []
        for row, is_match in zip(rows, matching, strict=True):
            clip, start = (int(value) for value in self._index[row])
            column = self._chunk.first_column(start, self._mel, self._fps)
            mels.append(self._mels.window(clip, column, self._chunk.columns))
            shown = start if is_match else elsewhere(self._starts[clip], start, random)
            pictures = self._clips[clip].read_frames(shown, FRAMES, SIZE_PX)
            half = pictures[:, SIZE_PX // 2 :]
            frames.append(half.transpose(0, 3, 1, 2).reshape(-1, *half.shape[1:3]))
        return {
            "mel": torch.from_numpy(np.stack(mels)[:, None]),
            "frames": torch.from_numpy(np.stack(frames)).float() / 255.0,
            "matching": torch.from_numpy(matching.astype(np.float32)),
        }


def index_windows(clips: Sequence[FaceClip], starts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return all windows as rows (clip, first frame), int64 (K, 2).

    Raises:
        InputError: there are none.
    """
    counts = [len(of_clip) for of_clip in starts]
    if not sum(counts):
        raise InputError(
            f"{clips[0].folder.parent}: none of {len(clips)} clips has two windows of {FRAMES} consecutive frames "
            "with sound; were the faces found, and is the sound as long as the pictures?"
        )
    return np.stack([np.repeat(np.arange(len(clips)), counts), np.concatenate(starts)], 1)


def usable_starts(clip: FaceClip, mel: MelSpec, chunk: MelChunkSpec, fps: float) -> npt.NDArray[np.int64]:
    """Return the first frames of all windows of five consecutive frames whose sound is whole (``far_apart``)."""
    starts = consecutive_starts(clip)
    return far_apart(starts[sound_is_whole(clip, starts, mel, chunk, fps)])


def consecutive_starts(clip: FaceClip) -> npt.NDArray[np.int64]:
    """Return the first frames of all windows of five consecutive frames, int64 (K,)."""
    frames = clip.frames
    if len(frames) < FRAMES:
        return np.zeros(0, np.int64)
    first = frames[: len(frames) - FRAMES + 1]
    starts: npt.NDArray[np.int64] = first[frames[FRAMES - 1 :] - first == FRAMES - 1]
    return starts


def sound_is_whole(
    clip: FaceClip, frames: npt.NDArray[np.int64], mel: MelSpec, chunk: MelChunkSpec, fps: float
) -> npt.NDArray[np.bool_]:
    """Return which frames' mel windows lie inside the sound, bool (K,)."""
    # One column fewer than there should be: resampling may round the sound's length down.
    columns = int(clip.seconds * mel.sample_rate_hz) // mel.hop_samples
    first = np.array([chunk.first_column(int(frame), mel, fps) for frame in frames], np.int64)
    return (first >= 0) & (first + chunk.columns <= columns)


def far_apart(starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the windows that have another one ``LEAST_GAP_FRAMES`` away; ascending.

    A clip without a mismatch would teach that everything is in sync.
    """
    if not len(starts):
        return starts
    apart = np.maximum(starts - starts[0], starts[-1] - starts) >= LEAST_GAP_FRAMES
    usable: npt.NDArray[np.int64] = starts[apart]
    return usable


def elsewhere(starts: npt.NDArray[np.int64], start: int, random: np.random.Generator) -> int:
    """Draw another window of a clip, ``LEAST_GAP_FRAMES`` away or more."""
    return int(random.choice(starts[np.abs(starts - start) >= LEAST_GAP_FRAMES]))
