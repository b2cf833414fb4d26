"""The two tracks that a browser gets: frames and audio of one ``Playout``, their timestamps from its sample counter."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from lipforge.runtime.serve.live_session import LiveSession
from lipforge.runtime.serve.playout import Heard, Shown
from lipforge.runtime.serve.video_frames import encodable

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

VIDEO_CLOCK_HZ = 90_000
"""RFC 3551, section 5: of every video payload."""

OPUS_HZ = 48_000
OPUS_SAMPLES = 960
"""20 ms: the encoder must get exactly one packet's worth at a time, or packets share a timestamp."""


class SyncedVideo(MediaStreamTrack):
    """A session's frames, each sent when it is due."""

    kind = "video"

    def __init__(self, session: LiveSession) -> None:
        super().__init__()
        self._session = session
        self._sent: Shown | None = None

    async def recv(self) -> VideoFrame:
        """Return the next frame as yuv420p; asking for it means that the last one is encoded."""
        if self._sent is not None:
            self._session.stream.reuse(self._sent.source)
            self._sent = None
        playout = self._session.playout
        shown = await playout.next_frame()
        if shown is None or self.readyState != "live":
            self.stop()
            raise MediaStreamError
        frame = encodable(shown)
        frame.pts = round(shown.pts * VIDEO_CLOCK_HZ)
        frame.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        self._session.frame_sent(shown, playout.frame_late_s)
        self._sent = shown
        return frame


class SyncedAudio(MediaStreamTrack):
    """The frames' audio in 20 ms pieces of 48 kHz stereo, each sent when it is due."""

    kind = "audio"

    def __init__(self, session: LiveSession) -> None:
        super().__init__()
        self._playout = session.playout
        self._pieces = OpusPieces()

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms."""
        while (piece := self._pieces.take()) is None:
            heard = await self._playout.next_sound()
            if heard is None or self.readyState != "live":
                self.stop()
                raise MediaStreamError
            self._pieces.add(heard)
        start, samples = piece
        await self._playout.wait_until(start / OPUS_HZ)
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = OPUS_HZ, start, Fraction(1, OPUS_HZ)
        return frame


class OpusPieces:
    """Cuts audio of any rate and number of channels into 20 ms of 48 kHz int16 stereo, numbered by their first sample.

    Where audio is missing, silence keeps the count.
    """

    def __init__(self) -> None:
        self._resampler: Any = None
        self._held = np.zeros((0, 2), np.int16)
        self._start: int | None = None
        self._rate_hz = OPUS_HZ

    def add(self, heard: Heard) -> None:
        """Append a piece of audio, which follows on the last one."""
        if self._start is None:
            self._start = round(heard.start * OPUS_HZ / heard.rate_hz)
        stereo = as_stereo_s16(heard.samples)
        if heard.rate_hz != OPUS_HZ:
            stereo = self._resampled(stereo, heard.rate_hz)
        self._held = np.concatenate([self._held, stereo])

    def take(self) -> tuple[int, NDArray[np.int16]] | None:
        """Return the number of the first sample and int16 (960, 2), or None if there is less."""
        if self._start is None or len(self._held) < OPUS_SAMPLES:
            return None
        start, piece = self._start, self._held[:OPUS_SAMPLES]
        self._held = self._held[OPUS_SAMPLES:]
        self._start += OPUS_SAMPLES
        return start, np.ascontiguousarray(piece)

    def _resampled(self, stereo: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
        from av import AudioResampler

        if self._resampler is None or rate_hz != self._rate_hz:
            self._resampler, self._rate_hz = AudioResampler("s16", "stereo", OPUS_HZ), rate_hz
        frame = AudioFrame.from_ndarray(stereo.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = rate_hz
        parts = [out.to_ndarray().reshape(-1, 2) for out in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.int16)


def as_stereo_s16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return int16 (n, 2) of float32 (n, channels) in [-1, 1]; more than two channels are mixed down."""
    if samples.shape[1] > 2:
        samples = samples.mean(axis=1, keepdims=True)
    scaled = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return np.ascontiguousarray(np.broadcast_to(scaled, (len(scaled), 2)))
