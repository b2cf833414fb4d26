"""What a sync expert says of picture and sound: distance, confidence and offset by the LSE-D / LSE-C procedure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.crop import CropScratch
from lipforge.kernels.errors import ConfigError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import CropSpec, FaceBoxSpec, MelChunkSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.evaluate.lip_agreement import peak_between
from lipforge.runtime.evaluate.tracked_frames import TrackedFrame
from lipforge.runtime.faces.face_box import FaceBoxes
from lipforge.runtime.picture import Picture

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

GRAPH = "syncnet"
DEFAULT_EXPERT = "synth-expert"
"""Name of the expert that is used if none is named: a folder below ``runtime/bundles``, if the package has it."""

WINDOW_FRAMES = 5
LONGEST_SHIFT_FRAMES = 15  # as the published scripts look
LEAST_WINDOWS = 10  # for a shift to count
BATCH = 16
DETECTED_BOX = FaceBoxSpec(pads_px=(0, 0, 0, 0))
"""The published training's box, as face detectors have it: for an expert that does not say how its faces were cut."""


@dataclass(frozen=True)
class Embedded:
    """Windows of one video as the expert embeds them.

    Attributes:
        starts: int64 (K,), first frames of the mouths' windows, ascending, at the expert's frame rate.
        mouths: float32 (K, E), of length 1.
        sounds: float32 (n, E), of length 1, of the sound that starts with each frame.
        fps: the expert's frame rate.
    """

    starts: I64
    mouths: F32
    sounds: F32
    fps: float


@dataclass(frozen=True)
class Verdict:
    """What the expert found.

    Attributes:
        distance: least mean distance over all shifts (LSE-D); lower is better.
        confidence: median of the mean distances minus the least one (LSE-C); higher is better.
        offset_ms: shift of the least one; positive where the sound is late, that is where it follows the lips.
        shifts: int64 (2 S + 1,), frames by which the sound was brought forward.
        distances: float64 (2 S + 1,), mean distance at each; nan where too few windows overlap.
    """

    distance: float
    confidence: float
    offset_ms: float
    shifts: I64
    distances: F64


def judge(embedded: Embedded, sounds: F32 | None = None) -> Verdict:
    """Compare mouths with sounds at every shift.

    The published procedure fills missing windows at both ends with zeros; here they are left out.

    Args:
        embedded: the video.
        sounds: float32 (n, E), another voice's; the video's own by default.
    """
    return judge_together([embedded] if sounds is None else [replace(embedded, sounds=sounds)])


def judge_together(videos: Sequence[Embedded]) -> Verdict:
    """Judge the windows of several videos of one frame rate as if they were one's, so that short ones say something."""
    shifts = np.arange(-LONGEST_SHIFT_FRAMES, LONGEST_SHIFT_FRAMES + 1)
    distances = np.array([_mean_distance(videos, int(shift)) for shift in shifts])
    if not np.isfinite(distances).any():
        nan = float("nan")
        return Verdict(nan, nan, nan, shifts, distances)
    best = int(np.nanargmin(distances))
    offset_frames = shifts[best] + peak_between(distances, best)
    least = float(distances[best])
    confidence = float(np.nanmedian(distances)) - least
    return Verdict(least, confidence, float(1000 * offset_frames / videos[0].fps), shifts, distances)


def _mean_distance(videos: Sequence[Embedded], shift: int) -> float:
    apart = np.concatenate([_distances(video, shift) for video in videos])
    windows = sum(len(video.starts) for video in videos)
    return float(apart.mean()) if len(apart) >= max(1, min(LEAST_WINDOWS, windows)) else float("nan")


def _distances(video: Embedded, shift: int) -> F64:
    """Return how far each mouth is from the sound at that shift, for the windows where there is one."""
    wanted = video.starts + shift
    there = (wanted >= 0) & (wanted < len(video.sounds))
    apart = video.mouths[there].astype(np.float64) - video.sounds[wanted[there]]
    return np.asarray(np.linalg.norm(apart, axis=1))


