"""Festival: American, Italian, Czech and Finnish speakers cut from recordings; an external program, if installed."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from lipforge.kernels.errors import BackendError
from lipforge.preprocess.synth.arpabet import ARPABET
from lipforge.preprocess.synth.speech import SPEECH_RATE_HZ, USUAL_WPM, Speech, VoiceChoice, read_spoken
from lipforge.runtime import speech_programs

FESTIVAL = speech_programs.FESTIVAL.name
#: Name here, and what the program calls the voice. Those from the third on read invented words aloud.
VOICES = {
    "ked": "ked_diphone",
    "kal": "kal_diphone",
    "lp": "lp_diphone",
    "pc": "pc_diphone",
    "dita": "czech_dita",
    "krb": "czech_krb",
    "machac": "czech_machac",
    "ph": "czech_ph",
    "mv": "hy_fi_mv_diphone",
    "lj": "suo_fi_lj_diphone",
}
FESTIVAL_ENGLISH = ("ked", "kal")
#: Phones of the Italian, Czech and Finnish voices that are not the IPA's own letters.
_PHONES = {
    **{"#": "", "_": "", "S": "ʃ", "Z": "ʒ", "tS": "tʃ", "dZ": "dʒ", "J": "ɲ", "L": "ʎ", "E": "ɛ", "O": "ɔ"},
    **{"N": "ŋ", "@": "ø", "{": "æ", "A": "ɑ", "c": "ts", "c~": "tʃ", "ch": "x", "d~": "ɟ", "t~": "c", "n~": "ɲ"},
    **{"n*": "ŋ", "r~": "r", "r*": "r", "s~": "ʃ", "z~": "ʒ", "dz~": "dʒ"},
}
_TIMEOUT_S = 120.0
_LISTED_EARLY_S = 0.012  # as in ``flite``; measured on all voices, which differ by 10 ms


class Festival:
    """Speaks with the ``festival`` program. The voices have a melody of their own: pitch and range are not obeyed.

    Raises:
        BackendError: it is not installed.
    """

    def __init__(self) -> None:
        self._program = speech_programs.FESTIVAL.require()

    def speak(self, text: str, choice: VoiceChoice) -> Speech:
        """Speak one text (``Engine``).

        Raises:
            BackendError: there is no such voice, or the program failed.
        """
        if choice.voice not in VOICES:
            raise BackendError(f"{FESTIVAL} has no voice {choice.voice!r}; it has {', '.join(VOICES)}.")
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [self._program, "--batch", *_commands(text, choice)],
                cwd=folder,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_S,
                text=True,
            )
            sound, segments = Path(folder) / "speech.wav", Path(folder) / "speech.segs"
            if done.returncode != 0 or not sound.exists() or not segments.exists():
                said = (done.stderr or done.stdout).strip().splitlines()
                raise BackendError(
                    f"{FESTIVAL}'s voice {choice.voice} failed: {said[-1] if said else 'it said nothing'}"
                )
            samples = read_spoken(sound)
            listing = segments.read_text(encoding="latin-1")
        return Speech(samples, phonemes_of(listing, len(samples) / SPEECH_RATE_HZ))


def _commands(text: str, choice: VoiceChoice) -> list[str]:
    quoted = text.replace("\\", " ").replace('"', " ")
    return [
        f"(voice_{VOICES[choice.voice]})",
        f"(Parameter.set 'Duration_Stretch {USUAL_WPM / choice.rate_wpm:.4f})",
        f'(set! utterance (Utterance Text "{quoted}"))',
        "(utt.synth utterance)",
        '(utt.save.wave utterance "speech.wav" (quote riff))',
        '(utt.save.segs utterance "speech.segs")',
    ]


def phonemes_of(listing: str, seconds: float) -> tuple[tuple[str, float, float], ...]:
    """Read a label file, after its header ``end colour phone`` a line.

    Args:
        listing: the file's text.
        seconds: length of the sound.
    """
    clock, found = 0.0, []
    for line in listing.partition("#\n")[2].splitlines():
        listed, _, phone = line.split(maxsplit=2)
        end = min(float(listed) + _LISTED_EARLY_S, seconds)
        found.append((_ipa(phone.strip()), clock, end))
        clock = end
    return tuple(found)


def _ipa(phone: str) -> str:
    if phone in ARPABET and len(phone) > 1:
        return ARPABET[phone]
    bare = re.sub(r"[0-9:]", "", phone)
    return _PHONES.get(bare, bare)
