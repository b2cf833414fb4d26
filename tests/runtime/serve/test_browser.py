"""The real page in a real browser: headless Chromium with files for a camera and a microphone."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipforge.runtime.serve.flash_beep import AUDIO_HZ, FPS, HEIGHT, WIDTH, beep, draw

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LOOP_S = 40
"""The number in a frame has ten bits, 40.96 s."""

KEEP_GIVEN = """(() => {
  window.given = [];
  window.peers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...values) {
      super(...values);
      window.peers.push(this);
    }
  };
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    window.given.push(stream);
    return stream;
  };
})()"""
"""The files begin to play when the devices are opened, one after the other: what left the browser must be measured."""

MEASURE = Path(__file__).with_name("measure_in_browser.js")


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "flash.y4m"
    luma, chroma = np.empty((HEIGHT, WIDTH), np.uint8), np.full(HEIGHT * WIDTH // 2, 128, np.uint8).tobytes()
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(LOOP_S * FPS):
            draw(index, luma)
            file.write(b"FRAME\n" + luma.tobytes() + chroma)
    return path


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("microphone") / "beep.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, AUDIO_HZ, 0, "NONE", ""))
        file.writeframes((32767 * beep(0, LOOP_S * AUDIO_HZ)).astype("<i2").tobytes())
    return path


def offsets(flashes: list[float], beeps: list[float]) -> list[float]:
    """Return how much later than each flash its beep is, in ms."""
    nearest = [min((beep - flash for beep in beeps), key=abs) for flash in flashes if beeps]
    return [offset for offset in nearest if abs(offset) < 500]


def quantiles(values: list[float]) -> str:
    return "/".join(f"{value:.0f}" for value in np.quantile(values, (0.5, 0.95, 0.99))) if values else "none"


def spread(values: Any) -> str:
    return "/".join(f"{value:.0f}" for value in np.quantile(values, (0.05, 0.5, 0.95)))


def test_camera_and_microphone_come_back_through_the_page(
    serving: Any, chromium: Any, camera: Path, microphone: Path, run_async: Any, tmp_path: Path
) -> None:
    async def body() -> Any:
        async with serving() as running, chromium(camera, microphone) as page:
            await page.open(running.url("/"))
            await page.run(KEEP_GIVEN)
            await page.run("document.getElementById('start').click()")
            await page.until("document.getElementById('state').dataset.state === 'live'")
            await page.until("document.getElementById('result').videoWidth === 320")
            await page.until("Number(document.getElementById('delay').textContent) > 0")
            found = await page.run(f"({MEASURE.read_text()})(15000)")
            await page.screenshot(tmp_path / "live.png")
            await page.run("document.getElementById('interrupt').click()")
            await page.until("document.getElementById('problem').hidden")
            await page.run("document.getElementById('start').click()")
            await running.emptied()
            assert page.problems == []
            return found

    found = run_async(body())
    before, after = offsets(found["ownFlashes"], found["ownBeeps"]), offsets(found["flashes"], found["beeps"])
    assert found["frames"] > 60
    assert min(len(before), len(after)) >= 3
    added = np.array(after) - np.median(before)
    print(f"{found['frames']} frames, p50/p95/p99 {quantiles(found['latencies'])} ms behind the browser's own preview;")
    print(f"sound later than picture by {np.median(after):.0f} ms, by {np.median(before):.0f} ms before it was sent:")
    print(f"added p5/p50/p95 {spread(added)} ms")
    print(f"by the browser's own account sound is p5/p50/p95 {spread(found['playout'])} ms late")
    assert abs(float(np.median(added))) < 400
    assert float(np.median(found["latencies"])) < 3000


def test_an_avatar_is_uploaded_and_speaks_a_sound_file(
    serving: Any, chromium: Any, camera: Path, microphone: Path, avatar_file: Path, run_async: Any
) -> None:
    async def body() -> None:
        async with serving(avatar=False) as running, chromium(camera, microphone, size=(390, 844)) as page:
            await page.open(running.url("/"))
            await page.run("document.querySelector('input[value=avatar]').click()")
            await page.run("document.querySelector('input[value=file]').click()")
            await page.run("document.getElementById('start').click()")
            await page.until("document.getElementById('problem').textContent.includes('as avatar first')")
            await page.choose_file("#avatar-file", avatar_file)
            await page.until("document.getElementById('avatar').value.startsWith('upload-')")
            await page.choose_file("#voice-file", microphone)
            await page.run("document.getElementById('start').click()")
            await page.until("document.getElementById('result').videoWidth === 160")
            await page.until("Number(document.getElementById('driven').textContent) > 0")
            await page.run("document.getElementById('interrupt').click()")
            await page.run("document.getElementById('replay').click()")
            assert not await page.run("document.getElementById('replay').hidden")
            wide = await page.run("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            assert not wide, "the page is wider than a phone"
            assert page.problems == []

    run_async(body())


def test_the_page_asks_for_the_token(
    serving: Any, chromium: Any, camera: Path, microphone: Path, run_async: Any
) -> None:
    token = "correct-horse-battery"

    async def body() -> None:
        async with serving(token=token) as running, chromium(camera, microphone) as page:
            await page.open(running.url("/"))
            await page.until("!document.getElementById('token-row').hidden")
            await page.run(
                f"(() => {{ const field = document.getElementById('token'); field.value = '{token}'; "
                "field.dispatchEvent(new Event('change')); })()"
            )
            await page.until("document.getElementById('token-row').hidden")
            await page.until("document.getElementById('avatar').options.length === 1")
            await page.open(running.url("/health"))
            await page.open(running.url(f"/#token={token}"))
            await page.until("document.getElementById('avatar').options.length === 1")
            assert await page.run("location.hash") == ""

    run_async(body())
