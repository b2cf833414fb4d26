"""Speech with exact phoneme times: many voices, rates and pitches, spoken by a child process."""

from __future__ import annotations

import ctypes.util
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import BackendError

_VARIANTS = (
    *("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8"),
    *("+klatt", "+klatt2", "+Annie", "+Michael", "+Alicia", "+anika", "+belinda", "+ed", "+steph", "+Andy", "+linda"),
)
_TIMEOUT_S = 120.0
_ACCENTS = ("en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029")


@dataclass(frozen=True)
class VoiceChoice:
    """How a sentence is spoken: eSpeak NG voice name, words a minute, pitch and its range (0 to 99)."""

    voice: str
    rate_wpm: int
    pitch: int
    range: int


@dataclass(frozen=True)
class Speech:
    """Sound and truth.

    Attributes:
        samples: float32 (n,), mono, in [-1, 1], 16 kHz.
        phonemes: (ipa, start in seconds, end in seconds), in order.
    """

    samples: npt.NDArray[np.float32]
    phonemes: tuple[tuple[str, float, float], ...]


def sample_voice(rng: np.random.Generator) -> VoiceChoice:
    """Draw an accent, a speaker variant, a rate of 120 to 230 words a minute and a pitch."""
    voice = str(rng.choice(_ACCENTS)) + str(rng.choice(_VARIANTS))
    return VoiceChoice(voice, int(rng.integers(120, 231)), int(rng.integers(20, 85)), int(rng.integers(30, 90)))


class Speaker:
    """Speaks texts, each in a child process of its own.

    Args:
        speech_dir: folder with the library and its data (the `speech` group of `lipforge models fetch`), or None to
            look for an installed eSpeak NG.

    Raises:
        BackendError: no library was found.
    """

    def __init__(self, speech_dir: Path | None) -> None:
        library, data = _find_library(speech_dir)
        script = str(resources.files("lipforge.preprocess.synth") / "espeak_process.py")
        self._command = [sys.executable, "-I", "-S", script, library, *([data] if data else [])]

    def speak(self, text: str, choice: VoiceChoice) -> Speech:
        """Speak one text; equal requests give equal sound.

        Raises:
            BackendError: the library does not start, refuses the voice, or crashed.
        """
        request = json.dumps({"text": text, **asdict(choice)}).encode()
        done = subprocess.run(self._command, input=request, capture_output=True, check=False, timeout=_TIMEOUT_S)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
            raise BackendError(f"speech with voice {choice.voice!r} failed: {said}")
        line, _, raw = done.stdout.partition(b"\n")
        head = json.loads(line)
        wave = np.asarray(np.frombuffer(raw, "<i2") / 32768, np.float32)
        rate_hz = int(head["sample_rate_hz"])
        ends = [start for _, start in head["phonemes"][1:]] + [len(wave) / rate_hz]
        phonemes = tuple(
            (str(ipa), float(start), float(end)) for (ipa, start), end in zip(head["phonemes"], ends, strict=True)
        )
        return Speech(resample(wave, rate_hz, 16_000), phonemes)


def _find_library(speech_dir: Path | None) -> tuple[str, str | None]:
    if speech_dir is not None:
        found = sorted(speech_dir.rglob("libespeak-ng*"))
        data = sorted(p for p in speech_dir.rglob("espeak-ng-data") if p.is_dir())
        if found and data:
            return str(found[0]), str(data[0])
    installed = ctypes.util.find_library("espeak-ng")
    if installed is None:
        raise BackendError(
            "no speech library: run `lipforge models fetch speech`, or install eSpeak NG with your package manager."
        )
    return installed, None


def resample(wave: npt.NDArray[np.float32], rate_hz: int, wanted_hz: int) -> npt.NDArray[np.float32]:
    """Band-limited resampling by a windowed sinc of 32 taps a side; float32 (n,) in, float32 (m,) out."""
    if rate_hz == wanted_hz or not len(wave):
        return wave
    count = int(len(wave) * wanted_hz / rate_hz)
    cutoff = min(1.0, wanted_hz / rate_hz) * 0.95
    position = np.arange(count) * (rate_hz / wanted_hz)
    taps = np.arange(-31, 33)
    base = np.floor(position).astype(np.int64)
    offset = taps[None] - (position - base)[:, None]
    kernel = cutoff * np.sinc(cutoff * offset) * (0.5 + 0.5 * np.cos(np.pi * np.clip(offset / 32, -1, 1)))
    padded = np.pad(wave, 32)
    gathered = padded[base[:, None] + taps[None] + 32]
    return np.asarray((gathered * kernel).sum(1), np.float32)
