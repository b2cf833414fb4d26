"""The example in docs, run against stand-ins that have the shape of livekit 1.8 and drive it as its runner does."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveOptions, LiveStream

RATE_HZ = 24_000


@dataclass
class AudioFrame:
    """livekit.rtc.AudioFrame: its data are bytes-like, int16."""

    data: Any
    sample_rate: int
    num_channels: int
    samples_per_channel: int

    def __post_init__(self) -> None:
        assert len(self.data) == 2 * self.num_channels * self.samples_per_channel

    @property
    def duration(self) -> float:
        return self.samples_per_channel / self.sample_rate


@dataclass
class VideoFrame:
    width: int
    height: int
    type: int
    data: bytes

    def __post_init__(self) -> None:
        assert len(self.data) == self.width * self.height * 3 // 2


class AudioSegmentEnd:
    pass


class VideoGenerator(ABC):
    @abstractmethod
    async def push_audio(self, frame: object) -> None: ...

    @abstractmethod
    def clear_buffer(self) -> None: ...

    @abstractmethod
    def __aiter__(self) -> Any: ...


class Runner:
    """What livekit's AvatarRunner does with a generator: counts the sound, tells when an utterance was heard."""

    def __init__(self, generator: Any) -> None:
        self.generator, self.position, self.pictures = generator, 0.0, 0
        self.finished: list[tuple[float, bool]] = []

    async def forward(self) -> None:
        async for frame in self.generator:
            if isinstance(frame, AudioSegmentEnd):
                self.finished.append((self.position, False))
                self.position = 0.0
            elif isinstance(frame, AudioFrame):
                self.position += frame.duration
            else:
                self.pictures += 1

    def interrupt(self) -> None:
        self.generator.clear_buffer()
        self.finished.append((self.position, True))
        self.position = 0.0


@pytest.fixture
def example(load_example: Callable[..., ModuleType]) -> ModuleType:
    rtc = SimpleNamespace(AudioFrame=AudioFrame, VideoFrame=VideoFrame, VideoBufferType=SimpleNamespace(I420=5))
    avatar = SimpleNamespace(AudioSegmentEnd=AudioSegmentEnd, VideoGenerator=VideoGenerator)
    stand_ins = {
        "livekit": SimpleNamespace(rtc=rtc),
        "livekit.rtc": rtc,
        "livekit.agents": SimpleNamespace(),
        "livekit.agents.voice": SimpleNamespace(avatar=avatar),
        "livekit.agents.voice.avatar": avatar,
    }
    return load_example("livekit_avatar", stand_ins)


def speech(seconds: float) -> list[AudioFrame]:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples = (9000 * np.sin(2 * np.pi * 300 * time)).astype(np.int16)
    parts = [samples[start : start + 480] for start in range(0, len(samples), 480)]
    return [AudioFrame(memoryview(part.tobytes()), RATE_HZ, 1, len(part)) for part in parts]


def test_the_example_speaks_tells_the_end_and_can_be_interrupted(
    example: ModuleType, bundle: Bundle, disc_tracker: Any, avatar_file: Path, run_async: Callable[..., Any]
) -> None:
    avatar = Avatar.prepare(avatar_file, bundle, tracker=disc_tracker)

    async def body() -> Runner:
        with LiveStream(bundle, avatar, LiveOptions(sample_rate_hz=RATE_HZ, channels=1)) as stream:
            runner = Runner(example.LipforgeVideo(stream))
            forwarding = asyncio.ensure_future(runner.forward())
            for frame in [*speech(0.6), AudioSegmentEnd()]:
                await runner.generator.push_audio(frame)
            while not runner.finished:
                await asyncio.sleep(0.02)
            for frame in speech(10.0):
                await runner.generator.push_audio(frame)
            while runner.position < 0.2:
                await asyncio.sleep(0.02)
            runner.interrupt()
            pictures, position = runner.pictures, runner.position
            while runner.pictures < pictures + 10:
                await asyncio.sleep(0.02)
            assert runner.position == position == 0  # pictures go on, sound does not
            forwarding.cancel()
            return runner

    runner = run_async(body())
    assert [interrupted for _, interrupted in runner.finished] == [False, True]
    assert runner.finished[0][0] == pytest.approx(0.6, abs=0.09)
    assert 0.2 <= runner.finished[1][0] < 5
