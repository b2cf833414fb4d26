"""Sync of a warp generator over held-out clips of speech: the lips that it asks for, and the mouths that it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.expert_judge import ADVICE, ExpertJudge, Heard, Scene
from lipforge.export.int8.mouth import Run
from lipforge.export.int8.samples import HELD_OUT_SHARE, check_fps, mel_window
from lipforge.export.int8.still_head import StillHead
from lipforge.export.int8.sync import CLIPS, FRAMES, LEAST_FRAMES, spread
from lipforge.export.int8.warp_samples import FULL_SCALE
from lipforge.kernels.crop import crop_face
from lipforge.kernels.errors import ExportError, InputError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import LipSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.evaluate.lip_agreement import best_lag, correlation
from lipforge.runtime.evaluate.sync_expert import Expert
from lipforge.runtime.manifest import Manifest
from lipforge.train.clips import load_clips
from lipforge.train.pairs import load_pairs
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


def open_warp_judges(
    manifest: Manifest, root: Path, expert: str, own: Mapping[str, Run]
) -> tuple[LipsJudge, ExpertJudge]:
    """Load the expert, the held-out clips and a still head for each of them; see ``sync.open_judges``."""
    dataset = open_dataset(root)
    check_fps(manifest, dataset.fps, root)
    judge = Expert(Bundle.load(expert, option="--expert"))
    to_expert = _to_expert(judge, manifest)
    held_out = [clip for clip in load_clips(dataset, HELD_OUT_SHARE)[1] if len(clip.lips) >= LEAST_FRAMES]
    if not held_out:
        raise InputError(
            f"{root}: no held-out clip has {LEAST_FRAMES} frames, so nobody can judge sync. Give a dataset with longer "
            "clips, or --expert none to do without."
        )
    heads = [StillHead.of(manifest, pairs) for pairs in load_pairs(dataset, HELD_OUT_SHARE)[1].heads]
    stills = [head for head in heads if head is not None]  # usable pairs need some, and ``load_pairs`` checks for them
    speech, scenes = [], []
    for place, number in enumerate(spread(len(held_out), CLIPS)):
        clip = held_out[number]
        spectrogram = log_mel(clip.audio.astype(np.float32) / np.float32(FULL_SCALE), manifest.mel)
        frames = range(min(FRAMES, len(clip.lips)))
        mels = np.concatenate([mel_window(spectrogram, frame, manifest) for frame in frames])
        speech.append(_Speech(mels, clip.lips[: len(mels)]))
        heard = Heard.around(judge, spectrogram, 0, len(mels))
        still = stills[place % len(stills)]
        draw = partial(_draw, still, mels[: heard.frames], to_expert, judge.side_px, own)
        scenes.append(Scene(draw, heard.frames, heard.windows, heard.first))
    return LipsJudge(manifest, speech, own), ExpertJudge(judge, scenes)


def _to_expert(expert: Expert, manifest: Manifest) -> NDArray[np.float64]:
    """Return the transform crop px -> px of the expert's picture, float64 (2, 3).

    Raises:
        ExportError: the crop does not say where the expert's picture is, or it hears something else.
    """
    if expert.mel != manifest.mel or expert.fps != manifest.fps:
        raise ExportError(f"the expert {expert.manifest.name} hears another mel or frame rate. {ADVICE}")
    box = expert.face_box
    if box is None and expert.crop == manifest.crop:
        return np.eye(2, 3)
    if box is None or box.anchor != "alignment" or any(box.pads_px):
        raise ExportError(f"the expert {expert.manifest.name} looks at faces cut out otherwise, by {box}. {ADVICE}")
    left, top, right, bottom = (share * manifest.crop.size_px for share in box.box)
    scale = box.size_px / np.array([right - left, bottom - top])
    return np.column_stack([np.diag(scale), -0.5 - scale * (np.array([left, top]) - 0.5)])


def _draw(
    still: StillHead,
    mels: NDArray[np.float32],
    to_expert: NDArray[np.float64],
    side_px: int,
    own: Mapping[str, Run],
    graphs: Mapping[str, Run],
) -> NDArray[np.uint8]:
    """Draw a still head that says what is heard; what lies above the crop is not looked at."""
    listen, move = (graphs.get(name, own[name]) for name in ("audio2lips", "warp"))
    frames = np.empty((len(mels), side_px, side_px, 3), np.uint8)
    for frame, mel in zip(frames, mels, strict=True):
        lips = listen({"mel": mel[None]})["lips"][0]
        crop_face(still.draw(move, still.neutral + lips[:, :2].astype(np.float32)), to_expert, side_px, frame)
    return frames
