"""What the WebRTC sender gets: the engine's frames, bit for bit, on the clock of their audio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveFrame, LiveOptions, LiveStream, WallClock
from lipforge.runtime.serve.live_session import LiveSession
from lipforge.runtime.serve.metrics import Metrics
from lipforge.runtime.serve.tracks import SyncedAudio, SyncedVideo

RATE_HZ = 48_000
SECONDS = 1.2

Planes = tuple[bytes, bytes, bytes]


@pytest.fixture
def new_stream(bundle: Bundle, disc_tracker: Any, avatar_file: Path, voice: Callable[..., Any]) -> Callable[..., Any]:
    avatar = Avatar.prepare(avatar_file, bundle, tracker=disc_tracker)

    def make() -> LiveStream:
        stream = LiveStream(bundle, avatar, LiveOptions(sample_rate_hz=RATE_HZ, late_video_ms=1e6))
        stream.push_audio(voice(round(SECONDS * RATE_HZ), RATE_HZ), RATE_HZ)
        return stream

    return make


def planes(frame: LiveFrame) -> Planes:
    image: Any = frame.image
    return image.y.tobytes(), image.u.tobytes(), image.v.tobytes()


def test_the_sender_gets_the_frames_that_a_file_would_get(new_stream: Callable[..., Any], run_async: Any) -> None:
    with new_stream() as stream:
        stream.end()
        to_file = {round(90_000 * frame.pts): (planes(frame), frame.audio.copy()) for frame in stream}
    sound = np.concatenate([audio for _, audio in to_file.values()])

    async def sent() -> tuple[dict[int, Planes], dict[int, Any]]:
        with ThreadPoolExecutor(1) as executor:
            session = LiveSession("avatar", new_stream(), WallClock(), RATE_HZ, Metrics(), executor)
            session.playout.attach()
            video, audio = SyncedVideo(session), SyncedAudio(session)
            pictures: dict[int, Planes] = {}
            sounds: dict[int, Any] = {}

            async def watch() -> None:
                while len(pictures) < 25:
                    frame = await video.recv()
                    assert frame.format.name == "yuv420p"
                    image = frame.to_ndarray()
                    luma = frame.height
                    chroma = image[luma:].reshape(2, -1)
                    pictures[frame.pts] = (image[:luma].tobytes(), chroma[0].tobytes(), chroma[1].tobytes())

            async def listen() -> None:
                while len(sounds) < 45:
                    frame = await audio.recv()
                    sounds[frame.pts] = frame.to_ndarray().reshape(-1, 2)

            await asyncio.gather(watch(), listen())
            await session.close()
            return pictures, sounds

    pictures, sounds = run_async(sent())
    compared = [pts for pts in pictures if pts in to_file]
    assert len(compared) >= 20
    assert all(pictures[pts] == to_file[pts][0] for pts in compared)
    first = min(sounds)  # 0, unless this machine was busy when the sound began
    assert first % 960 == 0
    assert list(sounds) == list(range(first, first + 960 * len(sounds), 960))
    heard, sound = np.concatenate(list(sounds.values())), sound[first:]
    count = min(len(heard), len(sound))
    np.testing.assert_allclose(heard[:count, 0] / 32768, sound[:count, 0], atol=1 / 32768)
    np.testing.assert_array_equal(heard[:, 0], heard[:, 1])


def test_a_session_ends_its_tracks(new_stream: Callable[..., Any], run_async: Any) -> None:
    from aiortc.mediastreams import MediaStreamError

    async def body() -> None:
        with ThreadPoolExecutor(1) as executor:
            session = LiveSession("avatar", new_stream(), WallClock(), RATE_HZ, Metrics(), executor)
            session.playout.attach()
            video, audio = SyncedVideo(session), SyncedAudio(session)
            await video.recv()
            await session.close()
            await session.close()
            for track in (video, audio):
                with pytest.raises(MediaStreamError):
                    await track.recv()
                assert track.readyState == "ended"

    run_async(body())
