"""eSpeak NG: a formant synthesiser of a hundred languages and speakers, in a child process (``espeak_process.py``)."""

from __future__ import annotations

import ctypes.util
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np

from lipforge.kernels.errors import BackendError
from lipforge.preprocess.synth.speech import SPEECH_RATE_HZ, Speech, VoiceChoice, resample

ESPEAK = "espeak-ng"
#: Languages that the sentences of ``sentences.py`` are made for: English, and those that read invented words aloud.
ENGLISH = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
FOREIGN = (
    "de",
    "fr",
    "es",
    "it",
    "pt-br",
    "nl",
    "pl",
    "sv",
    "tr",
    "id",
    "fi",
    "ro",
    "cs",
    "hu",
    "sw",
    "el",
    "hr",
    "da",
)
#: Speakers of the library's ``voices/!v``; robots, demons and their like are left out.
VARIANTS = (
    *("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8"),
    *("+klatt", "+klatt2", "+klatt3", "+klatt4", "+klatt5", "+klatt6", "+Alex", "+Alicia", "+Andrea", "+Andy"),
    *("+Annie", "+Denis", "+Diogo", "+Gene", "+Henrique", "+Hugo", "+Jacky", "+Lee", "+Marco", "+Mario", "+Michael"),
    *("+Mike", "+Mr", "+Nguyen", "+Reed", "+adam", "+anika", "+antonio", "+aunty", "+belinda", "+benjamin", "+boris"),
    *("+caleb", "+david", "+ed", "+edward", "+grandma", "+grandpa", "+gustave", "+ian", "+iven", "+iven2", "+john"),
    *("+kaukovalta", "+linda", "+marcelo", "+max", "+michel", "+miguel", "+mike2", "+norbert", "+pablo", "+paul"),
    *("+pedro", "+quincy", "+rob", "+robert", "+sandro", "+shelby", "+steph", "+steph2", "+travis", "+victor", "+zac"),
    *("+croak", "+whisper", "+whisperf"),
)
_TIMEOUT_S = 120.0


class Espeak:
    """Speaks with eSpeak NG; every text in a child process of its own.

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
        """Speak one text (``Engine``).

        Raises:
            BackendError: the library does not start, refuses the voice, or crashed.
        """
        keys = ("voice", "rate_wpm", "pitch", "range")
        request = json.dumps({"text": text, **{key: getattr(choice, key) for key in keys}}).encode()
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
        return Speech(resample(wave, rate_hz, SPEECH_RATE_HZ), phonemes)


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
