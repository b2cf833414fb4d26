"""Samples of an inpaint bundle: faces of clips with their own sound, fed as the runtime feeds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lipforge.export.int8.mouth import Mouth, MouthSamples, Run
from lipforge.export.int8.samples import HELD_OUT_SHARE, SEED, check_fps, mel_window
from lipforge.kernels.errors import InputError
from lipforge.runtime.engine import Arrays
from lipforge.runtime.inpaint_generator import BOX_FADE, CROP_FADE, mouth_mask
from lipforge.runtime.manifest import Manifest
from lipforge.train.face_clips import FaceClip, open_face_clips

GRAPH = "wav2lip"


class InpaintSamples:
    """Frames of an inpaint generator. A pixel counts as much as the runtime lets the drawn one replace the frame's."""

    def __init__(self, manifest: Manifest, feeds: Sequence[Arrays], own: Mapping[str, Run]) -> None:
        self._feeds, self._own = list(feeds), own
        box = manifest.face_box
        size = manifest.crop.size_px if box is None else box.size_px
        self._weight = mouth_mask(size, CROP_FADE if box is None else BOX_FADE)

    def __len__(self) -> int:
        return len(self._feeds)

    def feeds(self, graph: str) -> list[Arrays]:
        """Return the inputs of the graph, batch 1 each."""
        return self._feeds

    def draw(self, graphs: Mapping[str, Run], most: int | None = None) -> list[Mouth]:
        """Draw every sample, or the first ``most``, with the graph that is given, else with the bundle's own."""
        run = graphs.get(GRAPH, self._own[GRAPH])
        return [Mouth(run(feed)["image"][0], self._weight) for feed in self._feeds[:most]]


def open_inpaint_samples(
    manifest: Manifest, root: Path, counts: tuple[int, int], own: Mapping[str, Run]
) -> tuple[MouthSamples, MouthSamples, str]:
    """Draw samples from face clips; see ``samples.open_samples``.

    Raises:
        InputError: the folder holds no face clips, too few, of another size, or they are damaged.
        ConfigError: they are of another frame rate.
    """
    faces = open_face_clips(root, validation_share=HELD_OUT_SHARE)
    check_fps(manifest, faces.fps, root)
    calibration, judging = (
        InpaintSamples(manifest, _draw(manifest, clips, count, root, seed), own)
        for seed, (clips, count) in enumerate(zip((faces.training, faces.held_out), counts, strict=True), SEED)
    )
    return calibration, judging, faces.fingerprint


def _draw(manifest: Manifest, clips: Sequence[FaceClip], count: int, root: Path, seed: int) -> list[Arrays]:
    usable = [clip for clip in clips if len(clip.frames)]
    if not usable:
        raise InputError(f"{root}: no clip with pictures among {len(clips)}.")
    random = np.random.default_rng(seed)
    size = (manifest.crop if manifest.face_box is None else manifest.face_box).size_px
    order, feeds = random.permutation(len(usable)), []
    for number in range(count):
        clip = usable[order[number % len(usable)]]
        frame = int(random.choice(clip.frames))
        face = np.ascontiguousarray(clip.read_frames(frame, 1, size)[0].transpose(1, 2, 0))[None]
        mel = mel_window(clip.read_mel(manifest.mel), frame, manifest)
        feeds.append({"mel": mel, "face": face, "reference": face})  # one face is both, as at run time
    return feeds
