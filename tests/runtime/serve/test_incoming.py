"""A browser's pictures and sound find their place on the engine's clock."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.serve.incoming import Incoming, samples_of
from lipforge.runtime.serve.opus import OPUS_DELAY_S, OPUS_HZ, OpusPieces
from lipforge.runtime.serve.playout import Heard
from lipforge.runtime.serve.sender_clock import InOrder, SenderClock, attach, shorten_audio_buffer

NTP = 3_900_000_000.0


class Stream:
    """Notes what is pushed."""

    def __init__(self) -> None:
        self.audio_seconds = 0.0
        self.pushed: list[float] = []
        self.pieces: list[np.ndarray] = []

    def push_audio(self, pcm: np.ndarray, rate_hz: int) -> None:
        if pcm.dtype == np.float32 and not np.isfinite(pcm).all():
            raise InputError("not finite")
        self.audio_seconds += len(pcm) / rate_hz
        self.pieces.append(pcm)

    def push_frame(self, image: object, pts: float, source: object) -> None:
        self.pushed.append(pts)


@pytest.fixture
def incoming() -> Incoming:
    session = SimpleNamespace(stream=Stream(), clock=None, heard_first_audio=lambda: None)
    return Incoming(session, 1000 * 1000)  # type: ignore[arg-type]


def sound(seconds: float, samples: int = 960, value: int = 100) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.full((1, 2 * samples), value, np.int16), format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, round(seconds * 48_000), Fraction(1, 48_000)
    return frame


def picture(seconds: float, width: int = 16, height: int = 16) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.pts, frame.time_base = round(seconds * 90_000), Fraction(1, 90_000)
    return frame


def clock(hz: int, origin: int, ntp_of_zero: float) -> SenderClock:
    made = SenderClock(SimpleNamespace(_origin=origin), hz)
    for seconds in (0.5, 1.0, 1.5):
        made.report(round((NTP + ntp_of_zero + seconds) * 2**32), (origin + round(seconds * hz)) % 2**32)
    return made


def feed(incoming: Incoming, frames: list[Any]) -> None:
    class Track:
        async def recv(self) -> Any:
            from aiortc.mediastreams import MediaStreamError

            if not frames:
                raise MediaStreamError
            return frames.pop(0)

    listen = incoming.watch if isinstance(frames[0], av.VideoFrame) else incoming.listen
    asyncio.run(listen(Track()))  # type: ignore[arg-type]


@pytest.mark.parametrize("origins", [(0, 0), (2**32 - 100, 5), (123_456_789, 2**32 - 90_000)])
def test_pictures_go_by_the_sender_s_clock_wherever_timestamps_begin(
    incoming: Incoming, origins: tuple[int, int]
) -> None:
    incoming.audio_clock = clock(48_000, origins[0], 0.0)
    incoming.video_clock = clock(90_000, origins[1], 0.3)  # the camera's first picture was taken 0.3 s later
    feed(incoming, [sound(index * 0.02) for index in range(20)])
    feed(incoming, [picture(index * 0.04) for index in range(10)])
    wanted = [0.3 + index * 0.04 + OPUS_DELAY_S for index in range(10)]
    np.testing.assert_allclose(incoming._session.stream.pushed, wanted, atol=1e-3)


def test_without_reports_pictures_go_by_their_arrival(incoming: Incoming) -> None:
    feed(incoming, [sound(0.0)])
    feed(incoming, [picture(77.0)])
    assert incoming._session.stream.pushed == [0.02]


def test_reports_that_cannot_be_true_are_not_believed(incoming: Incoming) -> None:
    incoming.audio_clock, incoming.video_clock = clock(48_000, 0, 0.0), clock(90_000, 0, 3600.0)
    feed(incoming, [sound(0.0)])
    feed(incoming, [picture(0.0)])
    assert incoming._session.stream.pushed == [0.02]


def test_lost_sound_becomes_silence_and_a_leap_starts_anew(incoming: Incoming) -> None:
    feed(incoming, [sound(0.0), sound(0.02), sound(0.10), sound(500.0), sound(3.0)])
    pieces = incoming._session.stream.pieces
    assert [len(piece) for piece in pieces] == [960, 960, 2880, 960, 960, 960]
    assert not pieces[2].any()


def test_pictures_that_come_too_late_or_are_too_large_cost_only_themselves(incoming: Incoming) -> None:
    feed(incoming, [sound(0.0)])
    feed(incoming, [picture(0.0), picture(0.0), picture(0.0, 1001, 1000)])
    assert incoming._session.stream.pushed == [0.02]
    assert incoming.refused == 1


@pytest.mark.parametrize(("layout", "kind"), [("mono", "s16"), ("stereo", "fltp"), ("5.1", "s16p"), ("stereo", "flt")])
def test_sound_of_any_layout_becomes_samples(layout: str, kind: str) -> None:
    frame = av.AudioFrame(format=kind, layout=layout, samples=100)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    assert samples_of(frame).shape == (100, frame.layout.nb_channels)


def test_sound_that_is_not_a_number_becomes_silence() -> None:
    frame = av.AudioFrame.from_ndarray(np.full((1, 10), np.nan, np.float32), format="fltp", layout="mono")
    assert not samples_of(frame).any()
    with pytest.raises(InputError, match="16-bit"):
        samples_of(av.AudioFrame(format="u8", layout="mono", samples=10))


def test_packets_of_sound_are_handed_on_in_order_across_the_wrap() -> None:
    buffer, taken = InOrder(), []
    for number in (65_534, 65_535, 0, 2, 1, 3, 3, 40_000, 4):
        packet = SimpleNamespace(sequence_number=number, timestamp=number, _data=b"")
        pli, frame = buffer.add(packet)
        assert not pli
        taken += [] if frame is None else [frame.timestamp]
    assert taken == [65_534, 65_535, 0, 2, 3, 4]


def test_this_aiortc_has_the_insides_that_are_reached_into() -> None:
    """If this fails after an update of aiortc, pictures go by their arrival and sound is late: mend sender_clock.py."""

    async def body() -> None:
        from aiortc import RTCPeerConnection

        connection = RTCPeerConnection()
        receiver = connection.addTransceiver("audio").receiver
        assert attach(receiver, 48_000) is not None
        assert shorten_audio_buffer(receiver)
        await connection.close()

    asyncio.run(body())
    assert attach(SimpleNamespace(), 48_000) is None  # type: ignore[arg-type]
    assert not shorten_audio_buffer(SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (48_000, 1), (16_000, 1), (44_100, 6)])
def test_opus_pieces_are_whole_numbered_and_lose_nothing(rate_hz: int, channels: int) -> None:
    pieces, start, taken = OpusPieces(), 7 * rate_hz, []
    for count in np.random.default_rng(1).integers(1, 3000, 40):
        samples = np.full((count, channels), 0.25, np.float32)
        pieces.add(Heard(start, samples, rate_hz))
        start += int(count)
        while (piece := pieces.take()) is not None:
            taken.append(piece)
    numbers = [number for number, _ in taken]
    assert numbers == list(range(7 * OPUS_HZ, 7 * OPUS_HZ + 960 * len(taken), 960))
    assert {piece.shape for _, piece in taken} == {(960, 2)}
    assert 960 * len(taken) == pytest.approx((start / rate_hz - 7) * OPUS_HZ, abs=1100)
    np.testing.assert_allclose(taken[len(taken) // 2][1], 8192, atol=2)
