"""Which mel columns drive the frame at a time: the two kinds of window behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Protocol

from lipforge.kernels.spec import MelChunkSpec, MelSpec


class FrameWindow(Protocol):
    """A window of mel columns that moves with the frames; ``AudioWindowSpec`` is one, ``ChunkWindow`` another."""

    @property
    def columns(self) -> int:
        """Width of the window."""

    def first_column(self, time: Fraction, mel: MelSpec) -> int:
        """Return the first column of the window of a frame at ``time`` seconds; negative before the sound begins."""

    def lookahead_ms(self, mel: MelSpec) -> float:
        """Audio after its own time that a frame needs, in ms."""


@dataclass(frozen=True)
class ChunkWindow:
    """The window of a ``MelChunkSpec`` for frames at any time, of a video of any frame rate.

    Attributes:
        chunk: width and offset of the window.
        fps: frames a second of the video that the network was trained on: the offset counts those frames.
    """

    chunk: MelChunkSpec
    fps: float

    @property
    def columns(self) -> int:
        """Width of the window."""
        return self.chunk.columns

    @property
    def shift_s(self) -> Fraction:
        """From a frame's time to the start of its window."""
        return self.chunk.offset_frames / Fraction(self.fps).limit_denominator(100_000)

    def first_column(self, time: Fraction, mel: MelSpec) -> int:
        """Return the first column of the window; at ``i / fps`` it is that of ``MelChunkSpec`` for frame i."""
        return floor((time + self.shift_s) * Fraction(mel.sample_rate_hz, mel.hop_samples))

    def lookahead_ms(self, mel: MelSpec) -> float:
        """Audio after its own time that a frame needs, in ms: up to the end of the last column's FFT window."""
        samples = (self.columns - 1) * mel.hop_samples + Fraction(mel.n_fft, 2)
        return max(0.0, float(1000 * (samples / mel.sample_rate_hz + self.shift_s)))
