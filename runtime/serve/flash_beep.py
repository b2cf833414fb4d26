"""A picture and a sound that tell when they were made: a flash and a beep each second, and a number in every frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from aiortc import MediaStreamTrack
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from lipforge.runtime.media.frame_pool import PIXEL_FORMAT, planes_of

if TYPE_CHECKING:
    from av.frame import Frame

WIDTH, HEIGHT, FPS = 320, 240, 25
AUDIO_HZ, PACKET_SAMPLES = 48_000, 960
FLASH_FRAMES, BEEP_S = 3, 0.06
BITS, BIT_WIDTH = 10, 31
_DARK, _BRIGHT, _THRESHOLD = 30, 235, 120
_LOUD = 0.1


class Stopwatch:
    """When the signal began; both tracks go by it.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.start = clock, clock()

    async def until(self, seconds: float) -> None:
        """Wait until the signal is so old."""
        wait = self.start + seconds - self.clock()
        if wait > 0:
            await asyncio.sleep(wait)


class FlashTrack(MediaStreamTrack):
    """25 frames a second, each with its number; three bright ones a second.

    Attributes:
        made: when each number was last taken, by the watch's clock.
        count: frames so far.
    """

    kind = "video"

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self._watch, self._next, self.count, self.sent_pts = watch, 0, 0, 0.0
        self.made: dict[int, float] = {}

    async def recv(self) -> Frame:
        """Return the next frame when it is time; as a camera does, leave those out whose time is over."""
        index = max(self._next, int((self._watch.clock() - self._watch.start) * FPS) - 1)
        self._next = index + 1
        self.count += 1
        self.sent_pts = index / FPS
        await self._watch.until(self.sent_pts + PACKET_SAMPLES / AUDIO_HZ)  # a camera is late too
        frame = VideoFrame(WIDTH, HEIGHT, PIXEL_FORMAT)
        y, u, v = planes_of(frame)
        draw(index, y)
        u[:], v[:] = 128, 128
        frame.pts, frame.time_base = index * 90_000 // FPS, Fraction(1, 90_000)
        self.made[index % (1 << BITS)] = self._watch.start + self.sent_pts
        return frame


class BeepTrack(MediaStreamTrack):
    """A beep of 60 ms at every full second, in packets of 20 ms, each sent when its last sample would be recorded."""

    kind = "audio"

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self._watch, self._next, self.sent_pts = watch, 0, 0.0

    async def recv(self) -> Frame:
        """Return the next packet once its last sample would have been recorded."""
        start, self.sent_pts = self._next, self._next / AUDIO_HZ
        self._next += PACKET_SAMPLES
        await self._watch.until(self._next / AUDIO_HZ)
        samples = np.repeat(np.rint(32767 * beep(start, PACKET_SAMPLES)).astype(np.int16), 2)
        frame = AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_HZ, start, Fraction(1, AUDIO_HZ)
        return frame


def draw(index: int, luma: NDArray[np.uint8]) -> None:
    """Draw the number as bars and, in the first frames of a second, the flash into uint8 (240, 320)."""
    luma[:] = 60
    for bit in range(BITS):
        left = 4 + bit * BIT_WIDTH
        luma[200:236, left : left + BIT_WIDTH - 3] = _BRIGHT if index >> bit & 1 else 16
    luma[20:150, 80:240] = _BRIGHT if index % FPS < FLASH_FRAMES else _DARK


def read_number(luma: NDArray[np.uint8]) -> int:
    """Return the number of a frame, modulo 1024, from uint8 (240, 320)."""
    return sum(1 << bit for bit in range(BITS) if luma[212:224, 4 + bit * BIT_WIDTH + 14].mean() > _THRESHOLD)


def is_flash(luma: NDArray[np.uint8]) -> bool:
    """Tell whether a frame, uint8 (240, 320), is bright."""
    return float(luma[60:110, 120:200].mean()) > _THRESHOLD


def beep(start: int, count: int) -> NDArray[np.float64]:
    """Return float64 (count,) samples in [-1, 1] from sample ``start`` on."""
    number = np.arange(start, start + count)
    within = number % AUDIO_HZ / AUDIO_HZ
    return np.where(within < BEEP_S, 0.6 * np.sin(2 * np.pi * 1000 * within), 0.0)


class Onsets:
    """Finds where something begins that was not there before.

    Args:
        rest_s: how long it has to be away.
    """

    def __init__(self, rest_s: float = 0.3) -> None:
        self._rest_s, self._last = rest_s, float("-inf")
        self.times: list[float] = []

    def add(self, time: float, *, on: bool) -> None:
        """Take what is at a time."""
        if on:
            if time - self._last > self._rest_s:
                self.times.append(time)
            self._last = time


def first_loud(samples: NDArray[np.float32]) -> int | None:
    """Return the first loud sample of float32 (n,) in [-1, 1], or None."""
    loud = np.flatnonzero(np.abs(samples) > _LOUD)
    return int(loud[0]) if len(loud) else None
