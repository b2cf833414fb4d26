"""The times in our sender reports: those of the stream, whenever packets leave."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiortc")

from aiortc import RTCRtpSender
from aiortc.rtp import RtcpByePacket, RtcpSenderInfo, RtcpSrPacket

from lipforge.runtime.serve.sender_clock import SenderClock
from lipforge.runtime.serve.sender_reports import StreamTime, tell_stream_time

CLOCK_HZ, SECOND = 90_000, 1 << 32


class Sender:
    """As much of aiortc's as is reached into; its timestamps begin shortly before they wrap around."""

    origin = (1 << 32) - 1000

    def __init__(self) -> None:
        self._RTCRtpSender__rtp_timestamp = self._RTCRtpSender__lsr = 0
        self.sent: list[Any] = []
        self.coming: list[int | None] = []

    async def _next_encoded_frame(self, codec: object) -> object:
        ticks = self.coming.pop(0)
        return None if ticks is None else SimpleNamespace(timestamp=ticks)

    async def _send_rtcp(self, packets: list[Any]) -> None:
        self.sent += packets

    def leave(self, ticks: int) -> None:
        self._RTCRtpSender__rtp_timestamp = (self.origin + ticks) % (1 << 32)

    async def report(self) -> None:
        info = RtcpSenderInfo(12345, self._RTCRtpSender__rtp_timestamp, 1, 1)
        await self._send_rtcp([RtcpSrPacket(ssrc=1, sender_info=info)])


def test_a_report_tells_the_streams_time_of_the_packet_that_left_last() -> None:
    async def body() -> None:
        sender, track = Sender(), SimpleNamespace(sent_pts=0.0)
        assert tell_stream_time(sender, track, CLOCK_HZ, lambda pts: round((100 + pts) * SECOND))  # type: ignore[arg-type]
        told = []
        sender.coming = [0, 3600, None, 7200]
        await sender.report()  # nothing has been encoded: not sent
        for pts, ticks in ((7.0, 0), (7.04, 3600)):
            track.sent_pts = pts
            await sender._next_encoded_frame(None)
            await sender.report()  # encoded, but its packets have not left
            told.append([packet.sender_info.ntp_timestamp / SECOND for packet in sender.sent])
            sender.leave(ticks)
        await sender.report()
        track.sent_pts = 7.08
        await sender._next_encoded_frame(None)  # kept back by the encoder
        await sender._next_encoded_frame(None)
        await sender.report()
        told.append([packet.sender_info.ntp_timestamp / SECOND for packet in sender.sent])
        assert told == [[], [107.0], pytest.approx([107.0, 107.04, 107.04])]
        assert sender._RTCRtpSender__lsr == sender.sent[-1].sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF
        await sender._send_rtcp([RtcpByePacket(sources=[1])])
        assert len(sender.sent) == 4

    asyncio.run(body())


def test_both_tracks_of_a_connection_are_told_one_time() -> None:
    async def body() -> None:
        begins = iter([asyncio.get_running_loop().time()])
        time = StreamTime(lambda: next(begins))  # asked for once
        first = time.ntp(2.0)
        await asyncio.sleep(0.05)
        assert time.ntp(3.5) - first == pytest.approx(1.5 * SECOND, abs=2)

    asyncio.run(body())


def test_this_aiortc_has_the_insides_that_are_reached_into() -> None:
    async def body() -> bool:
        sender = RTCRtpSender("video", SimpleNamespace(state="new"))  # type: ignore[arg-type]
        return tell_stream_time(sender, SimpleNamespace(sent_pts=0.0), CLOCK_HZ, round)

    assert asyncio.run(body())
    assert not tell_stream_time(SimpleNamespace(), SimpleNamespace(sent_pts=0.0), CLOCK_HZ, round)  # type: ignore[arg-type]


def test_a_report_of_a_sender_that_has_not_sent_yet_does_not_count() -> None:
    clock = SenderClock(SimpleNamespace(_origin=0), CLOCK_HZ)
    clock.report(0, 0)
    assert clock.sent_at(1.0) is None
    clock.report(50 * SECOND, CLOCK_HZ)
    assert clock.sent_at(2.0) == 51.0
