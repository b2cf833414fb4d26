"""One pass over a video and its reference: everything that the measures are computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import CropSpec, MelSpec
from lipforge.runtime.evaluate.contact_sheet import ContactSheet, SheetPicture
from lipforge.runtime.evaluate.heard_sound import StreamStarts, read_sound, stream_starts
from lipforge.runtime.evaluate.pixel_findings import PixelComparison, PixelFindings
from lipforge.runtime.evaluate.sync_expert import Embedded, Embedder, Expert
from lipforge.runtime.evaluate.tracked_frames import TrackedFrame, TrackedVideo, side_by_side
from lipforge.runtime.faces.points import MESH_POINTS
from lipforge.runtime.session import Tracker

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

VIDEO_ROLE, REFERENCE_ROLE = "video", "--reference"


class MakeTracker(Protocol):
    """Gives a face tracker; two of them are used at once."""

    def __call__(self) -> Tracker:
        """Return a new one."""


@dataclass(frozen=True)
class Tracked:
    """The face over the time of one video.

    Attributes:
        times: float64 (T,), seconds since the first frame.
        landmarks: float32 (T, 468, 3), image px; nan where there is no face.
        fps: mean frame rate.
    """

    times: F64
    landmarks: F32
    fps: float


@dataclass(frozen=True)
class Observation:
    """What was seen and heard.

    Attributes:
        path: the video.
        reference_path: its reference, or None.
        video: its face.
        reference: the reference's face.
        starts: when its streams begin.
        samples: float32 (n,), its sound at 16 kHz from the first frame on; empty without sound.
        embedded: what the expert made of it, or None.
        pixels: the comparison with the reference, or None.
        sheet: pictures.
        notes: what could not be done, by what it would have been for: ``sound``, ``reference``, ``pixels``, ``expert``.
    """

    path: Path
    reference_path: Path | None
    video: Tracked
    reference: Tracked | None
    starts: StreamStarts
    samples: F32
    embedded: Embedded | None
    pixels: PixelFindings | None
    sheet: list[SheetPicture]
    notes: dict[str, str]


def observe(
    path: Path,
    reference: Path | None,
    make_tracker: MakeTracker,
    expert: Expert | None,
    on_frame: Callable[[int, int], None] | None = None,
) -> Observation:
    """Read a video, and its reference beside it, once.

    Args:
        path: the video.
        reference: what it was made from, or another true recording of the same speech.
        make_tracker: gives face trackers.
        expert: judges picture and sound; may be None.
        on_frame: called with frames done and expected (0 if unknown).

    Raises:
        InputError: a file is not usable, or there is no face in it.
    """
    video = TrackedVideo(path, make_tracker(), VIDEO_ROLE)
    starts = stream_starts(path, VIDEO_ROLE)
    notes: dict[str, str] = {}
    samples = np.zeros(0, np.float32)
    if starts.sound_s is None:
        notes["sound"] = "the video has no sound"
    else:
        samples = read_sound(path, starts, (expert.mel if expert else MelSpec()).sample_rate_hz, VIDEO_ROLE)
    crop = CropSpec()
    embedder = Embedder(expert, samples) if expert and len(samples) else None
    truth = None if reference is None else TrackedVideo(reference, make_tracker(), REFERENCE_ROLE)
    comparison = _comparison(video, truth, crop, notes)
    mine, theirs, sheet = _Log(), _Log(), ContactSheet(crop.size_px)
    true_frames = iter(()) if truth is None else theirs.noting(iter(truth))
    true_fps = 25.0 if truth is None else float(truth.info.fps)
    for done, (frame, other) in enumerate(side_by_side(mine.noting(iter(video)), true_frames, true_fps), 1):
        if embedder:
            embedder.add(frame)
        if comparison and other is not None:
            comparison.add(frame, other)
        sheet.add(frame, other)
        if on_frame:
            on_frame(done, video.info.frames)
    _require_face(path, VIDEO_ROLE, mine)
    if reference is not None:
        _require_face(reference, REFERENCE_ROLE, theirs)
    return Observation(
        path,
        reference,
        mine.tracked(float(video.info.fps)),
        None if truth is None else theirs.tracked(true_fps),
        starts,
        samples,
        embedder.finish() if embedder else None,
        comparison.findings() if comparison else None,
        sheet.pictures(),
        notes,
    )


def _comparison(
    video: TrackedVideo, truth: TrackedVideo | None, crop: CropSpec, notes: dict[str, str]
) -> PixelComparison | None:
    if truth is None:
        return None
    sizes = [(side.info.width, side.info.height) for side in (video, truth)]
    if sizes[0] != sizes[1]:
        mine, theirs = (f"{width}x{height}" for width, height in sizes)
        notes["pixels"] = f"the video is {mine} and its reference {theirs}: pixels cannot be compared"
        return None
    return PixelComparison(crop)


def _require_face(path: Path, role: str, log: _Log) -> None:
    if not any(np.isfinite(points).all() for points in log.landmarks):
        raise InputError(f"{role} {path}: no face was found in {len(log.times)} frames. Give a video that shows one.")


class _Log:
    """Notes times and landmarks of frames that pass."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.landmarks: list[F32] = []

    def noting(self, frames: Iterator[TrackedFrame]) -> Iterator[TrackedFrame]:
        nobody = np.full((MESH_POINTS, 3), np.nan, np.float32)
        for frame in frames:
            self.times.append(frame.time_s)
            self.landmarks.append(nobody if frame.face is None else frame.face.landmarks)
            yield frame

    def tracked(self, fps: float) -> Tracked:
        return Tracked(np.array(self.times), np.array(self.landmarks, np.float32), fps)
