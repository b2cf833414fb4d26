"""Lip-sync as it is spoken: audio and frames in from any thread, finished frames with their audio out.

It knows no devices, no network and no wall clock. The counter of the audio's samples is the only clock: speech, and
silence that stands in for it, follow each other without gap, and every frame carries its share. ``Session`` beneath it
does the work; this file decides what goes in when, what is dropped, and when silence takes the place of speech.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.frame_stream import FrameStream
from lipforge.runtime.live.audio_format import AudioFormat
from lipforge.runtime.live.avatar import Avatar, AvatarPlayer, KnownFace
from lipforge.runtime.live.inbox import Inbox
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.live.live_options import LiveOptions
from lipforge.runtime.live.live_stats import ComputeTimes, LiveStats
from lipforge.runtime.live.playback import Playback
from lipforge.runtime.live.sample_face import sample_face
from lipforge.runtime.media.frame_pool import PooledFrame
from lipforge.runtime.output_frame import OutputFrame
from lipforge.runtime.picture import Picture, Pixels
from lipforge.runtime.sample_queue import Samples, as_samples
from lipforge.runtime.session import Session, SessionOptions, Tracker

if TYPE_CHECKING:
    from lipforge.runtime.bundle import Bundle

LONGEST_LEAP_S = 10.0
_SESSION_QUEUE_MS = 1e9  # the stream bounds its queues itself


class LiveStream(FrameStream[LiveFrame]):
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
        options = options or LiveOptions()
        self._known_face = KnownFace() if avatar is not None else None
        fps = options.fps if avatar is None else avatar.info.fps
        self._session = Session(bundle, fps, _session_options(options), self._known_face or tracker)
        self.lookahead, self.period = self._session.lookahead, self._session.period
        self._player: AvatarPlayer | None = None
        if avatar is None:
            self._session.warm_up(sample_face())
        else:
            self._session.warm_up(avatar.play().next().frame.planes)
            self._session.introduce(face for face in avatar.faces if face is not None)
            self._player = avatar.play()
        waiting_ms = options.video_queue_ms + 1000 * float(max(self.lookahead, self.period))
        self._inbox = Inbox(options, self.period, ceil(Fraction(waiting_ms) / 1000 / self.period) + 1)
        self._work = Lock()
        self._late_audio = Fraction(options.late_audio_ms) / 1000
        self._late_video = Fraction(options.late_video_ms) / 1000
        self._times = ComputeTimes()
        self._taken = self._filled = self._next_index = 0
        self._end_seen, self._ended, self._quiet = False, False, True
        self._speech_end = Fraction(0)
        self._size: tuple[int, int] | None = None

    def __aiter__(self) -> AsyncIterator[LiveFrame]:
        """Yield frames as soon as their audio is there, until the stream has ended."""
        from lipforge.runtime.live.pacing import paced_async

        return paced_async(self)

    @property
    def epoch(self) -> int:
        """Number of interrupts so far; a frame of an older epoch is not to be shown any more."""
        return self._inbox.epoch

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more."""
        return self._ended or self._inbox.closed

    @property
    def ending(self) -> bool:
        """Whether ``end`` or ``close`` was called: nothing may be pushed any more."""
        return self._inbox.ending or self._inbox.closed

    @property
    def queued_audio_ms(self) -> float:
        """Audio that no frame has carried yet."""
        with self._inbox.lock:
            return self._inbox.waiting_ms

    @property
    def audio_seconds(self) -> Fraction:
        """Length of all audio so far, with the silence that stood in for it; the default ``pts`` of a pushed frame."""
        with self._inbox.lock:
            return self._inbox.audio_seconds

    @property
    def playback(self) -> Playback:
        """How far the utterance is that was heard last."""
        with self._inbox.lock:
            return self._inbox.ledger.heard(self._inbox.rate_hz)

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
        self._inbox.push_speech(samples, AudioFormat(sample_rate_hz, samples.shape[1]))

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
        if self._player is not None:
            raise InputError("a frame was pushed into a stream that has an avatar. Start one without.")
        Picture.of(image).require_writable()
        self._inbox.push_shot(image, pts, source)

    def flush(self) -> None:
        """Say that an utterance is complete: its last frames need not wait for more audio."""
        self._inbox.complete()

    def end(self) -> None:
        """Say that neither audio nor frames come any more: the stream ends with what waits."""
        self._inbox.complete(end=True)

    def interrupt(self) -> Playback:
        """Drop all speech that no frame has carried yet; from now on there is silence, until more is pushed.

        A frame that is being computed in another thread leaves with silence instead of its speech.

        Returns:
            How far the utterance was heard that was cut off, or the last one if there was none.
        """
        return self._inbox.interrupt()

    def close(self) -> None:
        """Drop what waits and refuse everything else. Twice does no harm."""
        self._inbox.close()

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
        with self._inbox.lock:
            rate = self._inbox.rate_hz
            return LiveStats(
                frames=self._times.frames,
                driven_frames=self._times.driven,
                dropped_frames=self._inbox.dropped,
                interrupts=self._inbox.epoch,
                audio_s=self._inbox.emitted / rate,
                filled_s=self._filled / rate,
                queued_audio_ms=self._inbox.waiting_ms,
                queued_frames=len(self._inbox.shots),
                compute_ms=self._times.percentiles(),
            )

    @property
    def changes(self) -> int:
        """How often something was pushed, flushed, interrupted or closed."""
        return self._inbox.changes

    def wait(self, seen: int, timeout_s: float | None = None) -> None:
        """Wait until ``changes`` is no longer ``seen``, but not longer than ``timeout_s``."""
        self._inbox.wait(seen, timeout_s)

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have ``listener`` called, from any thread, whenever something is pushed; return what removes it again."""
        return self._inbox.add_listener(listener)

    def seconds_until_due(self, now: float) -> float:
        """Return how long, by the caller's clock, the next frame is not due yet; 0 if it waits for something else."""
        pts = self._session.next_pts
        return 0.0 if pts is None else max(0.0, float(self._session.audio_until(pts)) - now)

    def _take_in(self) -> int:
        """Move what was pushed into the session; return the epoch that it belongs to."""
        inbox = self._inbox
        with inbox.lock:
            if inbox.cut:
                inbox.cut = False
                self._session.cut_audio(inbox.emitted)
                inbox.landed = inbox.emitted = self._taken
                self._set_quiet()
            while inbox.speech:
                piece = inbox.speech.popleft()
                if piece is None:
                    self._set_quiet()
                    continue
                self._quiet = False
                inbox.ledger.landed(piece.utterance, inbox.landed, len(piece.samples))
                inbox.queued -= len(piece.samples)
                self._land(piece.samples)
            if inbox.ending and not self._end_seen:
                self._end_seen = True
                self._session.end_audio()
            return inbox.epoch

    def _land(self, samples: Samples) -> None:
        self._session.push_audio(samples, self._inbox.rate_hz)
        self._inbox.landed += len(samples)

    def _set_quiet(self) -> None:
        self._quiet = True
        self._speech_end = Fraction(self._inbox.landed, self._inbox.rate_hz)

    def _checked_clock(self, now: Fraction | float) -> Fraction:
        ahead = float(now) - self._inbox.landed / self._inbox.rate_hz
        if not ahead <= LONGEST_LEAP_S:  # also not a number
            raise InputError(
                f"now is {float(now)} s, more than {LONGEST_LEAP_S:.0f} s beyond the stream's audio. Clocks must not "
                "leap; WallClock holds still meanwhile."
            )
        return Fraction(now).limit_denominator(1_000_000)

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
        with self._inbox.lock:
            if self._end_seen:
                return
            audio = self._inbox.fix_format()
            missing = ceil(seconds * audio.sample_rate_hz) - self._inbox.landed
            if missing > 0:
                self._land(np.zeros((missing, audio.channels), np.float32))
                self._filled += missing

    def _offer_frame(self) -> bool:
        """Make sure that the session has a frame to work on; tell whether it has."""
        if self._session.next_pts is not None:
            return True
        if self._player is not None:
            return self._offer_avatar(self._player)
        with self._inbox.lock:
            if not self._inbox.shots:
                self._ended = self._end_seen
                return False
            shot = self._inbox.shots.popleft()
        size = Picture.of(shot.image).width, Picture.of(shot.image).height
        if self._size not in (None, size):
            self._session.new_scene()
        self._size = size
        self._session.push_frame(shot.image, shot.pts, shot.source)
        return True

    def _offer_avatar(self, player: AvatarPlayer) -> bool:
        pts = self._next_index * self.period
        if self._end_seen and pts >= self._landed_seconds:
            self._ended = True
            return False
        shown, repeated = player.next(), player.still and self._next_index > 0
        self._next_index += 1
        if self._known_face is not None:
            self._known_face.face = shown.face
        self._session.push_frame(shown.frame.planes, pts, shown.frame, repeated=repeated)
        return True

    def _drop_late(self, clock: Fraction) -> None:
        """Drop frames that are too late, as long as there is a newer one that will carry their audio."""
        while True:
            pts = self._session.next_pts
            if pts is None or self._session.audio_until(pts) + self._late_video >= clock or not self._has_newer():
                return
            dropped = self._session.drop_frame()
            with self._inbox.lock:
                self._inbox.dropped += 1
            if self._player is not None and isinstance(dropped, PooledFrame):
                self._player.reuse(dropped)
            if not self._offer_frame():
                return

    def _has_newer(self) -> bool:
        if self._player is None:
            return bool(self._inbox.shots)
        return not self._end_seen or self._next_index * self.period < self._landed_seconds

    @property
    def _landed_seconds(self) -> Fraction:
        return Fraction(self._inbox.landed, self._inbox.rate_hz)

    def _emit(self, frame: OutputFrame, epoch: int) -> LiveFrame:
        start, stop = frame.audio_start, frame.audio_start + len(frame.audio)
        inbox, audio = self._inbox, frame.audio
        finished: tuple[Playback, ...] = ()
        spoken = False
        with inbox.lock:
            playback, rate = inbox.ledger.heard(inbox.rate_hz), inbox.rate_hz
            if epoch == inbox.epoch:
                playback, finished, spoken = inbox.ledger.emitted(start, stop, rate)
                inbox.emitted = stop
            else:
                audio = np.zeros_like(audio)
            self._taken = stop
            self._times.add(frame.stats)
        values = (frame.image, frame.pts, audio, start, frame.stats, frame.source)
        return LiveFrame(*values, rate, epoch, playback, finished, spoken)


def _session_options(options: LiveOptions) -> SessionOptions:
    return SessionOptions(
        audio_queue_ms=_SESSION_QUEUE_MS, threads=options.threads, fade_ms=options.fade_ms, gate=options.gate
    )
