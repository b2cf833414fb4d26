"""Sync of an inpaint generator: its mouths in held-out faces, blended as the runtime blends them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.expert_judge import ADVICE, ExpertJudge, Heard, Scene
from lipforge.export.int8.inpaint_samples import GRAPH
from lipforge.export.int8.mouth import Run
from lipforge.export.int8.samples import HELD_OUT_SHARE, check_fps, mel_window
from lipforge.export.int8.sync import CLIPS, FRAMES, LEAST_FRAMES, spread
from lipforge.kernels.errors import ExportError, InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.evaluate.sync_expert import Expert
from lipforge.runtime.inpaint_generator import BOX_FADE, CROP_FADE, mouth_mask
from lipforge.runtime.manifest import Manifest
from lipforge.train.face_clips import FaceClip, FaceSet, open_face_clips


def open_expert_judge(manifest: Manifest, root: Path, name: str, own: Mapping[str, Run]) -> ExpertJudge:
    """Load the expert and the held-out clips; see ``sync.open_judges``."""
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
    scenes = [_scene(manifest, expert, long_enough[number], own[GRAPH]) for number in spread(len(long_enough), CLIPS)]
    return ExpertJudge(expert, scenes)


def longest_run(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the longest run of consecutive numbers, cut to ``FRAMES``."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) != 1) + 1)
    return max(runs, key=len)[:FRAMES]


def _check_fit(expert: Expert, faces: FaceSet, root: Path) -> None:
    if expert.face_box != faces.face_box:
        raise ExportError(
            f"{root}: its faces are cut out by {faces.face_box}, the expert {expert.manifest.name} was made for "
            f"{expert.face_box or expert.crop}. {ADVICE}"
        )
    if expert.mel != faces.mel or expert.fps != faces.fps:
        raise ExportError(f"{root}: the expert {expert.manifest.name} hears another mel or frame rate. {ADVICE}")


def _scene(manifest: Manifest, expert: Expert, clip: tuple[FaceClip, NDArray[np.int64]], own: Run) -> Scene:
    (source, frames), box = clip, manifest.face_box
    spectrogram = source.read_mel(manifest.mel).astype(np.float32)
    heard = Heard.around(expert, spectrogram, int(frames[0]), len(frames))
    pictures = source.read_frames(int(frames[0]), heard.frames, expert.side_px)
    faces = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    mels = np.concatenate([mel_window(spectrogram, int(frame), manifest) for frame in frames[: heard.frames]])
    share = mouth_mask(expert.side_px, CROP_FADE if box is None else BOX_FADE)[..., None]
    return Scene(partial(_draw, faces, mels, share, own), heard.frames, heard.windows, heard.first)


def _draw(
    faces: NDArray[np.uint8],
    mels: NDArray[np.float32],
    share: NDArray[np.float32],
    own: Run,
    graphs: Mapping[str, Run],
) -> NDArray[np.uint8]:
    run, frames = graphs.get(GRAPH, own), np.empty_like(faces)
    for number, face in enumerate(faces):
        drawn = run({"mel": mels[number][None], "face": face[None], "reference": face[None]})["image"][0]
        frames[number] = face + share * (drawn.astype(np.float32) - face) + 0.5
    return frames
