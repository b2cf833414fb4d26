"""A browser's camera and microphone on their way into the engine, on the one clock that the engine knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.live import AudioClock
from lipforge.runtime.serve.live_session import LiveSession
from lipforge.runtime.serve.opus import OPUS_DELAY_S
from lipforge.runtime.serve.sender_clock import SenderClock
from lipforge.runtime.serve.video_frames import writable_frame

if TYPE_CHECKING:
    from aiortc import MediaStreamTrack
    from av.audio.frame import AudioFrame
    from av.video.frame import VideoFrame

LONGEST_GAP_S = 0.2
"""Lost sound up to this long becomes silence of the same length; a longer pause is a stream that starts anew."""

MOST_ARRIVAL_ERROR_S = 0.5
"""A sender's clocks that put picture and sound further apart than this, against their arrival, are not believed."""


class Incoming:
    """Feeds one session; used on the event loop.

    Args:
        session: whose stream is fed.
        most_pixels: width times height of a picture.
    """

    def __init__(self, session: LiveSession, most_pixels: int) -> None:
        self._session, self._most_pixels = session, most_pixels
        self.audio_clock: SenderClock | None = None
        self.video_clock: SenderClock | None = None
        self._audio_next_s: float | None = None
        self._taken_at: tuple[float, float] | None = None
        self._last_pts = -1.0
        self.refused = 0

    async def listen(self, track: MediaStreamTrack) -> None:
        """Push a microphone's sound until it ends."""
        from aiortc.mediastreams import MediaStreamError

        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            self._guarded(self._push_audio, frame)

    async def watch(self, track: MediaStreamTrack) -> None:
        """Push a camera's pictures until it ends."""
        from aiortc.mediastreams import MediaStreamError

        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            self._guarded(self._push_video, frame)

    def _guarded(self, push: Any, frame: Any) -> None:
        """A piece that cannot be used costs itself, not the stream."""
        try:
            push(frame)
        except InputError:
            self.refused += 1

    def _push_audio(self, frame: AudioFrame) -> None:
        pcm, rate_hz = samples_of(frame), frame.sample_rate
        time_s = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else None
        stream = self._session.stream
        missing = 0.0 if time_s is None or self._audio_next_s is None else time_s - self._audio_next_s
        if 0.001 < missing <= LONGEST_GAP_S:
            stream.push_audio(np.zeros((round(missing * rate_hz), pcm.shape[1]), np.int16), rate_hz)
        at = float(stream.audio_seconds)
        stream.push_audio(pcm, rate_hz)
        if isinstance(self._session.clock, AudioClock):
            self._session.clock.pushed()
        if time_s is not None:
            self._audio_next_s = time_s + len(pcm) / rate_hz
            taken = self.audio_clock.sent_at(time_s) if self.audio_clock else None
            if taken is not None:
                self._taken_at = (taken, at)
        self._session.heard_first_audio()

    def _push_video(self, frame: VideoFrame) -> None:
        if frame.width * frame.height > self._most_pixels:
            raise InputError(f"a picture of {frame.width}x{frame.height} is larger than this server allows.")
        pts = self._time_of(frame)
        if pts <= self._last_pts:
            return  # the clocks were understood better just now, and this picture's time is over
        pooled = writable_frame(frame)
        self._session.stream.push_frame(pooled.planes, pts, pooled)
        self._last_pts = pts

    def _time_of(self, frame: VideoFrame) -> float:
        """Return at which second of the engine's audio a picture was taken."""
        arrived = float(self._session.stream.audio_seconds)
        if self.video_clock is None or self._taken_at is None or frame.pts is None or not frame.time_base:
            return arrived
        taken = self.video_clock.sent_at(float(frame.pts * frame.time_base))
        if taken is None:
            return arrived
        sound_taken, sound_at = self._taken_at
        pts = sound_at + taken - sound_taken + OPUS_DELAY_S
        return max(0.0, pts) if abs(pts - arrived) <= MOST_ARRIVAL_ERROR_S else arrived


def samples_of(frame: AudioFrame) -> NDArray[np.int16] | NDArray[np.float32]:
    """Return the samples of a decoded frame, int16 or float32 (n, channels)."""
    channels, array = frame.layout.nb_channels, frame.to_ndarray()
    planar = frame.format.is_planar
    samples = array.T if planar else array.reshape(-1, channels)
    if samples.dtype == np.int16:
        return np.ascontiguousarray(samples, np.int16)
    if samples.dtype == np.float32:
        return np.nan_to_num(np.ascontiguousarray(samples, np.float32), posinf=0.0, neginf=0.0)
    raise InputError(f"sound of type {samples.dtype}; allowed are 16-bit and float.")
