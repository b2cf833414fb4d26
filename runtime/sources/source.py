"""What every source of live audio or video is."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PushAudio = Callable[[NDArray[np.float32] | NDArray[np.int16], int], None]
"""Called with float32 or int16 (n, channels) and the sample rate in Hz."""

PushFrame = Callable[[NDArray[np.uint8]], None]
"""Called with uint8 (H, W, 3) BGR that nobody else uses."""

Say = Callable[[str], None]
"""Called with one line that the user should know."""


class AudioSource(Protocol):
    """Gives audio until it ends or is told to stop."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the audio that it gives."""

    @property
    def paced(self) -> bool:
        """Whether audio comes as time goes by, as from a microphone; if not, as fast as it is taken."""

    def run(self, push: PushAudio, stop: Event, say: Say) -> None:
        """Push audio until there is no more or ``stop`` is set.

        Raises:
            LipforgeError: the source cannot be used any more.
        """


class VideoSource(Protocol):
    """Gives frames as time goes by, until it ends or is told to stop."""

    @property
    def fps(self) -> float:
        """Expected frames a second."""

    def run(self, push: PushFrame, stop: Event, say: Say) -> None:
        """Push frames until there are no more or ``stop`` is set.

        Raises:
            LipforgeError: the source cannot be used any more.
        """
