"""Speech with exact phoneme times: many voices, rates and pitches, spoken by a child process."""

from __future__ import annotations

import ctypes.util
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import BackendError

_VARIANTS = (
    *("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8"),
    *("+klatt", "+klatt2", "+Annie", "+Michael", "+Alicia", "+anika", "+belinda", "+ed", "+steph", "+Andy", "+linda"),
)
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
    """Owns the child process; use it as a context manager.

    Args:
        speech_dir: folder with the library and its data (the `speech` group of `lipforge models fetch`), or None to
            look for an installed eSpeak NG.

    Raises:
        BackendError: no library was found, or it does not start.
    """

    def __init__(self, speech_dir: Path | None) -> None:
        library, data = _find_library(speech_dir)
        script = str(resources.files("lipforge.preprocess.synth") / "espeak_process.py")
        command = [sys.executable, "-P", script] if sys.version_info >= (3, 11) else [sys.executable, script]
        self._process = subprocess.Popen(
            [*command, library, *([data] if data else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Speaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        self._process.terminate()
        self._process.wait(timeout=10)

    def speak(self, text: str, choice: VoiceChoice) -> Speech:
        """Speak one text.

        Raises:
            BackendError: the library refuses the voice, or the process died.
        """
        head, raw = self._ask({"text": text, **asdict(choice)})
        wave = np.frombuffer(raw, "<i2").astype(np.float32) / 32768
        rate = int(head["sample_rate_hz"])
        ends = [start for _, start in head["phonemes"][1:]] + [len(wave) / rate]
        phonemes = tuple(
            (str(ipa), float(start), float(end)) for (ipa, start), end in zip(head["phonemes"], ends, strict=True)
        )
        return Speech(resample(wave, rate, 16_000), phonemes)

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise BackendError("the speech process has no pipes")
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise BackendError(self._death_note()) from None
        line = process.stdout.readline()
        if not line:
            raise BackendError(self._death_note())
        head: dict[str, Any] = json.loads(line)
        if "error" in head:
            raise BackendError(f"speech: {head['error']}")
        return head, process.stdout.read(2 * head["samples"])

    def _death_note(self) -> str:
        said = self._process.stderr.read().decode(errors="replace").strip() if self._process.stderr else ""
        return f"the speech process ended: {said or 'no message'}. Run `lipforge models fetch speech`."


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
