"""The two tracks that a browser gets: frames and audio of one ``Playout``, their timestamps from its sample counter."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.audio.frame import AudioFrame

from lipforge.runtime.serve.live_session import ShownSession
from lipforge.runtime.serve.opus import OPUS_DELAY_S, OPUS_HZ, OpusPieces
from lipforge.runtime.serve.playout import Shown
from lipforge.runtime.serve.video_frames import encodable

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

VIDEO_CLOCK_HZ = 90_000
"""RFC 3551, section 5: of every video payload."""


class SyncedVideo(MediaStreamTrack):
    """A session's frames, each sent when it is due."""

    kind = "video"

    def __init__(self, session: ShownSession) -> None:
        super().__init__()
        self._session = session
        self._sent: Shown | None = None
        self.sent_pts = 0.0

    async def recv(self) -> VideoFrame:
        """Return the next frame as yuv420p; asking for it means that the last one is encoded."""
        if self._sent is not None:
            self._session.frame_encoded(self._sent)
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
        self._sent, self.sent_pts = shown, shown.pts
        return frame


class SyncedAudio(MediaStreamTrack):
    """The frames' audio in 20 ms pieces of 48 kHz stereo, each sent when it is due."""

    kind = "audio"

    def __init__(self, session: ShownSession) -> None:
        super().__init__()
        self._playout = session.playout
        self._pieces = OpusPieces()
        self.sent_pts = 0.0

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms when they are due; until then they stay where an interrupt finds them."""
        if self._pieces.next_start is not None:
            await self._playout.wait_until(_due_pts(self._pieces.next_start))
        while (piece := self._pieces.take()) is None:
            heard = await self._playout.next_sound()
            if heard is None or self.readyState != "live":
                self.stop()
                raise MediaStreamError
            self._pieces.add(heard)
        start, samples = piece
        self.sent_pts = _due_pts(start)
        self._playout.sound_leaves(self.sent_pts)
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = OPUS_HZ, start, Fraction(1, OPUS_HZ)
        return frame


def _due_pts(start: int) -> float:
    """Return when the piece from sample ``start`` on has to leave to be heard in time, in seconds of the stream."""
    return start / OPUS_HZ - OPUS_DELAY_S
