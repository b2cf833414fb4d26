"""What the sender's reports say about the time at which a browser's picture and sound were taken.

RTP timestamps of the two tracks have nothing in common; RTCP sender reports (RFC 3550, section 6.4.1) tell for each
track which timestamp belongs to which moment of the sender's clock. aiortc reads these reports but does not show them,
and holds back 80 ms of every sound; this file reaches into it for both, and only ``sender_reports.py`` does beside it.
Where an aiortc has other insides, ``attach`` says so by returning None: pictures then go by the time of their arrival.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiortc import RTCRtpReceiver

_WRAP = 1 << 32
_SEQUENCES = 1 << 16
_REMEMBERED_REPORTS = 5
_MAPPER, _JITTER_BUFFER = "_RTCRtpReceiver__timestamp_mapper", "_RTCRtpReceiver__jitter_buffer"
_HANDLER = "_handle_rtcp_packet"


class SenderClock:
    """Turns the timestamps of a track's frames into seconds of the sender's clock.

    Args:
        mapper: aiortc's, which subtracts the first RTP timestamp from all.
        clock_hz: RTP ticks a second.
    """

    def __init__(self, mapper: Any, clock_hz: int) -> None:
        self._mapper, self._clock_hz = mapper, clock_hz
        self._reports: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED_REPORTS)

    def report(self, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """Take a sender report.

        Args:
            ntp_timestamp: seconds since 1900, times 2**32; 0 from a sender that has not sent yet (aiortc), not used.
            rtp_timestamp: the same moment in the track's own ticks, modulo 2**32.
        """
        if ntp_timestamp:
            self._reports.append((ntp_timestamp / _WRAP, rtp_timestamp))

    def sent_at(self, pts_s: float) -> float | None:
        """Return when the frame with this timestamp was taken, in seconds of the sender's clock; None if unknown."""
        origin = getattr(self._mapper, "_origin", None)
        if not self._reports or origin is None:
            return None
        rtp = round(pts_s * self._clock_hz) + origin
        # Reports were written when a packet left, early or late by some milliseconds: the middle one of a few counts.
        return median(ntp + signed_ticks(rtp - of_report) / self._clock_hz for ntp, of_report in self._reports)


def attach(receiver: RTCRtpReceiver, clock_hz: int) -> SenderClock | None:
    """Listen to a receiver's sender reports from now on.

    Returns:
        The track's clock, or None if this aiortc has other insides.
    """
    mapper, handle = getattr(receiver, _MAPPER, None), getattr(receiver, _HANDLER, None)
    if mapper is None or handle is None:
        return None
    clock = SenderClock(mapper, clock_hz)

    async def listen(packet: Any) -> None:
        info = getattr(packet, "sender_info", None)
        if info is not None:
            clock.report(info.ntp_timestamp, info.rtp_timestamp)
        await handle(packet)

    setattr(receiver, _HANDLER, listen)
    return clock


class InOrder:
    """Hands every packet of sound on as it comes; one that was overtaken counts as lost.

    Takes the place of aiortc's jitter buffer for sound, which waits for four packets, and after a lost one for sixteen.
    The engine's look-ahead is buffer enough, and silence takes the place of what is missing.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def add(self, packet: Any) -> tuple[bool, Any]:
        """Take an RTP packet; return whether a key frame is needed (never), and what can be decoded."""
        from aiortc.jitterbuffer import JitterFrame

        number = packet.sequence_number
        ahead = 1 if self._last is None else (number - self._last) % _SEQUENCES
        if not 0 < ahead < _SEQUENCES // 2:
            return False, None
        self._last = number
        return False, JitterFrame(data=packet._data, timestamp=packet.timestamp)


def shorten_audio_buffer(receiver: RTCRtpReceiver) -> bool:
    """Hand sound on as soon as its packet is there; tell whether this aiortc has the insides for it."""
    if not hasattr(receiver, _JITTER_BUFFER):
        return False
    setattr(receiver, _JITTER_BUFFER, InOrder())
    return True


def signed_ticks(ticks: int) -> int:
    """Return a difference of RTP timestamps, which wrap around, as the nearest signed number."""
    return (ticks + _WRAP // 2) % _WRAP - _WRAP // 2
