"""A camera that other programs can choose, through pyvirtualcam."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from lipforge.kernels.errors import InputError
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.packages import require
from lipforge.runtime.sinks.sink import Shape, bgr


class VirtualCameraSink:
    """Shows frames as a camera's. Its sound goes to a device of its own, see ``SpeakerSink``.

    Args:
        fps: frames a second.
        device: such as ``/dev/video10``; None takes the first.
        backend: pyvirtualcam's, by name; None takes the system's.

    Raises:
        MissingPackageError: pyvirtualcam is not installed.
    """

    def __init__(self, fps: Fraction, device: str | None = None, backend: str | None = None) -> None:
        self._pyvirtualcam = require("pyvirtualcam")
        self._fps, self._device, self._backend = fps, device, backend
        self._camera: Any = None

    @property
    def paced(self) -> bool:
        """True: somebody watches."""
        return True

    @property
    def name(self) -> str:
        """Of the device, once the first frame was written."""
        return "" if self._camera is None else str(self._camera.device)

    def write(self, frame: LiveFrame) -> None:
        """Show a frame; the first one opens the camera at its size.

        Raises:
            InputError: there is no virtual camera on this machine.
        """
        if self._camera is None:
            self._shape = Shape.of(frame)
            self._camera = self._open()
        self._camera.send(bgr(frame, self._shape))

    def close(self) -> None:
        """Let the camera go."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _open(self) -> Any:
        choice = {"device": self._device} if self._device else {}
        choice |= {"backend": self._backend} if self._backend else {}
        try:
            return self._pyvirtualcam.Camera(
                width=self._shape.width,
                height=self._shape.height,
                fps=float(self._fps),
                fmt=self._pyvirtualcam.PixelFormat.BGR,
                **choice,
            )
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"--output virtualcam: no virtual camera ({reason}). Linux: sudo modprobe v4l2loopback; "
                "Windows and macOS: install OBS and start its virtual camera once."
            ) from error
