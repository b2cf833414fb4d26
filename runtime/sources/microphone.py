"""Audio of a microphone, through PortAudio (package sounddevice)."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.sound_device import find_device, sound_devices
from lipforge.runtime.sources.source import PushAudio, Say

BLOCK_MS = 20.0
SILENT_S = 3.0
"""A microphone that gives nothing for so long is reported."""


class MicrophoneSource:
    """A microphone.

    Args:
        device: its number or a part of its name; None for the system's default.

    Raises:
        MissingPackageError: sounddevice is not installed.
        InputError: there is no such microphone, or PortAudio is missing.
    """

    def __init__(self, device: str | None = None) -> None:
        self._sounddevice = sound_devices()
        self._device = find_device(self._sounddevice, device, "input", "--mic")
        self.sample_rate_hz = int(self._device.sample_rate_hz)

    @property
    def paced(self) -> bool:
        """True: it gives 20 ms every 20 ms."""
        return True

    def run(self, push: PushAudio, stop: Event, say: Say) -> None:
        """Push blocks of 20 ms until ``stop`` is set.

        Raises:
            InputError: the microphone cannot be started.
        """
        blocks: SimpleQueue[NDArray[np.float32]] = SimpleQueue()

        def heard(block: NDArray[np.float32], frames: int, time: Any, status: Any) -> None:
            del frames, time, status  # an overflow is a gap that the stream fills
            blocks.put(block.copy())

        frames = round(BLOCK_MS / 1000 * self.sample_rate_hz)
        try:
            with self._sounddevice.InputStream(
                device=self._device.number,
                samplerate=self.sample_rate_hz,
                channels=1,
                dtype="float32",
                blocksize=frames,
                latency="low",
                callback=heard,
            ):
                self._pass_on(blocks, push, stop, say)
        except self._sounddevice.PortAudioError as error:
            raise InputError(f"--mic: {self._device.name} cannot be started ({error}).") from error

    def _pass_on(self, blocks: SimpleQueue[NDArray[np.float32]], push: PushAudio, stop: Event, say: Say) -> None:
        silent_s = 0.0
        while not stop.is_set():
            try:
                push(np.nan_to_num(blocks.get(timeout=0.1)), self.sample_rate_hz)
                silent_s = 0.0
            except Empty:
                silent_s += 0.1
                if SILENT_S <= silent_s < SILENT_S + 0.1:
                    say(f"--mic: {self._device.name} gives nothing. Is it unplugged or muted?")