class Expert:
    """A bundle with a sync expert.

    Args:
        bundle: of generator ``none`` with the graph ``syncnet``.
        threads: inside the network.

    Raises:
        ConfigError: it holds no expert.
        BackendError: it cannot be run.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        if GRAPH not in bundle.manifest.graphs:
            held = ", ".join(bundle.manifest.graphs)
            raise ConfigError(
                f"--expert {bundle.folder}: holds {held} and no {GRAPH}. Give a bundle that was exported from a "
                "checkpoint of `lipforge train syncnet`, or of `lipforge train import` of a colour SyncNet."
            )
        self.manifest, self.folder = bundle.manifest, bundle.folder
        self._engine = bundle.engine(GRAPH, threads)
        self.mel, self.chunk = bundle.manifest.mel, bundle.manifest.spec("mel_chunk", MelChunkSpec)
        self.fps = bundle.manifest.fps
        self.crop = bundle.manifest.crop if "crop" in bundle.manifest.specs else CropSpec()
        said = bundle.manifest.face_box
        # An expert on similarity crops says "crop" and no box.
        self.face_box = said or (None if "crop" in bundle.manifest.specs else DETECTED_BOX)

    @property
    def side_px(self) -> int:
        """Side of the pictures it looks at."""
        return self.crop.size_px if self.face_box is None else self.face_box.size_px

    def sound_windows(self, samples: F32) -> F32:
        """Return the mel window that starts with each frame, float32 (n, M, columns), as far as the sound reaches.

        Args:
            samples: float32 (n,), mono, at the rate of ``mel``, from the moment of the first frame on.
        """
        return self.windows_of(log_mel(samples, self.mel))

    def windows_of(self, columns: NDArray[np.floating]) -> F32:
        """Return the same of a spectrogram by ``mel``, float (M, C)."""
        width, firsts = self.chunk.columns, list[int]()
        while (first := self.chunk.first_column(len(firsts), self.mel, self.fps)) + width <= columns.shape[1]:
            firsts.append(first)
        windows = np.full((len(firsts), self.mel.n_mels, width), -self.mel.max_abs, np.float32)
        for window, first in zip(windows, firsts, strict=True):
            window[:, max(-first, 0) :] = columns[:, max(first, 0) : first + width]
        return windows

    def embed(self, mel: F32, faces: U8) -> tuple[F32, F32]:
        """Return the embeddings of sounds and mouths, float32 (K, E) each, of length 1.

        Args:
            mel: float32 (K, M, columns).
            faces: uint8 (K, 5, S, S, 3), BGR.
        """
        found = self._engine.run({"mel": np.ascontiguousarray(mel), "faces": np.ascontiguousarray(faces)})
        return found["sound"], found["mouths"]


class Embedder:
    """Cuts faces out of frames at the expert's frame rate and embeds every five in a row; memory stays bounded.

    Args:
        expert: what looks and listens.
        samples: float32 (n,), mono, at its rate, from the moment of the first frame on.
    """

    def __init__(self, expert: Expert, samples: F32) -> None:
        self._expert, self._heard = expert, expert.sound_windows(samples)
        box = expert.face_box
        self._boxes = None if box is None else FaceBoxes(box, expert.crop)
        self._scratch = CropScratch()
        self._last: tuple[float, U8 | None] | None = None
        self._tick = 0
        self._recent: list[U8 | None] = []
        self._waiting: list[tuple[int, U8]] = []
        self._mouths: dict[int, F32] = {}
        self._sounds: dict[int, F32] = {}

    def add(self, frame: TrackedFrame) -> None:
        """Take the next frame of the video."""
        face = self._cut_out(frame)
        if self._last is None:
            self._last = (frame.time_s, face)
        # Ticks nearer to the last frame than to this one are shown the last one.
        while self._tick / self._expert.fps < (self._last[0] + frame.time_s) / 2:
            self._show(self._last[1])
        self._last = (frame.time_s, face)

    def finish(self) -> Embedded:
        """Return all windows, those of the sound also where no face was seen."""
        if self._last is not None and self._tick / self._expert.fps <= self._last[0] + 1e-6:
            self._show(self._last[1])
        self._flush()
        unseen = [number for number in range(len(self._heard)) if number not in self._sounds]
        side = self._expert.side_px
        for first in range(0, len(unseen), BATCH):
            some = unseen[first : first + BATCH]
            nobody = np.zeros((len(some), WINDOW_FRAMES, side, side, 3), np.uint8)
            self._sounds.update(zip(some, self._expert.embed(self._heard[some], nobody)[0], strict=True))
        starts = sorted(self._mouths)
        mouths = np.array([self._mouths[start] for start in starts], np.float32)
        sounds = np.array([self._sounds[number] for number in range(len(self._heard))], np.float32)
        return Embedded(np.array(starts, np.int64), mouths, sounds, self._expert.fps)

    def _cut_out(self, frame: TrackedFrame) -> U8 | None:
        if frame.face is None:
            return None
        picture, size = Picture.of(frame.planes), self._expert.side_px
        if self._boxes is None:
            transform = frame.face.transform
        else:
            transform = self._boxes.step(frame.face, picture.width, picture.height)
        return picture.crop(self._scratch, transform, size, np.empty((size, size, 3), np.uint8))

    def _show(self, face: U8 | None) -> None:
        self._recent = [*self._recent[-WINDOW_FRAMES + 1 :], face]
        whole = [shown for shown in self._recent if shown is not None]
        self._tick += 1
        if len(whole) == WINDOW_FRAMES:
            self._waiting.append((self._tick - WINDOW_FRAMES, np.stack(whole)))
            if len(self._waiting) == BATCH:
                self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        starts = [start for start, _ in self._waiting]
        silence = np.full(self._heard.shape[1:], -self._expert.mel.max_abs, np.float32)
        mel = np.stack([self._heard[start] if start < len(self._heard) else silence for start in starts])
        sounds, mouths = self._expert.embed(mel, np.stack([window for _, window in self._waiting]))
        self._mouths.update(zip(starts, mouths, strict=True))
        self._sounds.update((s, e) for s, e in zip(starts, sounds, strict=True) if s < len(self._heard))
        self._waiting.clear()
