"""What our own sender reports tell a receiver: the times at which picture and sound belong together.

A browser lays sound and picture over each other by RTCP sender reports (RFC 3550, section 6.4.1). aiortc writes the
moment into them at which its last packet had left. Until then a picture is encoded, which takes longer than a sound
does and not always the same time, and a browser holds the sound back by as much. Here a report tells the stream's own
time, of which both tracks have the same. Where an aiortc has other insides, its reports stay as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from lipforge.runtime.serve.sender_clock import signed_ticks

if TYPE_CHECKING:
    from aiortc import RTCRtpSender

_NTP_UNITS = 1 << 32
_RTP_TIME, _LAST_REPORT = "_RTCRtpSender__rtp_timestamp", "_RTCRtpSender__lsr"
_NEXT, _SEND = "_next_encoded_frame", "_send_rtcp"


class TimedTrack(Protocol):
    """A track that knows when what it handed out last is seen or heard, in seconds of the stream."""

    sent_pts: float


class StreamTime:
    """The stream's time as a receiver is told of it: laid over the machine's once, for all tracks of a connection.

    Args:
        begin: gives the event loop's time at the stream's time 0; called once, for the first report.
    """

    def __init__(self, begin: Callable[[], float]) -> None:
        self._begin = begin
        self._zero_s: float | None = None

    def ntp(self, pts: float) -> int:
        """Return a time of the stream in units of NTP: seconds since 1900, times 2**32."""
        if self._zero_s is None:
            from aiortc.clock import current_ntp_time

            now = asyncio.get_running_loop().time()
            self._zero_s = current_ntp_time() / _NTP_UNITS - now + self._begin()
        return round((self._zero_s + pts) * _NTP_UNITS)


def tell_stream_time(sender: RTCRtpSender, track: TimedTrack, clock_hz: int, ntp: Callable[[float], int]) -> bool:
    """Have a sender's reports tell the stream's time.

    Args:
        sender: before it has sent anything.
        track: what it sends.
        clock_hz: RTP ticks a second.
        ntp: gives the NTP time of a time of the stream.

    Returns:
        Whether this aiortc has the insides for it.
    """
    if not all(hasattr(sender, name) for name in (_RTP_TIME, _LAST_REPORT, _NEXT, _SEND)):
        return False
    reports = _Reports(sender, track, clock_hz, ntp)
    setattr(sender, _NEXT, reports.next_encoded)
    setattr(sender, _SEND, reports.send)
    return True


class _Reports:
    """Knows which RTP timestamp of a sender belongs to which time of the stream."""

    def __init__(self, sender: Any, track: TimedTrack, clock_hz: int, ntp: Callable[[float], int]) -> None:
        self._sender, self._track, self._clock_hz, self._ntp = sender, track, clock_hz, ntp
        self._next, self._send = getattr(sender, _NEXT), getattr(sender, _SEND)
        self._encoded: tuple[int, float] | None = None
        self._origin: int | None = None

    async def next_encoded(self, codec: Any) -> Any:
        """Encode the next frame; by now all packets of the last one have left, with its timestamp."""
        if self._encoded is not None:
            self._origin = getattr(self._sender, _RTP_TIME) - self._encoded[0]
        frame = await self._next(codec)
        if frame is not None:
            self._encoded = frame.timestamp, self._track.sent_pts
        return frame

    async def send(self, packets: list[Any]) -> None:
        """Send RTCP packets, the reports among them with the stream's time; none before that is known."""
        for packet in packets:
            info = getattr(packet, "sender_info", None)
            if info is None:
                continue
            if self._encoded is None or self._origin is None:
                return
            ticks, pts = self._encoded
            later = signed_ticks(info.rtp_timestamp - self._origin - ticks)
            info.ntp_timestamp = self._ntp(pts + later / self._clock_hz)
            # A receiver sends the middle of it back, for the round-trip time.
            setattr(self._sender, _LAST_REPORT, info.ntp_timestamp >> 16 & 0xFFFFFFFF)
        await self._send(packets)
