"""Voice agents: speech in; frames, their audio and events out; nothing that they say does harm."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest

from lipforge.runtime.serve.options import Limits

RATE_HZ = 16_000


def speech(seconds: float, rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = 12_000 * np.sin(2 * np.pi * 300 * time) * (np.sin(2 * np.pi * 3 * time) > -0.5)
    return np.repeat(samples[:, None], channels, axis=1).astype("<i2").tobytes()


def test_speech_comes_back_with_frames_whose_lips_follow_it(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running, hire(running, sample_rate=RATE_HZ) as agent:
            (started,) = agent.of("started")
            assert (started["sample_rate"], started["fps"]) == (RATE_HZ, 25.0)
            assert 50 < started["lookahead_ms"] < 250
            said = speech(1.5)
            for part in range(0, len(said), 640):
                await agent.say(said[part : part + 640])
            await agent.say({"type": "flush"})
            await agent.until(lambda: any(event.get("finished") for event in agent.of("played_until")))
            frames = agent.frames
            starts = [frame["start"] for frame in frames]
            lengths = [len(frame["audio"]) for frame in frames]
            assert starts == [sum(lengths[:index]) for index in range(len(frames))]
            heard = np.concatenate([frame["audio"][:, 0] for frame in frames])
            wanted = np.frombuffer(said, "<i2")
            first = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(wanted)[0])
            np.testing.assert_allclose(heard[first : first + len(wanted)], wanted, atol=1)
            assert sum(frame["driven"] for frame in frames) >= 5  # of 37, however busy this machine is
            assert all(frame["image"].shape == (120, 160, 3) for frame in frames if frame["image"] is not None)
            last = [event for event in agent.of("played_until") if event["finished"]][-1]
            assert last["position"] == pytest.approx(1.5, abs=0.01)
            assert agent.of("error") == []
            metrics = running.studio.metrics
            assert metrics.counter("frames") >= len(frames)
            assert metrics.queue_ms.quantiles()[0] > 0
            assert metrics.first_frame_ms.quantiles()[0] > 0

    run_async(body())


def test_a_player_can_play_what_comes_as_webm(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> bytes:
        async with serving() as running, hire(running, sample_rate=RATE_HZ, output="webm") as agent:
            await agent.say(speech(2.0))
            await agent.say({"type": "flush"})
            await agent.until(lambda: any(event["finished"] for event in agent.of("played_until")))
            size = len(agent.webm)
            await agent.until(lambda: len(agent.webm) > size)
            return agent.webm

    with av.open(io.BytesIO(run_async(body()))) as container:
        assert {stream.codec_context.name for stream in container.streams} == {"vp8", "opus"}
        frames = list(container.decode())
    pictures = [frame for frame in frames if isinstance(frame, av.VideoFrame)]
    sounds = [frame for frame in frames if isinstance(frame, av.AudioFrame)]
    assert {(picture.width, picture.height) for picture in pictures} == {(160, 120)}
    times = [picture.time for picture in pictures]
    assert times == sorted(set(times))
    heard = np.concatenate([sound.to_ndarray()[0] for sound in sounds])
    assert len(heard) > 40_000
    assert np.abs(heard).max() > 0.2
    assert len(pictures) >= 3  # of some 50, however busy this machine is
    assert abs(times[0] - sounds[0].time) < 0.3


def test_an_interrupt_stops_speech_at_once_and_tells_how_far_it_was(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running, hire(running, sample_rate=RATE_HZ, width=32, quality=30) as agent:
            await agent.say(speech(20.0))
            await agent.until(lambda: sum(frame["driven"] for frame in agent.frames) > 10)
            await agent.say({"type": "interrupt"})
            await agent.until(lambda: agent.of("interrupted"))
            (event,) = agent.of("interrupted")
            assert 0.3 < event["position"] < 15
            acknowledged = len(agent.frames)
            await agent.until(lambda: len(agent.frames) > acknowledged + 15)
            after = agent.frames[acknowledged:]
            assert not any(frame["audio"].any() for frame in after)
            assert after[-1]["epoch"] == 1
            starts = [frame["start"] + len(frame["audio"]) for frame in agent.frames]
            assert [frame["start"] for frame in agent.frames[1:]] == starts[:-1]
            await agent.say(speech(0.5))  # and it speaks again
            await agent.until(lambda: any(frame["audio"].any() for frame in agent.frames[acknowledged + 15 :]))
            assert agent.frames[-1]["image"].shape == (24, 32, 3)

    run_async(body())


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (24_000, 1), (48_000, 2), (44_100, 2)])
def test_formats(rate_hz: int, channels: int, serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running, hire(running, sample_rate=rate_hz, channels=channels) as agent:
            await agent.say(speech(0.5, rate_hz, channels))
            await agent.say({"type": "flush"})
            await agent.until(lambda: any(event["finished"] for event in agent.of("played_until")))
            assert agent.of("played_until")[-1]["position"] == pytest.approx(0.5, abs=0.01)
            assert any(frame["driven"] for frame in agent.frames)

    run_async(body())


def test_the_format_may_change_in_the_middle(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running, hire(running, sample_rate=RATE_HZ) as agent:
            for rate_hz, channels in ((16_000, 1), (48_000, 2), (8_000, 1), (44_100, 1)):
                await agent.say({"type": "format", "sample_rate": rate_hz, "channels": channels})
                await agent.say(speech(0.25, rate_hz, channels))
            await agent.say({"type": "flush"})
            await agent.until(lambda: any(event["finished"] for event in agent.of("played_until")))
            assert agent.of("played_until")[-1]["position"] == pytest.approx(1.0, abs=0.02)
            assert {frame["rate_hz"] for frame in agent.frames} == {RATE_HZ}
            assert agent.of("error") == []

    run_async(body())


@pytest.mark.parametrize(
    "start",
    [
        {},
        {"sample_rate": 0},
        {"sample_rate": 1_000_000},
        {"sample_rate": "16000"},
        {"sample_rate": RATE_HZ, "channels": 3},
        {"sample_rate": RATE_HZ, "avatar": "nobody"},
        {"sample_rate": RATE_HZ, "avatar": 5},
        {"sample_rate": RATE_HZ, "output": "mpeg"},
        {"sample_rate": RATE_HZ, "quality": 101},
        {"sample_rate": RATE_HZ, "width": 1},
    ],
)
def test_a_wrong_start_is_told_and_may_be_mended(
    start: dict[str, Any], serving: Any, hire: Any, run_async: Any
) -> None:
    async def body() -> None:
        async with serving() as running, hire(running) as agent:
            await agent.say({"type": "start"} | start)
            await agent.until(lambda: agent.of("error"))
            assert agent.of("error")[0]["fatal"] is False
            await agent.say({"type": "start", "sample_rate": RATE_HZ})
            await agent.until(lambda: agent.of("started"))

    run_async(body())


def malformed(number: int) -> object:
    random_bytes = random.Random(number)
    return (
        random_bytes.randbytes(2 * random_bytes.randrange(400) + 1),
        json.dumps({"type": random_bytes.choice(["start", "stop", None, 7, [], {}])}),
        "{" * random_bytes.randrange(1, 50),
        random_bytes.randbytes(50).decode("latin-1"),
        json.dumps({"type": "format", "sample_rate": random_bytes.choice([None, -1, 1e9, "x", True])}),
        json.dumps([{"type": "flush"}]),
    )[number % 6]


def test_a_thousand_malformed_messages_hurt_nobody(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        limits = Limits(bad_messages=2000, messages_per_s=1e6)
        async with serving(limits) as running, hire(running, sample_rate=RATE_HZ) as good:
            async with hire(running, sample_rate=RATE_HZ) as bad:
                for number in range(1000):
                    await bad.say(malformed(number))
                await bad.until(lambda: len(bad.of("error")) == 1000)
                assert not any(event["fatal"] for event in bad.of("error"))
                await bad.say(speech(0.2))
                await bad.until(lambda: any(frame["audio"].any() for frame in bad.frames))
            before = len(good.frames)
            await good.until(lambda: len(good.frames) > before + 5)
            assert running.studio.metrics.counter("bad_messages") == 1000
            assert good.of("error") == []

    run_async(body())


def test_whoever_does_not_stop_is_sent_away(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving(Limits(bad_messages=10)) as running, hire(running) as agent:
            for _ in range(10):
                await agent.say("nonsense")
            await agent.until(lambda: agent.socket.closed)
            assert agent.socket.close_code == 1008
            assert agent.of("error")[-1]["fatal"] is True
            await running.emptied()

    run_async(body())


def test_a_message_that_is_too_long_closes_only_its_own_socket(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving(Limits(audio_message_bytes=1000)) as running, hire(running, sample_rate=RATE_HZ) as good:
            async with hire(running, sample_rate=RATE_HZ) as agent:
                await agent.say(bytes(2000))
                await agent.until(lambda: agent.socket.closed)
            before = len(good.frames)
            await good.until(lambda: len(good.frames) > before + 5)

    run_async(body())


def test_speech_that_is_pushed_without_end_is_refused_not_kept(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        limits = Limits(audio_ahead_s=2.0)
        async with serving(limits) as running, hire(running, sample_rate=RATE_HZ) as agent:
            for _ in range(8):
                await agent.say(speech(1.0))
            await agent.until(lambda: agent.of("error"))
            assert "audio wait" in agent.of("error")[0]["message"]
            before = len(agent.frames)
            await agent.until(lambda: len(agent.frames) > before + 5)

    run_async(body())


def test_places_and_agents_that_vanish(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving(Limits(sessions=1)) as running:
            async with hire(running, sample_rate=RATE_HZ) as first:
                async with hire(running) as second:
                    await second.until(lambda: second.socket.closed)
                    assert second.socket.close_code == 1013
                    assert "1 places" in second.of("error")[0]["message"]
                first.socket._response.connection.transport.abort()  # without a closing word
                await running.emptied()
            async with hire(running, sample_rate=RATE_HZ) as third:
                await third.until(lambda: third.frames)

    run_async(body())


def test_an_agent_without_avatars_is_told_what_to_do(serving: Any, hire: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving(avatar=False) as running, hire(running) as agent:
            await agent.say({"type": "start", "sample_rate": RATE_HZ})
            await agent.until(lambda: agent.of("error"))
            assert "--avatar FILE" in agent.of("error")[0]["message"]

    run_async(body())


def test_a_browser_looks_at_what_an_agent_says(
    serving: Any, hire: Any, connect: Any, open_browser: Any, run_async: Any
) -> None:
    async def body() -> None:
        async with serving() as running, hire(running, sample_rate=24_000, output="webrtc") as agent:
            session = agent.of("started")[0]["session"]
            viewer = open_browser()
            offer = await viewer.offer(receive=True)
            viewer_offer = offer | {"source": "agent", "session": session}
            async with aiohttp.ClientSession() as http:
                async with http.post(running.url("/offer"), json=viewer_offer) as answer:
                    await viewer.accept(await answer.json())
                await viewer.until(lambda: len(viewer.frames) > 5)
                async with http.post(running.url("/offer"), json=viewer_offer) as answer:
                    assert answer.status == 400  # one looks already
            await agent.say(speech(0.5, 24_000))
            await agent.say({"type": "flush"})
            await agent.until(lambda: any(event["finished"] for event in agent.of("played_until")))
            assert agent.frames == []
            await viewer.close()
            await asyncio.sleep(0.2)
            await agent.say(speech(0.5, 24_000))  # the viewer is gone, the agent goes on
            await agent.say({"type": "flush"})
            await agent.until(lambda: sum(event["finished"] for event in agent.of("played_until")) == 2)

    run_async(body())


def test_the_client_in_the_docs_works(serving: Any, run_async: Any) -> None:
    text = (Path(__file__).parents[3] / "docs" / "serve.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}

    async def body() -> None:
        async with serving() as running:
            exec(code.replace("localhost:8080", f"127.0.0.1:{running.port}"), names)
            await names["speak"](speech(0.4), RATE_HZ)
            await running.emptied()

    run_async(body())
