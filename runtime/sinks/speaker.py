"""The sound that belongs to a preview or a virtual camera, through PortAudio (package sounddevice)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.sound_device import find_device, sound_devices

LATENCY_S = 0.08
"""Sound that waits in the device: a frame period and what the scheduler may cost."""


class SpeakerSink:
    """Plays the frames' audio.

    Args:
        device: its number or a part of its name, for instance that of a virtual cable; None for the default.

    Raises:
        MissingPackageError: sounddevice is not installed.
        InputError: there is no such device, or PortAudio is missing.
    """

    def __init__(self, device: str | None = None) -> None:
        self._sounddevice = sound_devices()
        self._device = find_device(self._sounddevice, device, "output", "--speaker")
        self._stream: Any = None
        self._buffer_samples = 0
        self.underflows = 0

    @property
    def paced(self) -> bool:
        """True: sound takes its time."""
        return True

    def write(self, frame: LiveFrame) -> None:
        """Play a frame's audio; waits while the device has enough.

        Raises:
            InputError: the device cannot be started, or is gone.
        """
        try:
            if self._stream is None:
                self._start(frame)
            self.underflows += bool(self._stream.write(np.ascontiguousarray(frame.audio)))
        except self._sounddevice.PortAudioError as error:
            raise InputError(f"--speaker: {self._device.name} cannot play ({error}).") from error

    def close(self) -> None:
        """Play what waits and let the device go."""
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        try:
            # Not every device plays its buffer to the end before it stops, PulseAudio does not: let silence be in it.
            stream.write(np.zeros((self._buffer_samples, stream.channels), np.float32))
            stream.stop()
        except self._sounddevice.PortAudioError:
            pass  # it is gone, and nobody hears the rest
        finally:
            stream.close()

    def _start(self, frame: LiveFrame) -> None:
        self._stream = self._sounddevice.OutputStream(
            device=self._device.number,
            samplerate=frame.sample_rate_hz,
            channels=frame.audio.shape[1],
            dtype="float32",
            latency=LATENCY_S,
        )
        self._stream.start()
        self._buffer_samples = self._stream.write_available
        # A cushion, or the first late frame would be heard as a crack.
        self._stream.write(np.zeros((round(LATENCY_S / 2 * frame.sample_rate_hz), frame.audio.shape[1]), np.float32))
