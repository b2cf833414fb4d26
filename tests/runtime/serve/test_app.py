"""The server over HTTP: what it shows, refuses and counts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lipforge.runtime.serve.options import Limits
from lipforge.runtime.serve.page_files import PAGE_FILES

TOKEN = "correct-horse-battery"
VIDEO_ONLY = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
PAGE = Path(__file__).parents[3] / "runtime" / "serve" / "page"


def test_the_page_is_whole_and_asks_nobody_else(serving: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running, aiohttp.ClientSession() as http:
            for path, (_, content_type) in PAGE_FILES.items():
                async with http.get(running.url(path)) as answer:
                    text = await answer.text()
                    assert (answer.status, answer.content_type) == (200, content_type)
                    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                    assert not re.search(r"https?://(?!localhost)", text.replace("https:// or", ""))
                    for named in re.findall(r'(?:src|href|from) ?=?"(?:\./)?([\w.]+\.(?:js|css))"', text):
                        assert f"/{named}" in PAGE_FILES

    run_async(body())
    assert {name for name, _ in PAGE_FILES.values()} == {path.name for path in PAGE.iterdir()}


def test_every_control_of_the_page_has_a_name() -> None:
    text = (PAGE / "index.html").read_text()
    labels = set(re.findall(r'<label for="([\w-]+)"', text))
    for tag, attributes in re.findall(r"<(select|input|video)([^>]*)>", text):
        named = re.search(r'id="([\w-]+)"', attributes)
        inside = re.search(rf"<label[^>]*>[^<]*\s*<{tag}{re.escape(attributes)}>", text)
        assert "aria-label" in attributes or inside or (named and named[1] in labels), attributes
    script = (PAGE / "page.js").read_text()
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(re.findall(r'id="([\w-]+)"', text))


def test_only_the_page_s_files_can_be_had(serving: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running, aiohttp.ClientSession() as http:
            for path in ("/app.py", "/../app.py", "/%2e%2e/app.py", "/page/index.html", "/offer", "/avatars/1"):
                async with http.get(running.url(path)) as answer:
                    assert answer.status in (404, 405)
                    assert set(await answer.json()) == {"error"}

    run_async(body())


def test_names_origins_and_tokens_are_looked_at_on_every_address(serving: Any, run_async: Any) -> None:
    async def status(http: aiohttp.ClientSession, url: str, **headers: str) -> int:
        async with http.get(url, headers={name.capitalize(): value for name, value in headers.items()}) as answer:
            return answer.status

    async def body() -> None:
        async with serving(token=TOKEN) as running, aiohttp.ClientSession() as http:
            metrics, right = running.url("/metrics"), {"authorization": f"Bearer {TOKEN}"}
            assert await status(http, metrics) == 401
            assert await status(http, metrics, authorization="Bearer wrong") == 401
            assert await status(http, metrics, **right) == 200
            assert await status(http, metrics, **right, origin="http://evil.example") == 403
            assert await status(http, metrics, **right, host="evil.example") == 421
            assert await status(http, running.url("/health")) == 200
            assert await status(http, running.url("/")) == 200
            async with http.ws_connect(running.url("/voice", "ws"), headers={"Authorization": f"Bearer {TOKEN}"}) as ws:
                assert not ws.closed
            for headers in ({}, {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}):
                with pytest.raises(aiohttp.WSServerHandshakeError, match=r"40[13]"):
                    await http.ws_connect(running.url("/voice", "ws"), headers=headers)

    run_async(body())


def test_health_and_metrics_are_what_prometheus_reads(serving: Any, run_async: Any) -> None:
    async def body() -> str:
        async with serving() as running, aiohttp.ClientSession() as http:
            async with http.get(running.url("/health")) as answer:
                assert await answer.json() == {"status": "ok"}
            running.studio.metrics.compute_ms.add(7.0)
            async with http.get(running.url("/metrics")) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain")
                return await answer.text()

    text = run_async(body())
    assert 'lipforge_sessions{kind="camera"} 0' in text
    assert 'lipforge_compute_ms{quantile="0.99"} 7\n' in text
    assert 'lipforge_av_offset_ms{quantile="0.5"} NaN' in text
    typed = set(re.findall(r"^# TYPE (\S+) (?:gauge|counter|summary)$", text, re.MULTILINE))
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name = re.fullmatch(r'(\w+)(?:\{\w+="[^"]*"\})? (?:NaN|[-+.e0-9]+)', line)
        assert name, line
        assert re.sub(r"_(sum|count)$", "", name[1]) in typed


def test_an_avatar_can_be_uploaded_chosen_and_makes_room(serving: Any, run_async: Any, avatar_file: Path) -> None:
    async def body() -> None:
        async with serving(Limits(avatars=2)) as running, aiohttp.ClientSession() as http:
            url, data = running.url("/avatars?name=Mine"), avatar_file.read_bytes()
            added = []
            for _ in range(3):
                async with http.post(url, data=data, headers={"Content-Type": "image/png"}) as answer:
                    assert answer.status == 200
                    added.append((await answer.json())["id"])
            async with http.get(running.url("/avatars")) as answer:
                shelf = (await answer.json())["avatars"]
            assert [avatar["id"] for avatar in shelf] == ["disc-face", *added[1:]]
            assert shelf[1] == {"id": added[1], "name": "Mine", "width": 160, "height": 120, "fps": 25.0}

    run_async(body())


def test_what_is_no_avatar_is_refused_in_one_line_without_a_path(serving: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving(Limits(avatar_bytes=1000)) as running, aiohttp.ClientSession() as http:

            async def post(data: Any, content_type: str) -> tuple[int, str]:
                headers = {"Content-Type": content_type}
                async with http.post(running.url("/avatars"), data=data, headers=headers) as answer:
                    return answer.status, (await answer.json())["error"]

            async def chunks() -> Any:
                for _ in range(3):
                    yield bytes(500)

            for data, content_type, expected in (
                (b"no picture", "image/png", 400),
                (b"", "video/mp4", 400),
                (b"GIF89a", "image/gif", 400),
                (b"#!/bin/sh", "text/x-sh", 400),
                (bytes(1001), "image/png", 413),
                (chunks(), "image/png", 413),  # without a length
            ):
                status, message = await post(data, content_type)
                assert status == expected
                assert "\n" not in message
                assert "/tmp" not in message

    run_async(body())


def test_offers_that_are_none_are_refused(serving: Any, run_async: Any) -> None:
    offers: list[Any] = [
        b"",
        b"{",
        b"[1]",
        {},
        {"sdp": 5, "type": "offer"},
        {"sdp": "x" * 70_000, "type": "offer"},
        {"sdp": "nonsense", "type": "offer"},
        {"sdp": "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "type": "offer"},
        {"sdp": VIDEO_ONLY * 2, "type": "offer"},
        {"sdp": VIDEO_ONLY, "type": "offer"},  # no fingerprint, no candidates
        {"sdp": "v=0\r\n", "type": "answer"},
        {"sdp": "v=0\r\n", "type": "offer", "source": "screen"},
        {"sdp": VIDEO_ONLY, "type": "offer", "source": "avatar", "avatar": "../../etc"},
        {"sdp": "v=0\r\n", "type": "offer", "source": "agent", "session": "nobody"},
    ]

    async def body() -> None:
        async with serving() as running, aiohttp.ClientSession() as http:
            for offer in offers:
                given = {"data": offer} if isinstance(offer, bytes) else {"json": offer}
                async with http.post(running.url("/offer"), **given) as answer:
                    assert answer.status in (400, 413), offer
                    assert "\n" not in (await answer.json())["error"]
            await running.emptied()
            assert running.studio.metrics.counter("streams") <= 2  # those that are refused later
            assert len(asyncio.all_tasks()) < 12

    run_async(body())
