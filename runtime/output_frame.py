"""What leaves a session: a finished frame with its audio and its times."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.picture import Pixels


@dataclass(frozen=True)
class FrameStats:
    """Where a frame's time went.

    Attributes:
        face: whether a face was found.
        driven: whether the lips were moved; if not, the picture is the one that was pushed, untouched.
        strength: how far, from 0 (not driven) to 1 (all that the audio says); between them while lips fade in or out.
        track_ms: finding the face.
        prepare_ms: cropping and drawing the lips.
        net_ms: the networks.
        composite_ms: bringing their result into the picture.
        total_ms: all of it, with the session's own work.
    """

    face: bool
    driven: bool
    track_ms: float
    prepare_ms: float = 0.0
    net_ms: float = 0.0
    composite_ms: float = 0.0
    total_ms: float = 0.0
    strength: float = 0.0


@dataclass(frozen=True)
class OutputFrame:
    """A finished frame and the audio that is heard while it is seen.

    Attributes:
        image: the very array or planes that were pushed, changed in place.
        pts: seconds since the first audio sample.
        audio: float32 (n, channels) in [-1, 1], at the rate that was pushed.
        audio_start: number of the first sample in ``audio``.
        stats: where the time went.
        source: what was pushed along with the frame.
    """

    image: Pixels
    pts: Fraction
    audio: NDArray[np.float32]
    audio_start: int
    stats: FrameStats
    source: object
