"""Speech as the body of a request, a WebM stream as its answer."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("aiohttp")

import aiohttp

from lipforge.kernels.errors import InputError
from lipforge.runtime.serve.options import Limits
from lipforge.runtime.serve.voice_post import start_message

RATE_HZ = 16_000
PATH = f"/voice?sample_rate={RATE_HZ}"


def speech(seconds: float, channels: int = 1) -> bytes:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = (12_000 * np.sin(2 * np.pi * 300 * time)).astype("<i2")
    return np.repeat(tone, channels).tobytes()


def decoded(webm: bytes) -> tuple[list[av.VideoFrame], np.ndarray]:
    with av.open(io.BytesIO(webm)) as container:
        frames = list(container.decode())
    sound = [frame.to_ndarray()[0] for frame in frames if isinstance(frame, av.AudioFrame)]
    return [frame for frame in frames if isinstance(frame, av.VideoFrame)], np.concatenate(sound)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_whole_body_comes_back_as_a_video_that_says_all_of_it(serving: Any, run_async: Any, channels: int) -> None:
    async def body() -> bytes:
        async with serving() as running, aiohttp.ClientSession() as http:
            path = running.url(f"{PATH}&channels={channels}")
            async with http.post(path, data=speech(1.5, channels)) as answer:
                assert (answer.status, answer.content_type) == (200, "video/webm")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                webm = await answer.read()
            await running.emptied()
            return webm

    pictures, sound = decoded(run_async(body()))
    assert {(picture.width, picture.height) for picture in pictures} == {(160, 120)}
    loud = np.flatnonzero(np.abs(sound) > 0.1)  # 48 kHz
    assert (loud[-1] - loud[0]) / 48_000 == pytest.approx(1.5, abs=0.03)


def test_the_answer_begins_while_the_speech_still_comes_in_odd_pieces(serving: Any, run_async: Any) -> None:
    async def body() -> bytes:
        heard = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            whole = speech(2.0)
            for start in range(0, 40_000, 3_333):
                yield whole[start : start + 3_333]
            await heard.wait()  # the rest is not sent before something has come back
            yield whole[39_996:]

        async with (
            serving() as running,
            aiohttp.ClientSession() as http,
            http.post(running.url(PATH), data=pieces()) as answer,
        ):
            webm = await answer.content.readany()
            heard.set()
            return webm + await answer.read()

    pictures, sound = decoded(run_async(body()))
    assert len(pictures) > 3
    assert np.count_nonzero(np.abs(sound) > 0.05) > 48_000


def test_a_body_longer_than_may_wait_is_read_as_it_is_spoken(serving: Any, run_async: Any) -> None:
    async def body() -> bytes:
        async with (
            serving(Limits(audio_ahead_s=0.5)) as running,
            aiohttp.ClientSession() as http,
            http.post(running.url(PATH), data=speech(2.0)) as answer,
        ):
            return await answer.read()

    _, sound = decoded(run_async(body()))
    loud = np.flatnonzero(np.abs(sound) > 0.1)
    assert (loud[-1] - loud[0]) / 48_000 == pytest.approx(2.0, abs=0.03)


def test_a_client_that_leaves_and_one_that_breaks_off_give_their_places_back(serving: Any, run_async: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield speech(0.1)
            await asyncio.sleep(0.05)

    async def body() -> None:
        async with serving(Limits(sessions=1)) as running:
            async with aiohttp.ClientSession() as http, http.post(running.url(PATH), data=endless()) as answer:
                await answer.content.readany()
                async with http.post(running.url(PATH), data=speech(0.1)) as refused:
                    assert refused.status == 503
            await running.emptied()
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
            writer.write(head.encode() + speech(0.2))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.write_eof()
            answered = await reader.read()
            assert not answered.endswith(b"\r\n0\r\n\r\n")  # what is missing shows
            writer.close()
            await running.emptied()

    run_async(body())


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "sample_rate is None"),
        ("?sample_rate=fast", "sample_rate=fast is no whole number"),
        ("?sample_rate=1", "sample_rate is 1; allowed"),
        ("?sample_rate=16000&avatar=nobody", "nobody"),
        ("?sample_rate=16000&colour=red", "?colour is not known; allowed are sample_rate"),
    ],
)
def test_what_cannot_be_done_is_refused(serving: Any, run_async: Any, query: str, message: str) -> None:
    async def body() -> None:
        async with serving() as running, aiohttp.ClientSession() as http:
            async with http.post(running.url("/voice" + query), data=speech(0.1)) as answer:
                assert answer.status == 400
                assert message in (await answer.json())["error"]
            async with http.post(running.url(PATH), data=b"") as answer:
                assert answer.status == 400
                assert "the body is empty" in (await answer.json())["error"]
            await running.emptied()

    run_async(body())


def test_a_token_is_needed_here_too(serving: Any, run_async: Any) -> None:
    async def body() -> None:
        token = "token-of-16-characters"
        async with serving(token=token) as running, aiohttp.ClientSession() as http:
            async with http.post(running.url(PATH), data=speech(0.1)) as answer:
                assert answer.status == 401
            headers = {"Authorization": f"Bearer {token}"}
            async with http.post(running.url(PATH), data=speech(0.1), headers=headers) as answer:
                assert answer.status == 200

    run_async(body())


def test_numbers_are_checked_before_anything_is_opened() -> None:
    assert start_message({"sample_rate": "8000", "avatar": "x"}) == {
        "output": "webm",
        "sample_rate": 8000,
        "avatar": "x",
    }
    with pytest.raises(InputError, match="no whole number"):
        start_message({"channels": "٢"})
