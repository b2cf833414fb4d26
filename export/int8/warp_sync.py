"""Sync of a warp generator: the lips that its audio network asks for, over whole held-out clips of speech.

What follows it moves pixels to where these lips are, and the mouths that it draws are compared picture by picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.mouth import Run
from lipforge.export.int8.samples import HELD_OUT_SHARE, check_fps, mel_window
from lipforge.export.int8.sync import CLIPS, FRAMES, spread
from lipforge.export.int8.warp_samples import FULL_SCALE
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import LipSpec
from lipforge.runtime.evaluate.lip_agreement import best_lag, correlation
from lipforge.runtime.manifest import Manifest
from lipforge.train.clips import load_clips
from lipforge.train.shards import open_dataset

GRAPH = "audio2lips"


@dataclass(frozen=True)
class _Speech:
    """Frames in a row: mel windows, float32 (T, M, C), and the true lips, float32 (T, N, 3)."""

    mels: NDArray[np.float32]
    lips: NDArray[np.float32]


class LipsJudge:
    """Compares lips: their opening with the true one, and in place and time with what float32 says."""

    name = "lips"

    def __init__(self, manifest: Manifest, speech: Sequence[_Speech], own: Mapping[str, Run]) -> None:
        self._spec, self._fps, self._speech, self._own = manifest.lips, manifest.fps, speech, own
        self._before = [self._lips(one, own[GRAPH]) for one in speech]

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return len(self._speech)

    @property
    def frames(self) -> int:
        """How many frames they have."""
        return sum(len(one.mels) for one in self._speech)

    def measure(self, graphs: Mapping[str, Run]) -> dict[str, float]:
        """Return how the lips agree with the truth, and how late and how far they are beside those of float32.

        The correlation is nan where the true lips do not move.
        """
        lips = self._before
        if GRAPH in graphs:
            lips = [self._lips(one, graphs[GRAPH]) for one in self._speech]
        found, before, truth = (
            np.concatenate([opening_of(one, self._spec) for one in many])
            for many in (lips, self._before, [one.lips for one in self._speech])
        )
        apart = np.concatenate(
            [np.linalg.norm((a - b)[..., :2], axis=-1) for a, b in zip(lips, self._before, strict=True)]
        )
        return {
            "aperture_corr": correlation(found, truth),
            "aperture_lag_ms": 1000.0 * best_lag(found, before, self._fps).seconds,
            "landmark_distance": float(apart.mean()) / self._spec.eye_distance,
        }

    def _lips(self, one: _Speech, run: Run) -> NDArray[np.float32]:
        return np.concatenate([run({"mel": mel[None]})["lips"] for mel in one.mels]).astype(np.float32)


def opening_of(lips: NDArray[np.float32], spec: LipSpec) -> NDArray[np.float64]:
    """Return the widest gap between the inner lips, float64 (T,), from displacements float32 (T, N, 3)."""
    half = spec.inner_points // 2
    upper = lips[:, spec.outer_points + 1 : spec.outer_points + half, 1]
    lower = lips[:, : spec.outer_points + half : -1, 1]
    return np.asarray((lower - upper).max(1), np.float64)


def open_lips_judge(manifest: Manifest, root: Path, own: Mapping[str, Run]) -> LipsJudge:
    """Load the held-out clips; see ``sync.open_judge``."""
    dataset = open_dataset(root)
    check_fps(manifest, dataset.fps, root)
    held_out = load_clips(dataset, HELD_OUT_SHARE)[1]
    speech = []
    for number in spread(len(held_out), CLIPS):
        clip = held_out[number]
        spectrogram = log_mel(clip.audio.astype(np.float32) / np.float32(FULL_SCALE), manifest.mel)
        frames = range(min(FRAMES, len(clip.lips)))
        mels = np.concatenate([mel_window(spectrogram, frame, manifest) for frame in frames])
        speech.append(_Speech(mels, clip.lips[: len(mels)]))
    return LipsJudge(manifest, speech, own)
