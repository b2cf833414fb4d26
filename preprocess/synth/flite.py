"""Flite: five English speakers, four of them cut from recordings of people; an external program, if it is installed."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from lipforge.kernels.errors import BackendError
from lipforge.preprocess.synth.arpabet import ARPABET
from lipforge.preprocess.synth.speech import SPEECH_RATE_HZ, USUAL_PITCH, USUAL_WPM, Speech, VoiceChoice, read_spoken
from lipforge.runtime import speech_programs

FLITE = speech_programs.FLITE.name
#: Voice and its usual pitch in Hz. Two of them (kal, kal16) are one man, recorded at 8 and 16 kHz.
USUAL_HZ = {"awb": 105.0, "rms": 95.0, "slt": 170.0, "kal16": 105.0, "kal": 105.0}
_TIMEOUT_S = 120.0
# The program lists a phone so much before its sound: with this, the sound in /p/ is least. Measured on all voices.
_LISTED_EARLY_S = 0.02


class Flite:
    """Speaks with the ``flite`` program. Pitch and range are obeyed by kal alone: the others have their own melody.

    Raises:
        BackendError: it is not installed.
    """

    def __init__(self) -> None:
        self._program = speech_programs.FLITE.require()

    def speak(self, text: str, choice: VoiceChoice) -> Speech:
        """Speak one text (``Engine``).

        Raises:
            BackendError: there is no such voice, or the program failed.
        """
        if choice.voice not in USUAL_HZ:
            raise BackendError(f"{FLITE} has no voice {choice.voice!r}; it has {', '.join(USUAL_HZ)}.")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            done = subprocess.run(
                [self._program, *_settings(choice), "-psdur", "-o", str(path), "-t", text],
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_S,
                text=True,
            )
            if done.returncode != 0 or not path.exists():
                said = done.stderr.strip().splitlines()
                raise BackendError(f"{FLITE} failed: {said[-1] if said else f'exit code {done.returncode}'}")
            samples = read_spoken(path)
        return Speech(samples, phonemes_of(done.stdout, len(samples) / SPEECH_RATE_HZ))


def _settings(choice: VoiceChoice) -> list[str]:
    stretch = USUAL_WPM / choice.rate_wpm
    semitones = (choice.pitch - USUAL_PITCH) / 12
    hertz = USUAL_HZ[choice.voice] * 2 ** (semitones / 12)
    melody = 15.0 * choice.range / 50
    return [
        *("-voice", choice.voice, "--setf", f"duration_stretch={stretch:.4f}"),
        *("--setf", f"int_f0_target_mean={hertz:.1f}", "--setf", f"int_f0_target_stddev={melody:.1f}"),
    ]


def phonemes_of(listing: str, seconds: float) -> tuple[tuple[str, float, float], ...]:
    """Read what ``-psdur`` prints, ``pau:0.193 p:0.271 ...``: phones of ARPAbet with the times at which they end.

    Args:
        listing: the words.
        seconds: length of the sound; some voices end earlier than they list.
    """
    clock, found = 0.0, []
    for word in listing.split():
        phone, _, listed = word.rpartition(":")
        end = min(float(listed) + _LISTED_EARLY_S, seconds)
        found.append((ARPABET[phone], clock, end))
        clock = end
    return tuple(found)
