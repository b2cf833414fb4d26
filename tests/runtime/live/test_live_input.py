"""What may be pushed into a live stream, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.live import Avatar, LiveFrame, LiveStream

RATE_HZ = 16_000
PERIOD = Fraction(1, 25)
SAMPLES = 640
Scene = Callable[..., np.ndarray]
Voice = Callable[[int, int], np.ndarray]
Open = Callable[..., LiveStream]
Tone = Callable[..., np.ndarray]
CheckGapless = Callable[[list[LiveFrame]], None]


# What may be pushed.


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_channels(open_stream: Open, avatar: Avatar, voice: Voice, rate_hz: int, channels: int) -> None:
    stream = open_stream(avatar)
    pcm = (32767 * np.repeat(voice(rate_hz, rate_hz)[:, None], channels, axis=1)).astype(np.int16)
    stream.push_audio(pcm, rate_hz)
    stream.end()
    frames = list(stream)
    assert len(frames) == 25
    assert any(frame.stats.driven for frame in frames)
    spoken = np.concatenate([frame.audio for frame in frames])
    assert np.array_equal(spoken, (pcm / 32768).astype(np.float32))


def test_the_format_may_change_in_the_middle(
    open_stream: Open, avatar: Avatar, tone: Tone, check_gapless: CheckGapless
) -> None:
    stream = open_stream(avatar, late_audio_ms=0.0)
    for rate_hz, channels in ((16_000, 1), (48_000, 2), (8000, 1), (44_100, 2), (16_000, 1)):
        stream.push_audio(np.repeat(tone(0.5, rate_hz)[:, None], channels, axis=1), rate_hz)
    stream.end()
    frames = list(stream)
    check_gapless(frames)
    spoken = np.concatenate([frame.audio for frame in frames])
    assert spoken.shape[1] == 1
    assert len(spoken) == pytest.approx(2.5 * RATE_HZ, abs=SAMPLES)
    assert np.sqrt((spoken[2000:-2000] ** 2).mean()) == pytest.approx(0.4 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize(
    ("pcm", "rate_hz", "reason"),
    [
        (np.full(100, np.nan, np.float32), RATE_HZ, "not finite"),
        (np.zeros(100, np.float64), RATE_HZ, "dtype"),
        (np.zeros((2, 3, 4), np.float32), RATE_HZ, "shape"),
        (np.zeros(100, np.float32), 12, "sample_rate_hz is 12"),
        (np.zeros(100, np.float32), 16_000.0, "sample_rate_hz is 16000.0"),
        (np.zeros((5, 0), np.float32), RATE_HZ, "shape"),
    ],
)
def test_unusable_audio_is_refused_and_the_stream_goes_on(
    open_stream: Open, avatar: Avatar, pcm: np.ndarray, rate_hz: int, reason: str, tone: Tone
) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(0.5), RATE_HZ)
    with pytest.raises(InputError, match=reason):
        stream.push_audio(pcm, rate_hz)
    stream.push_audio(tone(0.5), RATE_HZ)
    stream.end()
    assert len(list(stream)) == 25


def test_sizes_may_change_between_frames(open_stream: Open, scene: Scene, tone: Tone) -> None:
    stream = open_stream(video_queue_ms=5000.0)
    stream.push_audio(tone(1.2), RATE_HZ)
    sizes = [(160, 120)] * 8 + [(321, 243)] * 8 + [(97, 131)] * 8
    for index, (width, height) in enumerate(sizes):
        stream.push_frame(scene(width, height, index), index * PERIOD)
    stream.end()
    frames = list(stream)
    assert [frame.image.shape[1::-1] for frame in frames] == sizes
    assert all(frame.stats.driven for frame in frames)
    assert [round(frame.stats.strength, 2) for frame in frames[7:11]] == [1.0, 0.33, 0.67, 1.0]


def test_the_audio_queue_is_bounded(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
    stream = open_stream(avatar, audio_queue_ms=500.0)
    stream.push_audio(tone(0.6), RATE_HZ)
    with pytest.raises(InputError, match=r"0\.5 s of audio wait"):
        stream.push_audio(tone(0.1), RATE_HZ)
    stream.interrupt()
    stream.push_audio(tone(0.1), RATE_HZ)


def test_what_cannot_go_in_is_refused(open_stream: Open, avatar: Avatar, scene: Scene, tone: Tone) -> None:
    stream = open_stream(avatar)
    with pytest.raises(InputError, match="has an avatar"):
        stream.push_frame(scene(160, 120, 0))
    stream.end()
    stream.end()
    with pytest.raises(InputError, match="after the stream's end"):
        stream.push_audio(tone(0.1), RATE_HZ)
    stream.close()
    stream.close()
    for call in (stream.flush, stream.interrupt, stream.end):
        with pytest.raises(InputError, match="closed"):
            call()
    assert stream.ended
    camera = open_stream()
    camera.push_frame(scene(160, 120, 0), 0.5)
    with pytest.raises(InputError, match="must increase"):
        camera.push_frame(scene(160, 120, 0), 0.5)
    with pytest.raises(InputError, match="image"):
        camera.push_frame(np.zeros((4, 4), np.uint8))


def test_frames_without_a_time_follow_the_audio(open_stream: Open, scene: Scene, tone: Tone) -> None:
    stream = open_stream()
    for index in range(4):
        stream.push_frame(scene(160, 120, index))
        stream.push_audio(tone(0.04), RATE_HZ)
    stream.end()
    assert [frame.pts for frame in stream] == [index * PERIOD for index in range(4)]
