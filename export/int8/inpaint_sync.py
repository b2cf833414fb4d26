"""A sync expert's opinion of an inpaint generator: its mouths in held-out faces, blended as the runtime blends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.inpaint_samples import GRAPH
from lipforge.export.int8.mouth import Run
from lipforge.export.int8.samples import HELD_OUT_SHARE, check_fps, mel_window
from lipforge.export.int8.sync import CLIPS, FRAMES, spread
from lipforge.kernels.errors import ExportError, InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.engine import Arrays
from lipforge.runtime.evaluate.sync_expert import (
    BATCH,
    LONGEST_SHIFT_FRAMES,
    WINDOW_FRAMES,
    Embedded,
    Expert,
    judge_together,
)
from lipforge.runtime.inpaint_generator import BOX_FADE, CROP_FADE, mouth_mask
from lipforge.runtime.manifest import Manifest
from lipforge.train.face_clips import FaceClip, FaceSet, open_face_clips

LEAST_FRAMES = 10
"""In a row: a clip of fewer offers no shifts worth a look."""


@dataclass(frozen=True)
class _Scene:
    """Frames in a row.

    Attributes:
        faces: uint8 (T, S, S, 3), BGR.
        mels: float32 (T, M, C), what the generator hears.
        heard: float32 (n, M, columns), what the expert hears, as far around the frames as it looks.
        first: which of ``heard`` starts with the first frame.
    """

    faces: NDArray[np.uint8]
    mels: NDArray[np.float32]
    heard: NDArray[np.float32]
    first: int


class ExpertJudge:
    """Asks a sync expert."""

    def __init__(self, manifest: Manifest, expert: Expert, scenes: Sequence[_Scene], own: Mapping[str, Run]) -> None:
        self._expert, self._scenes, self._own = expert, scenes, own
        box = manifest.face_box
        size = manifest.crop.size_px if box is None else box.size_px
        self._share = mouth_mask(size, CROP_FADE if box is None else BOX_FADE)[..., None]
        self._sounds = [self._hear(scene) for scene in scenes]

    @property
    def name(self) -> str:
        """The expert's."""
        return self._expert.manifest.name

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return len(self._scenes)

    @property
    def frames(self) -> int:
        """How many frames they have."""
        return sum(len(scene.faces) for scene in self._scenes)

    def measure(self, graphs: Mapping[str, Run]) -> dict[str, float]:
        """Return distance, confidence and offset over all clips."""
        run = graphs.get(GRAPH, self._own[GRAPH])
        verdict = judge_together(
            [
                Embedded(
                    self._starts(scene) + scene.first,
                    self._see(scene, self._drawn(scene, run)),
                    sounds,
                    self._expert.fps,
                )
                for scene, sounds in zip(self._scenes, self._sounds, strict=True)
            ]
        )
        return {"lse_d": verdict.distance, "lse_c": verdict.confidence, "offset_ms": verdict.offset_ms}

    def _drawn(self, scene: _Scene, run: Run) -> NDArray[np.uint8]:
        frames = np.empty_like(scene.faces)
        for number in range(len(frames)):
            face = scene.faces[number : number + 1]
            feed: Arrays = {"mel": scene.mels[number : number + 1], "face": face, "reference": face}
            drawn = run(feed)["image"][0].astype(np.float32)
            frames[number] = face[0] + self._share * (drawn - face[0]) + 0.5
        return frames

    def _starts(self, scene: _Scene) -> NDArray[np.int64]:
        return np.arange(len(scene.faces) - WINDOW_FRAMES + 1)

    def _see(self, scene: _Scene, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embeddings of all windows of five frames."""
        starts, mouths = self._starts(scene), []
        for first in range(0, len(starts), BATCH):
            some = starts[first : first + BATCH]
            windows = np.stack([frames[start : start + WINDOW_FRAMES] for start in some])
            mouths.append(self._expert.embed(scene.heard[scene.first + some], windows)[1])
        return np.concatenate(mouths)

    def _hear(self, scene: _Scene) -> NDArray[np.float32]:
        """Return the embeddings of all sounds; they do not depend on who draws."""
        sounds = []
        for first in range(0, len(scene.heard), BATCH):
            heard = scene.heard[first : first + BATCH]
            nobody = np.zeros((len(heard), WINDOW_FRAMES, *scene.faces.shape[1:]), np.uint8)
            sounds.append(self._expert.embed(heard, nobody)[0])
        return np.concatenate(sounds)


def open_expert_judge(manifest: Manifest, root: Path, name: str, own: Mapping[str, Run]) -> ExpertJudge:
    """Load the expert and the held-out clips; see ``sync.open_judge``."""
    faces = open_face_clips(root, validation_share=HELD_OUT_SHARE)
    check_fps(manifest, faces.fps, root)
    expert = Expert(Bundle.load(name, option="--expert"))
    _check_fit(expert, faces, root)
    long_enough = [(clip, run) for clip in faces.held_out if len(run := longest_run(clip.frames)) >= LEAST_FRAMES]
    if not long_enough:
        raise InputError(
            f"{root}: no held-out clip has {LEAST_FRAMES} frames in a row, so nobody can judge sync. Give a dataset "
            "with longer clips, or --expert none to do without."
        )
    scenes = [_scene(manifest, expert, *long_enough[number]) for number in spread(len(long_enough), CLIPS)]
    return ExpertJudge(manifest, expert, scenes, own)


def longest_run(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the longest run of consecutive numbers, cut to ``FRAMES``."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) != 1) + 1)
    return max(runs, key=len)[:FRAMES]


def _check_fit(expert: Expert, faces: FaceSet, root: Path) -> None:
    advice = "Give the expert that the generator was trained under with --expert, or --expert none to do without."
    if expert.face_box != faces.face_box:
        raise ExportError(
            f"{root}: its faces are cut out by {faces.face_box}, the expert {expert.manifest.name} was made for "
            f"{expert.face_box or expert.crop}. {advice}"
        )
    if expert.mel != faces.mel or expert.fps != faces.fps:
        raise ExportError(f"{root}: the expert {expert.manifest.name} hears another mel or frame rate. {advice}")


def _scene(manifest: Manifest, expert: Expert, clip: FaceClip, frames: NDArray[np.int64]) -> _Scene:
    first, size = int(frames[0]), expert.side_px
    spectrogram = clip.read_mel(manifest.mel)
    faces = np.ascontiguousarray(clip.read_frames(first, len(frames), size).transpose(0, 2, 3, 1))
    mels = np.concatenate([mel_window(spectrogram, int(frame), manifest) for frame in frames])
    heard = expert.windows_of(spectrogram.astype(np.float32))
    count = min(len(frames), len(heard) - first + WINDOW_FRAMES - 1)
    start, end = max(0, first - LONGEST_SHIFT_FRAMES), first + count + LONGEST_SHIFT_FRAMES
    return _Scene(faces[:count], mels[:count], heard[start:end], first - start)
