"""The engine: audio and frames in, lip-synced frames with their audio out. It knows no files and no devices.

The counter of the audio's samples is the only clock. A frame is shown at its ``pts``, in seconds since the first
sample; it leaves the session together with the audio from the end of the last frame's share up to one frame period
after its ``pts``. Shares follow each other without gap, so whoever plays or writes both has them in step.

What comes out depends only on what went in, never on how the audio was cut or in which order audio and frames came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isfinite
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.runtime.audio_feed import AudioFeed
from lipforge.runtime.frame_stream import FrameStream
from lipforge.runtime.generator import Generator, load_generator
from lipforge.runtime.output_frame import FrameStats, OutputFrame
from lipforge.runtime.picture import Picture, Pixels
from lipforge.runtime.speech_gate import GateOptions, MouthFade, SpeechGate

if TYPE_CHECKING:
    from lipforge.kernels.spec import MelSpec
    from lipforge.runtime.bundle import Bundle
    from lipforge.runtime.faces import Face

__all__ = ["FrameStats", "OutputFrame", "Session", "SessionOptions", "Tracker"]


class Tracker(Protocol):
    """Finds the face in consecutive frames; ``lipforge.runtime.faces.FaceTracker`` is one."""

    def track(self, picture: Picture) -> Face | None:
        """Return the face in the next frame, or None."""

    def reset(self) -> None:
        """Forget the person."""


@dataclass(frozen=True)
class SessionOptions:
    """How a session works.

    Attributes:
        prime_ms: video that is looked at before the first frame leaves, to know the person's closed mouth from the
            start. 0 for live use. Latency at the start only.
        queue_ms: video that may wait for its audio; more is refused. At least ``prime_ms`` and the look-ahead fit.
        audio_queue_ms: audio that may wait for its frames; more is refused.
        threads: threads inside a network.
        fade_ms: time in which the lips leave the frame's own mouth, and come back to it; 0 switches.
        gate: which audio moves the lips; None lets all of it.
    """

    prime_ms: float = 0.0
    queue_ms: float = 2000.0
    audio_queue_ms: float = 60_000.0
    threads: int = 1
    fade_ms: float = 0.0
    gate: GateOptions | None = None


@dataclass
class _Waiting:
    picture: Picture
    pts: Fraction
    source: object
    run: int
    face: Face | None = None
    track_ms: float = 0.0


class Session(FrameStream[OutputFrame]):
    """One stream. Push audio and frames in any order, iterate for what is ready, ``flush`` at the end.

    Not for several threads at once. Iterating never waits: it ends when the next frame still lacks something, and can
    be started again after the next push.

    Args:
        bundle: the model.
        fps: frames a second of the video, above 0.
        options: see ``SessionOptions``.
        tracker: finds faces; the default is a new ``FaceTracker`` for the bundle's specs.

    Raises:
        ConfigError: an option is not usable.
        BackendError: a graph or face model cannot be loaded.
    """

    def __init__(
        self,
        bundle: Bundle,
        fps: Fraction | float,
        options: SessionOptions | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self._options = options or SessionOptions()
        self._period = 1 / _checked_fps(fps)
        manifest = bundle.manifest
        lookahead_ms = manifest.window.lookahead_ms(manifest.mel)
        self.lookahead = Fraction(lookahead_ms).limit_denominator(1_000_000) / 1000
        self._prime_frames = _frames_in(self._options.prime_ms, self._period)
        queue_ms = max(self._options.queue_ms, self._options.prime_ms + lookahead_ms)
        self._queue_frames = max(_frames_in(queue_ms, self._period), self._prime_frames + 1)
        self._tracker = tracker or _default_tracker(bundle)
        self._generator: Generator = load_generator(bundle, self._options.threads)
        self._audio = AudioFeed(manifest.mel, manifest.window)
        self._fade = MouthFade(_frames_in(self._options.fade_ms, self._period))
        gate = self._options.gate
        self._gate = None if gate is None else SpeechGate(gate, float(1000 * self._period))
        self._gate_span = max(self._period, self.lookahead - _column_period(manifest.mel))
        self._lip_points = manifest.lips.points
        self._window = np.zeros((manifest.mel.n_mels, manifest.window.columns), np.float32)
        self._waiting: deque[_Waiting] = deque()
        self._run = self._tracked = 0
        self._prepared: tuple[int, Face] | None = None
        self._primed = self._prime_frames == 0
        self._last_pts: Fraction | None = None
        self._frames_ended = False
        self._closed = False

    @property
    def audio_seconds(self) -> Fraction:
        """Length of all audio that was pushed, in seconds."""
        return self._audio.pushed_seconds

    @property
    def wants_frame(self) -> bool:
        """Whether another frame fits into the queue."""
        return not (self._closed or self._frames_ended) and len(self._waiting) < self._queue_frames

    @property
    def period(self) -> Fraction:
        """Seconds that a frame lasts."""
        return self._period

    @property
    def next_pts(self) -> Fraction | None:
        """The ``pts`` of the frame that leaves next, or None if none waits."""
        return self._waiting[0].pts if self._waiting else None

    def audio_until(self, pts: Fraction) -> Fraction:
        """Return how many seconds of audio a frame at ``pts`` waits for."""
        return pts + max(self.lookahead, self._period)

    def push_audio(self, pcm: NDArray[np.float32] | NDArray[np.int16], sample_rate_hz: int) -> None:
        """Append audio; it is never dropped.

        Args:
            pcm: float32 in [-1, 1] or int16; (n,) or (n, channels); n may be 0. It is copied.
            sample_rate_hz: the same for the whole session.

        Raises:
            InputError: the audio is not usable, comes after its end, or too much of it waits; nothing was appended.
        """
        self._check_open()
        limit = Fraction(self._options.audio_queue_ms) / 1000
        if self._audio.waiting_seconds > limit:
            raise InputError(
                f"more than {float(limit):.1f} s of audio wait for frames. Push frames and iterate the session first."
            )
        self._audio.push(pcm, sample_rate_hz)

    def push_frame(
        self, image: Pixels, pts: Fraction | float | None = None, source: object = None, *, repeated: bool = False
    ) -> None:
        """Append a frame of the video.

        Args:
            image: uint8 (H, W, 3), BGR, contiguous; or the planes of a YUV 4:2:0 frame. Writable: the session takes it
                over and changes it in place, only near the face; it is never converted to another form.
            pts: seconds since the first audio sample, increasing; by default one frame period after the last frame.
            source: handed back with the finished frame.
            repeated: its pixels are those of the frame pushed before it, as of a still picture: what was prepared of
                that one, if it has the same ``Face``, serves this one too.

        Raises:
            InputError: the frame is not usable or the queue is full; nothing was appended.
        """
        self._check_open()
        if self._frames_ended:
            raise InputError("a frame was pushed after flush. Start a new session.")
        if not self.wants_frame:
            raise InputError(f"{len(self._waiting)} frames wait for audio. Push audio and iterate the session first.")
        picture = Picture.of(image)
        picture.require_writable()
        time = self._next_pts() if pts is None else checked_pts(pts, self._last_pts)
        self._last_pts = time
        self._run += not repeated
        self._waiting.append(_Waiting(picture, time, source, self._run))

    def end_audio(self) -> None:
        """Say that no more audio comes: frames beyond its end pass through untouched, with silence."""
        self._audio.end()

    def flush(self) -> None:
        """Say that neither audio nor frames come any more: everything that waits becomes ready."""
        self._audio.end()
        self._frames_ended = True

    def warm_up(self, pixels: Pixels) -> None:
        """Do once, on a made-up face, what is slow the first time: compiling kernels and touching memory.

        Before the first frame only; the stream stays as if it had not happened.

        Args:
            pixels: of the form that will come; best with a face in it, for the tracker; changed.
        """
        picture, face = Picture.of(pixels), _made_up_face(self._lip_points, Picture.of(pixels))
        for _ in range(2):  # it is searched for, then followed
            self._tracker.track(picture)
        self._generator.observe(face)
        self._generator.prepare(picture, face)
        self._generator.render(self._window, out=picture)
        self._generator.reset()
        self._tracker.reset()

    def introduce(self, faces: Iterable[Face]) -> None:
        """Let the generator learn a person beforehand, from the faces of frames that will come."""
        for face in faces:
            self._generator.observe(face)

    def new_scene(self) -> None:
        """Say that the next frame shows the face elsewhere, as after a change of the picture's size."""
        self._tracker.reset()
        self._fade.reset()

    def drop_frame(self) -> object:
        """Drop the frame that would leave next and return its source; the audio goes to the frame after it.

        Raises:
            InputError: no frame waits.
        """
        if not self._waiting:
            raise InputError("there is no frame to drop.")
        self._tracked = max(0, self._tracked - 1)
        return self._waiting.popleft().source

    def cut_audio(self, number: int) -> None:
        """Forget all audio from sample ``number`` on; what frames have taken beyond it counts as silence.

        Audio that is pushed next follows on the last frame's share, and no frame is influenced by what was cut.

        Args:
            number: of a sample that no frame but the last one has taken.
        """
        self._audio.cut(number)

    def close(self) -> None:
        """Drop what waits and refuse everything else."""
        self._closed = True
        self._waiting.clear()

    def _next_pts(self) -> Fraction:
        return Fraction(0) if self._last_pts is None else self._last_pts + self._period

    def next_frame(self) -> OutputFrame | None:
        """Return the next frame if it is ready, else None; never waits."""
        if not self._waiting or not self._track_ahead():
            return None
        head = self._waiting[0]
        until = head.pts + self._period
        if not self._audio.ready(head.pts, until):
            return None
        self._waiting.popleft()
        self._tracked -= 1
        return self._finish(head, until)

    def _track_ahead(self) -> bool:
        """Track the next frame, at the start as many as prime the generator; tell whether that was possible.

        How far tracking is ahead of the output must not depend on when audio arrives, or the generator would know
        more or less of the person at a given frame.
        """
        wanted = 1 if self._primed else self._prime_frames
        while self._tracked < min(wanted, len(self._waiting)):
            self._track(self._waiting[self._tracked])
            self._tracked += 1
        self._primed = self._primed or self._frames_ended or self._tracked >= wanted
        return self._primed

    def _track(self, frame: _Waiting) -> None:
        start = perf_counter()
        frame.face = self._tracker.track(frame.picture)
        if frame.face is not None:
            self._generator.observe(frame.face)
        frame.track_ms = 1000 * (perf_counter() - start)

    def _finish(self, frame: _Waiting, until: Fraction) -> OutputFrame:
        start = perf_counter()
        strength = self._fade.step(speaking=self._speaking(frame.pts), face=frame.face is not None)
        driven = frame.face is not None and strength > 0
        if frame.face is not None and driven:
            self._audio.window(frame.pts, out=self._window)
            self._prepare(frame, frame.face)
            self._generator.render(self._window, out=frame.picture, strength=strength)
        first, samples = self._audio.take(until)
        times = self._generator.times
        stats = FrameStats(
            face=frame.face is not None,
            driven=driven,
            track_ms=frame.track_ms,
            prepare_ms=times.prepare_ms if driven else 0.0,
            net_ms=times.net_ms if driven else 0.0,
            composite_ms=times.composite_ms if driven else 0.0,
            total_ms=frame.track_ms + 1000 * (perf_counter() - start),
            strength=strength,
        )
        return OutputFrame(frame.picture.pixels, frame.pts, samples, first, stats, frame.source)

    def _prepare(self, frame: _Waiting, face: Face) -> None:
        last, self._prepared = self._prepared, (frame.run, face)
        if last is None or last[0] != frame.run or last[1] is not face:
            self._generator.prepare(frame.picture, face)

    def _speaking(self, pts: Fraction) -> bool:
        covered = self._audio.covers(pts)
        if self._gate is None:
            return covered
        # Not beyond what is certain to be there, or the gate would depend on how the audio was cut.
        return self._gate.step(self._audio.level_dbfs(pts, pts + self._gate_span)) and covered

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("the session is closed. Start a new one.")


