"""A sync expert's opinion of a generator's mouths in held-out clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.mouth import Run
from lipforge.runtime.evaluate.sync_expert import (
    BATCH,
    LONGEST_SHIFT_FRAMES,
    WINDOW_FRAMES,
    Embedded,
    Expert,
    judge_together,
)

ADVICE = "Give the expert that fits with --expert, or --expert none to do without."


@dataclass(frozen=True)
class Scene:
    """Frames in a row.

    Attributes:
        draw: draws them with these graphs, or the bundle's own where one is not given: uint8 (T, S, S, 3) BGR, cut out
            as the expert wants them.
        frames: T.
        heard: float32 (n, M, columns), what the expert hears, as far around the frames as it looks.
        first: which of ``heard`` starts with the first frame.
    """

    draw: Callable[[Mapping[str, Run]], NDArray[np.uint8]]
    frames: int
    heard: NDArray[np.float32]
    first: int


class ExpertJudge:
    """Asks a sync expert."""

    def __init__(self, expert: Expert, scenes: Sequence[Scene]) -> None:
        self._expert, self._scenes = expert, scenes
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
        return sum(scene.frames for scene in self._scenes)

    def measure(self, graphs: Mapping[str, Run]) -> dict[str, float]:
        """Return distance, confidence and offset over all clips."""
        verdict = judge_together(
            [
                Embedded(_starts(scene) + scene.first, self._see(scene, scene.draw(graphs)), sounds, self._expert.fps)
                for scene, sounds in zip(self._scenes, self._sounds, strict=True)
            ]
        )
        return {"lse_d": verdict.distance, "lse_c": verdict.confidence, "offset_ms": verdict.offset_ms}

    def _see(self, scene: Scene, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embeddings of all windows of five frames."""
        starts, mouths = _starts(scene), []
        for first in range(0, len(starts), BATCH):
            some = starts[first : first + BATCH]
            windows = np.stack([frames[start : start + WINDOW_FRAMES] for start in some])
            mouths.append(self._expert.embed(scene.heard[scene.first + some], windows)[1])
        return np.concatenate(mouths)

    def _hear(self, scene: Scene) -> NDArray[np.float32]:
        """Return the embeddings of all sounds; they do not depend on who draws."""
        sounds = []
        for first in range(0, len(scene.heard), BATCH):
            heard = scene.heard[first : first + BATCH]
            nobody = np.zeros((len(heard), WINDOW_FRAMES, self._expert.side_px, self._expert.side_px, 3), np.uint8)
            sounds.append(self._expert.embed(heard, nobody)[0])
        return np.concatenate(sounds)


@dataclass(frozen=True)
class Heard:
    """What an expert hears around frames in a row: how many of them have whole windows, and ``Scene``'s last two."""

    frames: int
    windows: NDArray[np.float32]
    first: int

    @classmethod
    def around(cls, expert: Expert, spectrogram: NDArray[np.floating], first: int, count: int) -> Heard:
        """Cut it out of a clip's spectrogram, float (M, C), for the frames from ``first`` on."""
        heard = expert.windows_of(spectrogram)
        frames = min(count, len(heard) - first + WINDOW_FRAMES - 1)
        start, end = max(0, first - LONGEST_SHIFT_FRAMES), first + frames + LONGEST_SHIFT_FRAMES
        return cls(frames, heard[start:end], first - start)


def _starts(scene: Scene) -> NDArray[np.int64]:
    return np.arange(scene.frames - WINDOW_FRAMES + 1)
