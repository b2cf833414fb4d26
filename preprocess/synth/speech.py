"""Speech with exact phoneme times: what a voice is asked for, and what it gives back."""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

SPEECH_RATE_HZ = 16_000
USUAL_WPM, USUAL_PITCH = 175, 50
_TAPS = 32
_RATE_STEP_HZ = 200  # keeps the number of different resampling kernels small


@dataclass(frozen=True)
class VoiceChoice:
    """How a text is spoken.

    Attributes:
        engine: the program that speaks.
        voice: what the engine calls the voice.
        rate_wpm: words a minute; USUAL_WPM is the pace that a voice has by itself.
        pitch: 0 to 99; USUAL_PITCH is a voice's own.
        range: how lively the melody is, 0 to 99; 50 is a voice's own.
        size: of the speaker's head, against the voice's own. A larger one sounds lower in pitch and formants; the
            pace stays.
    """

    engine: str
    voice: str
    rate_wpm: int = USUAL_WPM
    pitch: int = USUAL_PITCH
    range: int = 50
    size: float = 1.0


@dataclass(frozen=True)
class Speech:
    """Sound and truth.

    Attributes:
        samples: float32 (n,), mono, in [-1, 1], 16 kHz.
        phonemes: (ipa, start in seconds, end in seconds), in order; pauses have an empty ipa.
    """

    samples: npt.NDArray[np.float32]
    phonemes: tuple[tuple[str, float, float], ...]


class Engine(Protocol):
    """A program that speaks."""

    def speak(self, text: str, choice: VoiceChoice) -> Speech:
        """Speak one text, ``choice.size`` left out; equal requests give equal sound.

        Raises:
            BackendError: the program does not start, refuses the voice, or failed.
        """


def read_spoken(path: Path) -> npt.NDArray[np.float32]:
    """Read a mono file of 16-bit samples that a program wrote; float32 (n,) in [-1, 1] at 16 kHz."""
    with wave.open(str(path)) as file:
        rate_hz = file.getframerate()
        values = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return resample((values / 32768).astype(np.float32), rate_hz, SPEECH_RATE_HZ)


def resized(speech: Speech, size: float) -> Speech:
    """Return the speech of a head about ``size`` times as large: played slower, so lower in pitch and formants."""
    if size == 1.0:
        return speech
    rate_hz = round(SPEECH_RATE_HZ * size / _RATE_STEP_HZ) * _RATE_STEP_HZ
    size = rate_hz / SPEECH_RATE_HZ
    samples = resample(speech.samples, SPEECH_RATE_HZ, rate_hz)
    return Speech(samples, tuple((ipa, start * size, end * size) for ipa, start, end in speech.phonemes))


def resample(sound: npt.NDArray[np.float32], rate_hz: int, wanted_hz: int) -> npt.NDArray[np.float32]:
    """Band-limited resampling by a windowed sinc of 32 taps a side; float32 (n,) in, float32 (m,) out."""
    if rate_hz == wanted_hz or not len(sound):
        return sound
    count = len(sound) * wanted_hz // rate_hz
    # Every ``phases``-th sample out lies equally between samples in: one kernel serves them all.
    phases, stride = (hertz // math.gcd(rate_hz, wanted_hz) for hertz in (wanted_hz, rate_hz))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(sound, 2 * _TAPS + stride), 2 * _TAPS)
    out = np.empty(count, np.float32)
    for phase in range(min(phases, count)):
        first, between = divmod(phase * stride, phases)
        rows = around[first + _TAPS + stride + 1 :: stride][: -(-(count - phase) // phases)]
        out[phase::phases] = rows @ _sinc_kernel(between / phases, min(1.0, wanted_hz / rate_hz) * 0.95)
    return out


def _sinc_kernel(between: float, cutoff: float) -> npt.NDArray[np.float32]:
    """Weights of the samples around a place ``between`` two of them, in [0, 1); float32 (2 * _TAPS,)."""
    offset = cutoff * (np.arange(1 - _TAPS, _TAPS + 1) - between)
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip(offset / _TAPS, -1, 1))
    return np.asarray(cutoff * np.sinc(offset) * window, np.float32)
