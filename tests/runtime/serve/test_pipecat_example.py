"""The example in docs, run against stand-ins that have the shape of pipecat 1.14 and drive it as its pipelines do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveOptions, LiveStream

RATE_HZ = 24_000
OPTIONS = LiveOptions(sample_rate_hz=RATE_HZ, channels=1)
DOWNSTREAM = "downstream"


class Frame:
    pass


class StartFrame(Frame):
    pass


class EndFrame(Frame):
    pass


class CancelFrame(Frame):
    pass


class InterruptionFrame(Frame):
    pass


class TextFrame(Frame):
    pass


@dataclass(eq=False)
class TTSStoppedFrame(Frame):
    context_id: str | None = None


@dataclass(eq=False)
class OutputImageRawFrame(Frame):
    image: bytes
    size: tuple[int, int]
    format: str | None
    sync_with_audio: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        assert len(self.image) == 3 * self.size[0] * self.size[1]


@dataclass(eq=False)
class TTSAudioRawFrame(Frame):
    audio: bytes
    sample_rate: int
    num_channels: int
    context_id: str | None = None


class FrameProcessor:
    """What pipecat's does for a processor: runs its tasks, and takes what it pushes on."""

    def __init__(self, *, name: str = "") -> None:
        self.name = name
        self.pushed: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: str) -> None:
        pass

    async def push_frame(self, frame: Frame, direction: str = DOWNSTREAM) -> None:
        self.pushed.append(frame)

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def cleanup(self) -> None:
        pass

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for frame in self.pushed if isinstance(frame, kind)]


@pytest.fixture
def example(load_example: Callable[..., ModuleType]) -> ModuleType:
    kinds = (StartFrame, EndFrame, CancelFrame, InterruptionFrame, TTSStoppedFrame, OutputImageRawFrame)
    frames = SimpleNamespace(**{kind.__name__: kind for kind in (Frame, *kinds, TTSAudioRawFrame)})
    processor = SimpleNamespace(FrameProcessor=FrameProcessor, FrameDirection=str)
    stand_ins = {
        "pipecat": SimpleNamespace(),
        "pipecat.frames": SimpleNamespace(frames=frames),
        "pipecat.frames.frames": frames,
        "pipecat.processors": SimpleNamespace(frame_processor=processor),
        "pipecat.processors.frame_processor": processor,
    }
    return load_example("pipecat_avatar", stand_ins)


def speech(seconds: float) -> list[TTSAudioRawFrame]:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples = (9000 * np.sin(2 * np.pi * 300 * time)).astype(np.int16)
    parts = [samples[start : start + 480] for start in range(0, len(samples), 480)]
    return [TTSAudioRawFrame(part.tobytes(), RATE_HZ, 1) for part in parts]


async def until(condition: Callable[[], object]) -> None:
    end = asyncio.get_running_loop().time() + 60.0
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.02)


def heard_s(frames: list[TTSAudioRawFrame]) -> float:
    return sum(len(frame.audio) for frame in frames) / 2 / RATE_HZ


def test_the_example_speaks_tells_the_end_and_can_be_interrupted(
    example: ModuleType, bundle: Bundle, disc_tracker: Any, avatar_file: Path, run_async: Callable[..., Any]
) -> None:
    avatar = Avatar.prepare(avatar_file, bundle, tracker=disc_tracker)

    async def body() -> None:
        processor = example.LipforgeVideo(LiveStream(bundle, avatar, OPTIONS), name="face")

        async def give(*frames: Frame) -> None:
            for frame in frames:
                await processor.process_frame(frame, DOWNSTREAM)

        first, second, last = (TTSStoppedFrame(name) for name in ("first", "second", "last"))
        await give(StartFrame())
        await until(lambda: len(processor.of(OutputImageRawFrame)) >= 5)
        assert processor.of(TTSAudioRawFrame) == []  # it idles, silent
        await give(TextFrame(), *speech(0.6), first)
        assert processor.of(TTSStoppedFrame) == []  # not heard yet
        await until(lambda: processor.of(TTSStoppedFrame))
        pictures, sounds = processor.of(OutputImageRawFrame), processor.of(TTSAudioRawFrame)
        assert {(picture.size, picture.format, picture.sync_with_audio) for picture in pictures} == {
            ((160, 120), "RGB", True)
        }
        said = np.concatenate([np.frombuffer(frame.audio, np.int16) for frame in sounds])
        wanted = np.frombuffer(b"".join(frame.audio for frame in speech(0.6)), np.int16)
        at = int(np.flatnonzero(said)[0]) - 1
        np.testing.assert_allclose(said[at : at + len(wanted)], wanted, atol=1)

        processor.pushed.clear()
        await give(*speech(10.0), second)
        await until(lambda: heard_s(processor.of(TTSAudioRawFrame)) > 0.2)
        await give(InterruptionFrame())
        processor.pushed.clear()
        await until(lambda: len(processor.of(OutputImageRawFrame)) >= 10)
        assert {type(frame) for frame in processor.pushed} == {OutputImageRawFrame}  # pictures go on, nothing else

        await give(*speech(0.4), last, EndFrame())  # what was said is shown before the end is passed on
        assert processor.of(TTSStoppedFrame) == [last]
        assert isinstance(processor.pushed[-1], EndFrame)
        assert heard_s(processor.of(TTSAudioRawFrame)) == pytest.approx(0.4, abs=0.09)
        await processor.cleanup()

    run_async(body())


def test_a_cancelled_pipeline_ends_at_once(
    example: ModuleType, bundle: Bundle, disc_tracker: Any, avatar_file: Path, run_async: Callable[..., Any]
) -> None:
    avatar = Avatar.prepare(avatar_file, bundle, tracker=disc_tracker)

    async def body() -> None:
        processor = example.LipforgeVideo(LiveStream(bundle, avatar, OPTIONS))
        for frame in (StartFrame(), *speech(5.0), CancelFrame()):
            await processor.process_frame(frame, DOWNSTREAM)
        await processor.cleanup()
        assert isinstance(processor.pushed[-1], CancelFrame | OutputImageRawFrame)
        assert heard_s(processor.of(TTSAudioRawFrame)) < 1.0

    run_async(body())
