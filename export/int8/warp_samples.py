"""Samples of a warp bundle: the sound of clips, and crops whose lips are moved as the dataset's pairs say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.mouth import Mouth, MouthSamples, Run
from lipforge.export.int8.samples import HELD_OUT_SHARE, SEED, check_fps, mel_window
from lipforge.export.int8.still_head import StillHead
from lipforge.kernels.errors import ConfigError
from lipforge.kernels.mel import log_mel
from lipforge.runtime.engine import Arrays
from lipforge.runtime.manifest import Manifest
from lipforge.train.clips import Clip, load_clips
from lipforge.train.pairs import PairSet, load_pairs
from lipforge.train.shards import open_dataset

MARGIN_PX = 6
"""How far around the lips, seen and wanted ones, the mouth reaches: skin moves with them."""

FULL_SCALE = 32768.0

SOUNDS = 16
"""Windows of sound for each sample that the audio network's ranges are measured on. Wide openings are rare: on one
window a sample the widest were cut off, by a tenth in some clips, and a window costs next to nothing."""


@dataclass(frozen=True)
class _Sample:
    """One frame: float32 mels (K, M, C), its own first; uint8 RGB crop (S, S, 3); float32 contours (N, 2), crop px."""

    mels: NDArray[np.float32]
    crop: NDArray[np.uint8]
    seen: NDArray[np.float32]
    wanted: NDArray[np.float32]

    @property
    def mel(self) -> NDArray[np.float32]:
        """The frame's own window, float32 (1, M, C)."""
        return self.mels[:1]


class WarpSamples:
    """Frames of a warp generator.

    The contour that a sample asks for is the dataset's. What another audio network says differently is added to it,
    in px of a frontal face, so that its error shows in the picture as it would at run time.
    """

    def __init__(self, manifest: Manifest, samples: Sequence[_Sample], own: Mapping[str, Run]) -> None:
        self._manifest, self._samples, self._own = manifest, samples, own
        self._lips = [own["audio2lips"]({"mel": sample.mel})["lips"][0] for sample in samples]

    def __len__(self) -> int:
        return len(self._samples)

    def feeds(self, graph: str) -> list[Arrays]:
        """Return the inputs of a graph, batch 1 each."""
        if graph == "audio2lips":
            return [{"mel": mel[None]} for sample in self._samples for mel in sample.mels]
        return [self._head(sample).feed(sample.wanted) for sample in self._samples]

    def draw(self, graphs: Mapping[str, Run], most: int | None = None) -> list[Mouth]:
        """Draw every sample, or the first ``most``; graphs that are not given are the bundle's own."""
        listen, move = (graphs.get(name, self._own[name]) for name in ("audio2lips", "warp"))
        mouths = []
        for sample, lips in list(zip(self._samples, self._lips, strict=True))[:most]:
            moved = listen({"mel": sample.mel})["lips"][0] - lips
            drawn = self._head(sample).draw(move, sample.wanted + moved[:, :2].astype(np.float32))
            mouths.append(Mouth(drawn, self._mouth(sample)))
        return mouths

    def _head(self, sample: _Sample) -> StillHead:
        return StillHead(self._manifest, sample.crop, sample.seen, sample.wanted)

    def _mouth(self, sample: _Sample) -> NDArray[np.float32]:
        """Return the box around both contours, float32 (S, S)."""
        size = self._manifest.crop.size_px
        points = np.concatenate([sample.seen, sample.wanted])
        low = np.clip(np.floor(points.min(0)).astype(int) - MARGIN_PX, 0, size - 1)
        high = np.clip(np.ceil(points.max(0)).astype(int) + MARGIN_PX + 1, 1, size)
        weight = np.zeros((size, size), np.float32)
        weight[low[1] : high[1], low[0] : high[0]] = 1.0
        return weight


def open_warp_samples(
    manifest: Manifest, root: Path, counts: tuple[int, int], own: Mapping[str, Run]
) -> tuple[MouthSamples, MouthSamples, str]:
    """Draw samples from a dataset of clips with pairs; see ``samples.open_samples``.

    Raises:
        InputError: the folder is not such a dataset, or is damaged.
        ConfigError: it was made by another recipe.
    """
    dataset = open_dataset(root)
    check_fps(manifest, dataset.fps, root)
    for key, said, wanted in (
        ("crop", dataset.crop, manifest.crop),
        ("lips", dataset.lips, manifest.lips),
        ("mel.sample_rate_hz", dataset.mel.sample_rate_hz, manifest.mel.sample_rate_hz),
    ):
        if said != wanted:
            raise ConfigError(f"{root}: {key} is {said}, the bundle's is {wanted}; give a dataset of its recipe.")
    sides = zip(load_clips(dataset, HELD_OUT_SHARE), load_pairs(dataset, HELD_OUT_SHARE), counts, strict=True)
    calibration, judging = (
        WarpSamples(manifest, _draw(manifest, clips, pairs, count, seed), own)
        for seed, (clips, pairs, count) in enumerate(sides, SEED)
    )
    return calibration, judging, dataset.fingerprint


def _draw(manifest: Manifest, clips: list[Clip], pairs: PairSet, count: int, seed: int) -> list[_Sample]:
    random = np.random.default_rng(seed)
    rows = random.permutation(len(pairs))
    mels = [log_mel(clip.audio.astype(np.float32) / np.float32(FULL_SCALE), manifest.mel) for clip in clips[:count]]
    samples = []
    for number in range(count):
        head, pair = pairs.index[rows[number % len(rows)]]
        source, sound = pairs.heads[head], number % len(mels)
        reference, target = source.pairs[pair]
        frames = random.integers(len(clips[sound].lips), size=SOUNDS)
        samples.append(
            _Sample(
                np.concatenate([mel_window(mels[sound], int(frame), manifest) for frame in frames]),
                np.ascontiguousarray(source.images[reference]),
                source.tracked[reference],
                source.target[target],
            )
        )
    return samples
