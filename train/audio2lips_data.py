"""Batches for the audio network: runs of mel windows with their true lips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import AudioWindowSpec, MelSpec
from lipforge.train.audio_augment import augment_audio
from lipforge.train.clips import Clip
from lipforge.train.config import Audio2LipsDataConfig
from lipforge.train.mel_augment import augment_mel
from lipforge.train.models.audio2lips import PATCH_COLUMNS
from lipforge.train.sampler import Sampler, step_generator
from lipforge.train.task import Batch
from lipforge.train.unspoken_sounds import unspoken_sound

FULL_SCALE = 32768.0
QUIET_CLIPS = 96  # clips in which nobody speaks, drawn from with a random start
QUIET_SECONDS = 4.0
QUIET_DB = (-80.0, -15.0)  # level of such a clip; the first one is digital silence

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

    def run_columns(self, count: int) -> int:
        """Return the width of a run of ``count`` windows."""
        return self._window.columns + (count - 1) * PATCH_COLUMNS

    def frames(self, start: int, count: int) -> npt.NDArray[np.float64]:
        """Return the frames, float64 (count,), at the middle of the columns that a run's windows are for.

        Args:
            start: the run's first column in a prepared mel.
            count: windows in the run.
        """
        columns = start + PATCH_COLUMNS * np.arange(count) + 0.5
        return np.asarray(columns / self._mel.columns_per_second * self._fps)

    def cut(self, prepared: npt.NDArray[np.floating], frame: int) -> npt.NDArray[np.floating]:
        """Return the window (M, C) of a frame."""
        start = self.column(frame)
        return prepared[:, start : start + self._window.columns]


class Audio2LipsData:
    """Makes batches from clips; a batch depends on the seed and the step only.

    Every clip's sound exists in ``augment.versions`` versions, the first untouched. A version is made when it is first
    asked for and kept as float16, 13 kB a second: 3 hours in 3 versions take 420 MB.

    Args:
        clips: where samples come from.
        mel, window, fps: recipe of a window.
        config: augmentation and the share of silence.
        batch_size: runs of windows in a batch.
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
        self._columns = windows.run_columns(config.run_windows)
        self._sampler = Sampler(len(clips), batch_size, seed)
        self._versions: dict[tuple[int, int], npt.NDArray[np.float16]] = {}

    def batch(self, step: int) -> Batch:
        """Return the training batch of a step.

        Returns:
            ``mel`` float32 (B, M, columns of a run) in [-max_abs, max_abs], and ``lips`` float32 (B, K, N, 3) at the
            times of the run's K windows, between frames by interpolation.
        """
        random = step_generator(self._seed, step, stream=1)
        rows = self._sampler.batch(step)
        quiet = random.random(len(rows)) < self._config.silence_share
        mels, lips = [], []
        for row, is_quiet in zip(rows, quiet, strict=True):
            clip = self._clips[int(row)]
            if is_quiet:
                prepared = self._quiet(int(random.integers(QUIET_CLIPS)))
            else:
                prepared = self._version(int(row), int(random.integers(self._config.augment.versions)))
            start = int(random.integers(max(1, prepared.shape[1] - self._columns + 1)))
            mels.append(self._run(prepared, start))
            truth = _lips_at(clip.lips, self._windows.frames(start, self._config.run_windows))
            lips.append(np.zeros_like(truth) if is_quiet else truth)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        runs = torch.from_numpy(np.array(mels, np.float32))
        return {
            "mel": augment_mel(runs, self._mel.max_abs, self._config.mel, generator),
            "lips": torch.from_numpy(np.array(lips, np.float32)),
        }

    def _run(self, prepared: npt.NDArray[np.float16], start: int) -> npt.NDArray[np.float16]:
        """Return a run's columns; silence follows a clip that is shorter."""
        run = prepared[:, start : start + self._columns]
        missing = self._columns - run.shape[1]
        return np.pad(run, ((0, 0), (0, missing)), constant_values=-self._mel.max_abs) if missing else run

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
            sound = unspoken_sound(samples, self._mel.sample_rate_hz, random) * np.float32(level)
            self._versions[key] = self._windows.prepare(np.clip(sound, -1.0, 1.0)).astype(np.float16)
        return self._versions[key]


def _lips_at(lips: npt.NDArray[np.float32], frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return float32 (K, N, 3), lips (T, N, 3) between frames; the last frame stays."""
    place = np.clip(frames, 0, len(lips) - 1)
    before = np.minimum(place.astype(np.int64), len(lips) - 2)
    share = (place - before).astype(np.float32)[:, None, None]
    return np.asarray(lips[before] * (1 - share) + lips[before + 1] * share, np.float32)


def as_float(audio: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Return 16-bit samples as float32 in [-1, 1)."""
    return audio.astype(np.float32) / np.float32(FULL_SCALE)


def whole_clip(clip: Clip, windows: MelWindows) -> Batch:
    """Return all windows of an untouched clip: ``mel`` float32 (T, M, C) and ``lips`` float32 (T, N, 3)."""
    prepared = windows.prepare(as_float(clip.audio))
    mels = np.stack([windows.cut(prepared, frame) for frame in range(len(clip.lips))])
    return {"mel": torch.from_numpy(mels.astype(np.float32)), "lips": torch.from_numpy(clip.lips)}
