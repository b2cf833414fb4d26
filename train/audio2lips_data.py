"""Batches for the audio network: mel windows of two consecutive frames with their true lips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import AudioWindowSpec, MelSpec
from lipforge.train.audio_augment import augment_audio, coloured_noise
from lipforge.train.clips import Clip
from lipforge.train.config import Audio2LipsDataConfig
from lipforge.train.mel_augment import augment_mel
from lipforge.train.sampler import Sampler, step_generator
from lipforge.train.task import Batch

FULL_SCALE = 32768.0
QUIET_CLIPS = 64  # clips of noise or silence, drawn from with a random start
QUIET_SECONDS = 2.0
QUIET_DB = (-80.0, -20.0)  # level of a noise clip; the first clip is digital silence

Mel = npt.NDArray[np.float32]


class MelWindows:
    """Cuts the window of a video frame out of a clip's mel (``AudioWindowSpec``)."""

    def __init__(self, mel: MelSpec, window: AudioWindowSpec, fps: float) -> None:
        self._mel, self._window, self._fps = mel, window, fps

    def prepare(self, audio: npt.NDArray[np.float32]) -> Mel:
        """Return the mel of a whole clip with silence on both sides: float32 (M, past + columns + look-ahead)."""
        sides = (self._window.past_columns, self._window.lookahead_columns)
        return np.pad(log_mel(audio, self._mel), ((0, 0), sides), constant_values=-self._mel.max_abs)

    def column(self, frame: int) -> int:
        """Return the first column of a frame's window in a prepared mel."""
        # Multiplied before it is divided: i / fps * rate can fall just below a whole number.
        return int(frame * self._mel.columns_per_second // self._fps)

    def cut(self, prepared: npt.NDArray[np.floating], frame: int) -> npt.NDArray[np.floating]:
        """Return the window (M, C) of a frame."""
        start = self.column(frame)
        return prepared[:, start : start + self._window.columns]


class Audio2LipsData:
    """Makes batches from clips; a batch depends on the seed and the step only.

    Every clip's sound exists in ``augment.versions`` versions, the first untouched. A version is made when it is first
    asked for and kept as float16, 13 kB a second: 1 hour in 6 versions takes 280 MB.

    Args:
        clips: where samples come from.
        mel, window, fps: recipe of a window.
        config: augmentation and the share of silence.
        batch_size: pairs of frames in a batch.
        seed: of sampling and augmentation.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        windows: MelWindows,
        mel: MelSpec,
        config: Audio2LipsDataConfig,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self._clips, self._windows, self._mel, self._config, self._seed = clips, windows, mel, config, seed
        counts = [len(clip.lips) - 1 for clip in clips]
        self._index = np.stack(
            [np.repeat(np.arange(len(clips)), counts), np.concatenate([np.arange(count) for count in counts])], 1
        )
        self._sampler = Sampler(len(self._index), batch_size, seed)
        self._versions: dict[tuple[int, int], npt.NDArray[np.float16]] = {}

    def batch(self, step: int) -> Batch:
        """Return the training batch of a step.

        Returns:
            ``mel`` float32 (B, 2, M, C) in [-max_abs, max_abs] and ``lips`` float32 (B, 2, N, 3): frames t and t + 1.
        """
        random = step_generator(self._seed, step, stream=1)
        rows = self._sampler.batch(step)
        quiet = random.random(len(rows)) < self._config.silence_share
        mels, lips = [], []
        for row, is_quiet in zip(rows, quiet, strict=True):
            clip, frame = self._index[row]
            truth = self._clips[clip].lips[frame : frame + 2]
            if is_quiet:
                prepared, truth = self._quiet(int(random.integers(QUIET_CLIPS))), np.zeros_like(truth)
                frame = int(random.integers(self._quiet_frames()))
            else:
                prepared = self._version(int(clip), int(random.integers(self._config.augment.versions)))
            mels.append([self._windows.cut(prepared, frame + k) for k in range(2)])
            lips.append(truth)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        windows = torch.from_numpy(np.array(mels, np.float32))
        return {
            "mel": augment_mel(windows, self._mel.max_abs, self._config.mel, generator),
            "lips": torch.from_numpy(np.array(lips, np.float32)),
        }

    def _version(self, clip: int, version: int) -> npt.NDArray[np.float16]:
        key = (clip, version)
        if key not in self._versions:
            audio = as_float(self._clips[clip].audio)
            if version:
                random = np.random.default_rng([self._seed, 2, clip, version])
                audio = augment_audio(audio, self._mel.sample_rate_hz, self._config.augment, random)
            self._versions[key] = self._windows.prepare(audio).astype(np.float16)
        return self._versions[key]

    def _quiet(self, number: int) -> npt.NDArray[np.float16]:
        key = (-1, number)
        if key not in self._versions:
            random = np.random.default_rng([self._seed, 3, number])
            samples = int(QUIET_SECONDS * self._mel.sample_rate_hz)
            level = 10.0 ** (random.uniform(*QUIET_DB) / 20.0) if number else 0.0
            noise = np.clip(coloured_noise(samples, random) * np.float32(level), -1.0, 1.0)
            self._versions[key] = self._windows.prepare(noise).astype(np.float16)
        return self._versions[key]

    def _quiet_frames(self) -> int:
        """Number of first frames of a pair in a quiet clip whose windows lie inside it."""
        frame = 0
        last_column = int(QUIET_SECONDS * self._mel.columns_per_second)
        while self._windows.column(frame + 2) < last_column:
            frame += 1
        return frame + 1


def as_float(audio: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Return 16-bit samples as float32 in [-1, 1)."""
    return audio.astype(np.float32) / np.float32(FULL_SCALE)


def whole_clip(clip: Clip, windows: MelWindows) -> Batch:
    """Return all windows of an untouched clip: ``mel`` float32 (T, M, C) and ``lips`` float32 (T, N, 3)."""
    prepared = windows.prepare(as_float(clip.audio))
    mels = np.stack([windows.cut(prepared, frame) for frame in range(len(clip.lips))])
    return {"mel": torch.from_numpy(mels.astype(np.float32)), "lips": torch.from_numpy(clip.lips)}
