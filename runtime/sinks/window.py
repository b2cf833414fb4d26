"""A window on this machine's screen, with Python's own toolkit."""

from __future__ import annotations

import cv2
import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.sinks.sink import Shape, bgr

LARGEST_PX = 960
"""Longest side of what is shown; larger frames are shown smaller, so that showing them costs little."""


class WindowSink:
    """Shows frames in a window; closing it, Escape or q ends the stream.

    Args:
        title: of the window.

    Raises:
        InputError: there is no screen, or Python came without its toolkit.
    """

    def __init__(self, title: str = "lipforge live") -> None:
        try:
            import tkinter
        except ImportError as error:
            raise InputError(
                "--output window: this Python came without tkinter. Install it (sudo apt install python3-tk), or "
                "choose another --output."
            ) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise InputError(
                f"--output window: no screen ({error}). Choose another --output, such as a file."
            ) from error
        self._root.title(title)
        self._image = tkinter.PhotoImage(master=self._root)
        label = tkinter.Label(self._root, image=self._image, borderwidth=0)
        label.pack()
        self._gone = False
        self._root.protocol("WM_DELETE_WINDOW", self._leave)
        for key in ("<Escape>", "q"):
            self._root.bind(key, lambda _: self._leave())
        self._root.resizable(False, False)

    @property
    def paced(self) -> bool:
        """True: somebody watches."""
        return True

    def write(self, frame: LiveFrame) -> None:
        """Show a frame.

        Raises:
            StopIteration: the window was closed.
        """
        if not self._gone:
            shape = Shape.of(frame)
            scale = min(1.0, LARGEST_PX / max(shape.width, shape.height))
            shown = bgr(frame, Shape(round(shape.width * scale), round(shape.height * scale)))
            rgb = np.ascontiguousarray(cv2.cvtColor(shown, cv2.COLOR_BGR2RGB))
            header = f"P6 {rgb.shape[1]} {rgb.shape[0]} 255\n".encode()
            self._image.configure(data=header + rgb.tobytes(), format="PPM")
            self._root.update()
        if self._gone:
            raise StopIteration

    def close(self) -> None:
        """Close the window. Twice does no harm."""
        if not self._gone:
            self._leave()

    def _leave(self) -> None:
        self._gone = True
        self._root.destroy()
