"""What was pushed into a live stream and not taken yet: the one place that several threads share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from threading import Condition, Lock

from lipforge.kernels.errors import InputError
from lipforge.runtime.live.audio_format import AudioFormat, FormatConverter
from lipforge.runtime.live.live_options import LiveOptions
from lipforge.runtime.live.playback import Playback, PlaybackLedger
from lipforge.runtime.picture import Pixels
from lipforge.runtime.sample_queue import Samples
from lipforge.runtime.session import checked_pts

DEFAULT_RATE_HZ = 48_000


@dataclass(frozen=True)
class Speech:
    """Samples in the stream's format, and the utterance that they belong to."""

    utterance: int
    samples: Samples


@dataclass(frozen=True)
class Shot:
    """A camera's frame, when it is seen, and what goes along with it."""

    image: Pixels
    pts: Fraction
    source: object


class Inbox:
    """Speech and camera frames on their way in, in order, and all state that more than one thread looks at.

    Methods take the lock by themselves. The thread that takes frames holds ``lock`` while it moves things out; the
    attributes below are only to be touched then.

    Args:
        options: the stream's.
        period: of a frame, in seconds.
        longest_queue: camera frames that may wait.

    Attributes:
        lock: of everything here.
        speech: what waits; None says that an utterance is complete.
        shots: camera frames that wait.
        queued: samples in ``speech``.
        landed: samples that are in the session.
        emitted: samples that left with frames.
        ledger: which utterance they belong to.
        epoch: number of interrupts so far.
        cut: whether there was one that the session does not know of.
        ending: whether no more comes.
        closed: whether the stream is closed.
        dropped: frames so far.
        changes: number of pushes and calls so far.
    """

    def __init__(self, options: LiveOptions, period: Fraction, longest_queue: int) -> None:
        self._options, self._period, self._longest_queue = options, period, longest_queue
        self.lock = Lock()
        self._news = Condition(self.lock)
        self._listeners: list[Callable[[], None]] = []
        self.speech: deque[Speech | None] = deque()
        self.shots: deque[Shot] = deque()
        self.ledger = PlaybackLedger()
        self.queued = self.landed = self.emitted = 0
        self.epoch = self.dropped = self.changes = 0
        self.cut = self.ending = self.closed = False
        self._format: AudioFormat | None = None
        self._converter: FormatConverter | None = None
        self._last_pts: Fraction | None = None

    @property
    def rate_hz(self) -> int:
        """Sample rate of the stream; 48 kHz as long as it is open."""
        return self._format.sample_rate_hz if self._format else DEFAULT_RATE_HZ

    @property
    def waiting_ms(self) -> float:
        """Audio that no frame has carried yet."""
        return max(0.0, 1000 * (self.queued + self.landed - self.emitted) / self.rate_hz)

    @property
    def audio_seconds(self) -> Fraction:
        """Length of all audio so far."""
        return Fraction(self.landed + self.queued, self.rate_hz)

    def push_speech(self, samples: Samples, given: AudioFormat) -> None:
        """Append float32 (n, channels) samples of a format.

        Raises:
            InputError: the stream is closed, has ended, or too much waits.
        """
        with self.lock:
            self._check_open()
            if self.ending:
                raise InputError("audio was pushed after the stream's end. Start a new one.")
            if self.waiting_ms > self._options.audio_queue_ms:
                raise InputError(
                    f"more than {self._options.audio_queue_ms / 1000:.1f} s of audio wait for frames. Push it as it is "
                    "needed, or raise audio_queue_ms."
                )
            self.fix_format(given)
            if self._converter is not None:
                self._append(self._converter.convert(samples, given.sample_rate_hz))
            self._tell()

    def push_shot(self, image: Pixels, pts: Fraction | float | None, source: object) -> None:
        """Append a camera's frame; if too many wait, the oldest is dropped.

        Raises:
            InputError: the stream is closed or has ended, or ``pts`` does not increase.
        """
        with self.lock:
            self._check_open()
            if self.ending:
                raise InputError("a frame was pushed after the stream's end. Start a new one.")
            self.shots.append(Shot(image, self._pts(pts), source))
            if len(self.shots) > self._longest_queue:
                self.shots.popleft()
                self.dropped += 1
            self._tell()

    def complete(self, *, end: bool = False) -> None:
        """Note that the utterance is complete, and perhaps that nothing more comes at all.

        Raises:
            InputError: the stream is closed.
        """
        with self.lock:
            self._check_open()
            if not self.ending:
                if self._converter is not None:
                    self._append(self._converter.flush())
                self.speech.append(None)
                self.ledger.complete()
            self.ending = self.ending or end
            self._tell()

    def interrupt(self) -> Playback:
        """Drop the speech that waits, and have the session drop its own; return how far it was heard.

        Raises:
            InputError: the stream is closed.
        """
        with self.lock:
            self._check_open()
            self.epoch += 1
            self.cut = True
            self.speech.clear()
            self.queued = 0
            if self._converter is not None:
                self._converter.flush()
            cut_off = self.ledger.cut(self.rate_hz)
            self._tell()
        return cut_off

    def close(self) -> None:
        """Drop everything and refuse more."""
        with self.lock:
            self.closed = True
            self.speech.clear()
            self.shots.clear()
            self._tell()

    def fix_format(self, given: AudioFormat | None = None) -> AudioFormat:
        """Return the stream's format; if it is open, it becomes what the options say, else what is given."""
        if self._format is None:
            given = given or AudioFormat(DEFAULT_RATE_HZ)
            rate, channels = self._options.sample_rate_hz, self._options.channels
            self._format = AudioFormat(rate or given.sample_rate_hz, channels or given.channels)
            self._converter = FormatConverter(self._format)
        return self._format

    def wait(self, seen: int, timeout_s: float | None) -> None:
        """Wait until ``changes`` is no longer ``seen``, but not longer than ``timeout_s``."""
        with self.lock:
            self._news.wait_for(lambda: self.changes != seen, timeout_s)

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have ``listener`` called at every change; return what removes it again."""
        with self.lock:
            self._listeners.append(listener)

        def remove() -> None:
            with self.lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return remove

    def _append(self, samples: Samples) -> None:
        if len(samples):
            self.ledger.pushed(len(samples))
            self.speech.append(Speech(self.ledger.utterance, samples))
            self.queued += len(samples)

    def _pts(self, pts: Fraction | float | None) -> Fraction:
        last = self._last_pts
        if pts is not None:
            time = checked_pts(pts, last)
        else:
            time = self.audio_seconds
            if last is not None:
                time = max(time, last + self._period / 2)  # a camera's frames come in between a microphone's blocks
        self._last_pts = time
        return time

    def _check_open(self) -> None:
        if self.closed:
            raise InputError("the stream is closed. Start a new one.")

    def _tell(self) -> None:
        self.changes += 1
        self._news.notify_all()
        for listener in self._listeners:
            listener()