def checked_pts(pts: Fraction | float, last: Fraction | None) -> Fraction:
    """Return a frame's time in seconds as a fraction.

    Args:
        pts: what was given.
        last: time of the frame before; None for the first.

    Raises:
        InputError: it is not a number, is below 0, or does not increase.
    """
    time = Fraction(pts).limit_denominator(1_000_000) if isfinite(pts) else Fraction(-1)
    if time < 0 or (last is not None and time <= last):
        raise InputError(f"pts is {float(pts):.6f} s after {float(last or 0):.6f} s; it must increase.")
    return time


def _checked_fps(fps: Fraction | float) -> Fraction:
    if not 0 < fps <= 1000:
        raise ConfigError(f"fps is {fps}; allowed are values above 0, up to 1000.")
    return Fraction(fps).limit_denominator(100_000)


def _made_up_face(lip_points: int, picture: Picture) -> Face:
    from lipforge.runtime.faces import Face, HeadPose
    from lipforge.runtime.faces.points import MESH_POINTS

    middle = np.array([picture.width / 2, picture.height / 2, 0.0])
    place = np.random.default_rng(0).uniform(-10.0, 10.0, (MESH_POINTS, 3)).astype(np.float32)
    landmarks = place + middle.astype(np.float32)
    transform = np.array([[1.0, 0.0, 48.0 - middle[0]], [0.0, 1.0, 48.0 - middle[1]]])
    lips = landmarks[:lip_points, :2] + transform[:, 2].astype(np.float32)
    return Face(landmarks, 1.0, transform, HeadPose(np.eye(3), 1.0, middle), lips.astype(np.float32))


def _column_period(mel: MelSpec) -> Fraction:
    return Fraction(mel.hop_samples, mel.sample_rate_hz)


def _frames_in(duration_ms: float, period: Fraction) -> int:
    if duration_ms < 0:
        raise ConfigError(f"a queue or look-ahead is {duration_ms} ms; allowed are 0 and more.")
    return ceil(Fraction(duration_ms) / 1000 / period)


def _default_tracker(bundle: Bundle) -> Tracker:
    from lipforge.runtime.faces import FaceTracker

    return FaceTracker(None, bundle.manifest.crop, bundle.manifest.lips)
