"""Lip-sync as it is spoken: audio and frames in from any thread, finished frames with their audio out.

It knows no devices, no network and no wall clock. The counter of the audio's samples is the only clock: speech, and
silence that stands in for it, follow each other without gap, and every frame carries its share. ``Session`` beneath it
does the work; this file decides what goes in when, what is dropped, and when silence takes the place of speech.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from threading import Condition, Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.faces import Face
from lipforge.runtime.live.audio_format import AudioFormat, FormatConverter
from lipforge.runtime.live.avatar import Avatar, AvatarPlayer
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.live.live_stats import ComputeTimes, LiveStats
from lipforge.runtime.live.playback import Playback, PlaybackLedger
from lipforge.runtime.media.frame_pool import PooledFrame
from lipforge.runtime.output_frame import OutputFrame
from lipforge.runtime.picture import Picture, Pixels
from lipforge.runtime.sample_queue import Samples, as_samples
from lipforge.runtime.session import Session, SessionOptions, Tracker
from lipforge.runtime.speech_gate import GateOptions

if TYPE_CHECKING:
    from lipforge.runtime.bundle import Bundle

DEFAULT_RATE_HZ = 48_000
LONGEST_LEAP_S = 10.0
WARM_UP_SIZE = (720, 1280)
_SESSION_QUEUE_MS = 1e9  # the stream bounds its queues itself


@dataclass(frozen=True)
class LiveOptions:
    """How a live stream works.

    Attributes:
        fps: frames a second of the pushed frames; an avatar brings its own rate.
        sample_rate_hz: of the audio that comes out; None takes that of the first audio pushed (48 kHz if frames are
            asked for before). Audio of any other rate is resampled.
        channels: of the audio that comes out; None takes that of the first audio.
        late_audio_ms: how long silence waits for audio that is late before it takes its place. 0 for speech that is
            pushed ahead of time, some 100 for a microphone.
        late_video_ms: a frame that is later than this is dropped if there is a newer one; its audio is kept.
        audio_queue_ms: audio that may wait; more is refused.
        video_queue_ms: camera frames that may wait, beyond those that wait for their look-ahead; then the oldest is
            dropped.
        fade_ms: time in which the lips leave the frame's own mouth, and come back to it.
        gate: which audio is speech; None takes all of it, silence too.
        threads: threads inside a network.
    """

    fps: Fraction | float = 25
    sample_rate_hz: int | None = None
    channels: int | None = None
    late_audio_ms: float = 0.0
    late_video_ms: float = 120.0
    audio_queue_ms: float = 60_000.0
    video_queue_ms: float = 120.0
    fade_ms: float = 120.0
    gate: GateOptions | None = field(default_factory=GateOptions)
    threads: int = 1


class _KnownFace:
    """A tracker that is told the face of the next frame."""

    def __init__(self) -> None:
        self.face: Face | None = None

    def track(self, picture: Picture) -> Face | None:
        return self.face

    def reset(self) -> None:
        self.face = None


@dataclass(frozen=True)
class _Speech:
    utterance: int
    samples: Samples


@dataclass(frozen=True)
class _Shot:
    image: Pixels
    pts: Fraction
    source: object


class LiveStream:
    """One live stream: a face from an avatar, or from frames that are pushed, made to say the audio that is pushed.

    ``push_audio``, ``push_frame``, ``flush``, ``interrupt``, ``end`` and ``close`` may be called from any thread and
    never wait for a picture to be computed. One thread takes the frames: with ``next_frame``, by iterating (takes what
    is ready, never waits), by ``async for`` (waits for what is pushed), or with ``paced`` and ``paced_async``.

    Args:
        bundle: the model; ``bundle.sharing()`` lets several streams use one copy of the networks.
        avatar: whose face speaks; None if frames are pushed.
        options: see ``LiveOptions``.
        tracker: finds faces in pushed frames; the default is a new ``FaceTracker``.

    Attributes:
        lookahead: seconds of audio after its own time that a frame waits for.
        period: seconds that a frame lasts.

    Raises:
        ConfigError: an option is not usable.
        BackendError: a graph or face model cannot be loaded.
    """

    def __init__(
        self,
        bundle: Bundle,
        avatar: Avatar | None = None,
        options: LiveOptions | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self._options = options = options or LiveOptions()
        self._known_face = _KnownFace() if avatar is not None else None
        fps = options.fps if avatar is None else avatar.info.fps
        self._session = Session(bundle, fps, _session_options(options), self._known_face or tracker)
        self.lookahead, self.period = self._session.lookahead, self._session.period
        self._player: AvatarPlayer | None = None
        if avatar is None:
            self._session.warm_up(np.zeros((*WARM_UP_SIZE, 3), np.uint8))
        else:
            self._session.warm_up(avatar.play().next().frame.planes)
            self._session.introduce(face for face in avatar.faces if face is not None)
            self._player = avatar.play()
        self._lock, self._work = Lock(), Lock()
        self._news = Condition(self._lock)
        self._listeners: list[Callable[[], None]] = []
        self._late_audio = Fraction(options.late_audio_ms) / 1000
        self._late_video = Fraction(options.late_video_ms) / 1000
        waiting_ms = options.video_queue_ms + 1000 * float(max(self.lookahead, self.period))
        self._longest_queue = ceil(Fraction(waiting_ms) / 1000 / self.period) + 1
        # Shared between threads, under the lock:
        self._speech: deque[_Speech | None] = deque()  # None: an utterance is complete
        self._shots: deque[_Shot] = deque()
        self._queued_samples = 0
        self._ledger = PlaybackLedger()
        self._format: AudioFormat | None = None
        self._converter: FormatConverter | None = None
        self._last_pts: Fraction | None = None
        self._changes = self._epoch = self._interrupts = self._dropped = 0
        self._cut = self._ending = self._closed = False
        # Of the thread that takes frames:
        self._times = ComputeTimes()
        self._session_samples = self._taken = self._emitted = self._filled = 0
        self._next_index = 0
        self._ended, self._quiet = False, True
        self._speech_end = Fraction(0)
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> LiveStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[LiveFrame]:
        """Yield the frames that are ready, in order; never waits."""
        while (frame := self.next_frame()) is not None:
            yield frame

    def __aiter__(self) -> AsyncIterator[LiveFrame]:
        """Yield frames as soon as their audio is there, until the stream has ended."""
        from lipforge.runtime.live.pacing import paced_async

        return paced_async(self)

    @property
    def epoch(self) -> int:
        """Number of interrupts so far; a frame of an older epoch is not to be shown any more."""
        return self._epoch

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more."""
        return self._ended or self._closed

    @property
    def ending(self) -> bool:
        """Whether ``end`` or ``close`` was called: nothing may be pushed any more."""
        return self._ending or self._closed

    @property
    def queued_audio_ms(self) -> float:
        """Audio that no frame has carried yet."""
        with self._lock:
            return self._waiting_ms()

    @property
    def audio_seconds(self) -> Fraction:
        """Length of all audio so far, with the silence that stood in for it; the default ``pts`` of a pushed frame."""
        with self._lock:
            return self._audio_seconds()

    @property
    def playback(self) -> Playback:
        """How far the utterance is that was heard last."""
        with self._lock:
            return self._ledger.heard(self._rate_hz())

    def push_audio(self, pcm: NDArray[np.float32] | NDArray[np.int16], sample_rate_hz: int) -> None:
        """Append speech; it is never dropped except by ``interrupt``.

        Args:
            pcm: float32 in [-1, 1] or int16; (n,) or (n, channels); n may be 0. It is copied.
            sample_rate_hz: 1000 to 384000; may change.

        Raises:
            InputError: the audio is not usable (a value that is not finite, for instance), comes after ``end``, or too
                much of it waits; nothing was appended and the stream goes on.
        """
        samples = as_samples(pcm)
        given = AudioFormat(sample_rate_hz, samples.shape[1])
        with self._news:
            self._check_open()
            if self._ending:
                raise InputError("audio was pushed after the stream's end. Start a new one.")
            self._check_audio_queue()
            converter = self._converter or self._choose_format(given)
            self._append_speech(converter.convert(samples, sample_rate_hz))
            self._tell()

    def push_frame(self, image: Pixels, pts: Fraction | float | None = None, source: object = None) -> None:
        """Append a frame of the camera. If too many wait, the oldest is dropped and counted.

        Args:
            image: uint8 (H, W, 3) BGR, contiguous; or the planes of a YUV 4:2:0 frame. Writable: the stream takes it
                over and changes it in place. Its size may change between frames.
            pts: seconds of audio at which it is seen, increasing; by default the length of the audio so far.
            source: handed back with the finished frame.

        Raises:
            InputError: the frame is not usable, comes after ``end``, or the stream has an avatar; nothing was appended.
        """
        picture = Picture.of(image)
        picture.require_writable()
        with self._news:
            self._check_open()
            if self._player is not None or self._ending:
                raise InputError("a frame was pushed into a stream that has an avatar, or has ended.")
            self._shots.append(_Shot(image, self._pts(pts), source))
            if len(self._shots) > self._longest_queue:
                self._shots.popleft()
                self._dropped += 1
            self._tell()

    def flush(self) -> None:
        """Say that an utterance is complete: its last frames need not wait for more audio."""
        with self._news:
            self._check_open()
            self._complete()
            self._tell()

    def end(self) -> None:
        """Say that neither audio nor frames come any more: the stream ends with what waits."""
        with self._news:
            self._check_open()
            if not self._ending:
                self._complete()
                self._ending = True
            self._tell()

    def interrupt(self) -> Playback:
        """Drop all speech that no frame has carried yet; from now on there is silence, until more is pushed.

        A frame that is being computed in another thread leaves with silence instead of its speech.

        Returns:
            How far the utterance was heard that was cut off, or the last one if there was none.
        """
        with self._news:
            self._check_open()
            self._epoch += 1
            self._interrupts += 1
            self._speech.clear()
            self._queued_samples = 0
            self._cut = True
            if self._converter is not None:
                self._converter.flush()
            cut_off = self._ledger.cut(self._rate_hz())
            self._tell()
        return cut_off

    def close(self) -> None:
        """Drop what waits and refuse everything else. Twice does no harm."""
        with self._news:
            self._closed = True
            self._speech.clear()
            self._shots.clear()
            self._tell()

    def next_frame(self, now: Fraction | float | None = None) -> LiveFrame | None:
        """Return the next frame if it is ready, else None; never waits.

        Args:
            now: seconds of the stream that are over by the caller's clock (``WallClock``, ``AudioClock``). No frame
                leaves earlier than that, silence takes the place of audio that has not come by then, and frames that
                are too late are dropped. None: frames leave as soon as their audio is there, at any speed.
        """
        with self._work:
            if self.ended:
                return None
            epoch = self._take_in()
            clock = None if now is None else self._checked_clock(now)
            frame = self._due_frame(clock)
            return None if frame is None else self._emit(frame, epoch)

    def reuse(self, frame: LiveFrame) -> None:
        """Take back an avatar's frame that nobody needs any more; its memory becomes that of a later one."""
        if self._player is not None and isinstance(frame.source, PooledFrame):
            self._player.reuse(frame.source)

    def stats(self) -> LiveStats:
        """Return what the stream did so far."""
        with self._lock:
            rate = self._rate_hz()
            return LiveStats(
                frames=self._times.frames,
                driven_frames=self._times.driven,
                dropped_frames=self._dropped,
                interrupts=self._interrupts,
                audio_s=self._emitted / rate,
                filled_s=self._filled / rate,
                queued_audio_ms=self._waiting_ms(),
                queued_frames=len(self._shots),
                compute_ms=self._times.percentiles(),
            )

    @property
    def changes(self) -> int:
        """How often something was pushed, flushed, interrupted or closed."""
        return self._changes

    def wait(self, seen: int, timeout_s: float | None = None) -> None:
        """Wait until ``changes`` is no longer ``seen``, but not longer than ``timeout_s``."""
        with self._news:
            self._news.wait_for(lambda: self._changes != seen, timeout_s)

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have ``listener`` called, from any thread, whenever something is pushed; return what removes it again."""
        with self._lock:
            self._listeners.append(listener)

        def remove() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return remove

    def seconds_until_due(self, now: float) -> float:
        """Return how long, by the caller's clock, the next frame is not due yet; 0 if it waits for something else."""
        pts = self._session.next_pts
        return 0.0 if pts is None else max(0.0, float(self._session.audio_until(pts)) - now)

    # Under the lock.

    def _tell(self) -> None:
        self._changes += 1
        self._news.notify_all()
        for listener in self._listeners:
            listener()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("the stream is closed. Start a new one.")

    def _check_audio_queue(self) -> None:
        if self._waiting_ms() > self._options.audio_queue_ms:
            raise InputError(
                f"more than {self._options.audio_queue_ms / 1000:.1f} s of audio wait for frames. Push it as it is "
                "needed, or raise audio_queue_ms."
            )

    def _waiting_ms(self) -> float:
        waiting = self._queued_samples + self._session_samples - self._emitted
        return max(0.0, 1000 * waiting / self._rate_hz())

    def _rate_hz(self) -> int:
        return self._format.sample_rate_hz if self._format else DEFAULT_RATE_HZ

    def _choose_format(self, given: AudioFormat) -> FormatConverter:
        rate, channels = self._options.sample_rate_hz, self._options.channels
        self._format = AudioFormat(rate or given.sample_rate_hz, channels or given.channels)
        self._converter = FormatConverter(self._format)
        return self._converter

    def _append_speech(self, samples: Samples) -> None:
        if len(samples):
            self._ledger.pushed(len(samples))
            self._speech.append(_Speech(self._ledger.utterance, samples))
            self._queued_samples += len(samples)

    def _complete(self) -> None:
        if self._converter is not None:
            self._append_speech(self._converter.flush())
        self._speech.append(None)
        self._ledger.complete()

    def _audio_seconds(self) -> Fraction:
        return Fraction(self._session_samples + self._queued_samples, self._rate_hz())

    def _pts(self, pts: Fraction | float | None) -> Fraction:
        last = self._last_pts
        if pts is not None:
            time = Fraction(pts).limit_denominator(1_000_000)
            if time < 0 or (last is not None and time <= last):
                raise InputError(f"pts is {float(time):.6f} s after {float(last or 0):.6f} s; it must increase.")
        else:
            time = self._audio_seconds()
            if last is not None:
                time = max(time, last + self.period / 2)  # a camera's frames come in between a microphone's blocks
        self._last_pts = time
        return time

    # Of the thread that takes frames.

    def _take_in(self) -> int:
        """Move what was pushed into the session; return the epoch that it belongs to."""
        with self._lock:
            if self._cut:
                self._cut = False
                self._session.cut_audio(self._emitted)
                self._session_samples = self._emitted = self._taken
                self._set_quiet()
            while self._speech:
                piece = self._speech.popleft()
                if piece is None:
                    self._set_quiet()
                    continue
                self._quiet = False
                self._ledger.landed(piece.utterance, self._session_samples, len(piece.samples))
                self._queued_samples -= len(piece.samples)
                self._push(piece.samples)
            if self._ending:
                self._session.end_audio()
            return self._epoch

    def _checked_clock(self, now: Fraction | float) -> Fraction:
        ahead = float(now) - float(Fraction(self._session_samples, self._rate_hz()))
        if not ahead <= LONGEST_LEAP_S:  # also not a number
            raise InputError(
                f"now is {float(now)} s, more than {LONGEST_LEAP_S:.0f} s beyond the stream's audio. Clocks must not "
                "leap; WallClock holds still meanwhile."
            )
        return Fraction(now).limit_denominator(1_000_000)

    def _push(self, samples: Samples) -> None:
        self._session.push_audio(samples, self._rate_hz())
        self._session_samples += len(samples)

    def _set_quiet(self) -> None:
        self._quiet = True
        self._speech_end = Fraction(self._session_samples, self._rate_hz())

    def _due_frame(self, clock: Fraction | None) -> OutputFrame | None:
        if clock is not None:
            self._fill_up_to(clock - (0 if self._quiet else self._late_audio))
        if not self._offer_frame():
            return None
        if clock is not None:
            self._drop_late(clock)
        pts = self._session.next_pts
        if pts is None or (clock is not None and self._session.audio_until(pts) > clock):
            return None
        if clock is None and self._quiet and pts < self._speech_end:
            self._fill_up_to(self._session.audio_until(pts))
        return self._session.next_frame()

    def _fill_up_to(self, seconds: Fraction) -> None:
        """Let silence take the place of audio that has not come."""
        with self._lock:
            if self._ending:
                return
            self._format = self._format or AudioFormat(
                self._options.sample_rate_hz or DEFAULT_RATE_HZ, self._options.channels or 1
            )
            self._converter = self._converter or FormatConverter(self._format)
            missing = ceil(seconds * self._format.sample_rate_hz) - self._session_samples
            if missing > 0:
                self._push(np.zeros((missing, self._format.channels), np.float32))
                self._filled += missing

    def _offer_frame(self) -> bool:
        """Make sure that the session has a frame to work on; tell whether it has."""
        if self._session.next_pts is not None:
            return True
        if self._player is not None:
            return self._offer_avatar(self._player)
        with self._lock:
            if not self._shots:
                self._ended = self._ending
                return False
            shot = self._shots.popleft()
        size = Picture.of(shot.image).width, Picture.of(shot.image).height
        if self._size not in (None, size):
            self._session.new_scene()
        self._size = size
        self._session.push_frame(shot.image, shot.pts, shot.source)
        return True

    def _offer_avatar(self, player: AvatarPlayer) -> bool:
        pts = self._next_index * self.period
        if self._ending and pts >= Fraction(self._session_samples, self._rate_hz()):
            self._ended = True
            return False
        shown = player.next()
        self._next_index += 1
        if self._known_face is not None:
            self._known_face.face = shown.face
        self._session.push_frame(shown.frame.planes, pts, shown.frame)
        return True

    def _drop_late(self, clock: Fraction) -> None:
        """Drop frames that are too late, as long as there is a newer one that will carry their audio."""
        while True:
            pts = self._session.next_pts
            if pts is None or self._session.audio_until(pts) + self._late_video >= clock or not self._has_newer():
                return
            dropped = self._session.drop_frame()
            with self._lock:
                self._dropped += 1
            if self._player is not None and isinstance(dropped, PooledFrame):
                self._player.reuse(dropped)
            if not self._offer_frame():
                return

    def _has_newer(self) -> bool:
        with self._lock:
            if self._player is None:
                return bool(self._shots)
            end = Fraction(self._session_samples, self._rate_hz())
            return not self._ending or self._next_index * self.period < end

    def _emit(self, frame: OutputFrame, epoch: int) -> LiveFrame:
        start, stop = frame.audio_start, frame.audio_start + len(frame.audio)
        with self._lock:
            audio = frame.audio
            finished: tuple[Playback, ...] = ()
            playback = self._ledger.heard(self._rate_hz())
            if epoch == self._epoch:
                playback, finished = self._ledger.emitted(start, stop, self._rate_hz())
                self._emitted = stop
            else:
                audio = np.zeros_like(audio)
            self._taken = stop
            self._times.add(frame.stats)
        rate = self._rate_hz()
        values = (frame.image, frame.pts, audio, start, frame.stats, frame.source)
        return LiveFrame(*values, rate, epoch, playback, finished)


def _session_options(options: LiveOptions) -> SessionOptions:
    return SessionOptions(
        audio_queue_ms=_SESSION_QUEUE_MS, threads=options.threads, fade_ms=options.fade_ms, gate=options.gate
    )
