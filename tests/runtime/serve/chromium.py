"""Headless Chromium, driven over its debugging socket, with files for a camera and a microphone."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
START_S = 40.0


def find_chromium() -> str | None:
    """Return the program, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Chromium:
    """One page; an async context manager.

    Args:
        folder: for its profile.
        camera: y4m or mjpeg file, played in a loop.
        microphone: wav file, played in a loop.
        size: of the window.
    """

    def __init__(self, folder: Path, camera: Path, microphone: Path, size: tuple[int, int] = (1280, 900)) -> None:
        self._folder = folder
        program = find_chromium()
        assert program is not None
        self._command = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
            f"--use-file-for-fake-audio-capture={microphone}",
            f"--window-size={size[0]},{size[1]}",
            f"--user-data-dir={folder}",
            "--remote-debugging-port=0",
            "about:blank",
        ]
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.problems: list[str] = []
        """Errors on the page's console."""

    async def __aenter__(self) -> Chromium:
        import aiohttp

        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._http = aiohttp.ClientSession()
        address = await self._debugging_address()
        async with self._http.get(f"{address}/json/list") as response:
            page = next(target for target in await response.json() if target["type"] == "page")
        self._socket = await self._http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=64 << 20)
        self._reader = asyncio.get_running_loop().create_task(self._read())
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._http.close()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, 10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    async def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self._number += 1
        answer = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(json.dumps({"id": self._number, "method": method, "params": parameters}))
        return await asyncio.wait_for(answer, 30)

    async def open(self, url: str) -> None:
        """Go to an address and wait for its scripts."""
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str) -> Any:
        """Return the value of an expression in the page; promises are waited for."""
        answer = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str, seconds: float = 20.0) -> None:
        """Wait until an expression is true."""
        end = asyncio.get_running_loop().time() + seconds
        while not await self.run(f"Boolean({condition})"):
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(
                    f"not within {seconds} s: {condition}; {await self.run('document.body.innerText')}"
                )
            await asyncio.sleep(0.1)

    async def screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG file."""
        answer = await self.send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    async def choose_file(self, selector: str, path: Path) -> None:
        """Put a file into a file field."""
        document = await self.send("DOM.getDocument")
        node = await self.send("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        await self.send("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(path)])

    async def _debugging_address(self) -> str:
        file = self._folder / "DevToolsActivePort"
        end = asyncio.get_running_loop().time() + START_S
        while not (file.exists() and file.read_text().strip()):
            assert asyncio.get_running_loop().time() < end, "Chromium did not start"
            await asyncio.sleep(0.1)
        return f"http://127.0.0.1:{file.read_text().split()[0]}"

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            waiting = self._waiting.pop(said.get("id"), None)
            if waiting is not None and not waiting.done():
                if "error" in said:
                    waiting.set_exception(AssertionError(said["error"]))
                else:
                    waiting.set_result(said["result"])
            elif said.get("method") == "Runtime.exceptionThrown":
                self.problems.append(str(said["params"]["exceptionDetails"])[:500])
            elif said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.problems.append(str(said["params"]["entry"])[:500])
