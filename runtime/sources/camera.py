"""Frames of a camera, a video file or a network address, through OpenCV."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic

import cv2
import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.sources.source import PushFrame, Say

FALLBACK_FPS = 25.0
REOPEN_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""A camera that vanished is looked for this often, with these pauses, before the source ends."""


class CameraSource:
    """A camera by number, or a file or RTSP or HTTP address by name.

    A file is played at its own rate and ends. A camera or address that stops giving frames is opened again.

    Args:
        address: ``"0"``, ``"/dev/video0"``, ``"clip.mp4"``, ``"rtsp://..."``, ``"http://..."``.
        size: width and height asked of a camera, in px; it may give another.

    Raises:
        InputError: it cannot be opened, or gives no frame.
    """

    def __init__(self, address: str, size: tuple[int, int] | None = None) -> None:
        self.address, self._size = address, size
        self._is_file = Path(address).is_file()
        self._capture = self._open()
        given, self._first = self._capture.read()
        if not given:
            self._capture.release()
            raise InputError(f"--camera {address}: gives no picture. {_advice(address)}")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._fps = float(fps) if 1.0 <= fps <= 240.0 else FALLBACK_FPS

    @property
    def fps(self) -> float:
        """Frames a second that the camera says it gives; 25 if it does not."""
        return self._fps

    def run(self, push: PushFrame, stop: Event, say: Say) -> None:
        """Push frames until a file ends, a camera stays away, or ``stop`` is set; then let the camera go."""
        try:
            frame, started, index = np.asarray(self._first, np.uint8), monotonic(), 0
            while not stop.is_set():
                push(frame)
                index += 1
                if self._is_file and stop.wait(max(0.0, started + index / self._fps - monotonic())):
                    return
                following = self._read(stop, say)
                if following is None:
                    return
                frame = following
        finally:
            self._capture.release()

    def close(self) -> None:
        """Let the camera go, if ``run`` was never called."""
        self._capture.release()

    def _open(self) -> cv2.VideoCapture:
        with _quiet():
            if self.address.isdigit():
                capture = cv2.VideoCapture(int(self.address))
                if self._size is not None:
                    capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
                    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            else:
                capture = cv2.VideoCapture(self.address)
        if not capture.isOpened():
            capture.release()
            raise InputError(f"--camera {self.address}: cannot be opened. {_advice(self.address)}")
        return capture

    def _read(self, stop: Event, say: Say) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
        given, frame = self._capture.read()
        if given:
            return np.asarray(frame, np.uint8)
        if self._is_file:
            return None
        say(f"--camera {self.address}: gives no picture any more; it is looked for again.")
        for pause_s in REOPEN_WAITS_S:
            self._capture.release()
            if stop.wait(pause_s):
                return None
            try:
                self._capture = self._open()
            except InputError:
                continue
            given, frame = self._capture.read()
            if given:
                say(f"--camera {self.address}: is back.")
                return np.asarray(frame, np.uint8)
        say(f"--camera {self.address}: did not come back.")
        return None


def _advice(address: str) -> str:
    if not address.isdigit():
        return "Give a video file, an rtsp:// or http:// address that works in a player, or a camera's number."
    if sys.platform.startswith("linux"):
        devices = sorted(str(path) for path in Path("/dev").glob("video*"))
        found = f"Devices here are {', '.join(devices)}." if devices else "There is no /dev/video* here."
        return f"{found} Is another program using it, and may this user read it (group video)?"
    return "Is it plugged in, unused by other programs, and allowed for this program in the system's privacy settings?"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV's and FFmpeg's own complaints from the terminal; ours say what to do."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
