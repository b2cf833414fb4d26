"""Which voices speak: engines by name, drawn at random, each with its truth about phonemes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.preprocess.synth.espeak import ENGLISH, ESPEAK, FOREIGN, VARIANTS, Espeak
from lipforge.preprocess.synth.festival import FESTIVAL, FESTIVAL_ENGLISH, Festival
from lipforge.preprocess.synth.festival import VOICES as FESTIVAL_VOICES
from lipforge.preprocess.synth.flite import FLITE, USUAL_HZ, Flite
from lipforge.preprocess.synth.sentences import invented_text, random_text
from lipforge.preprocess.synth.speech import Engine, Speech, VoiceChoice, resized

ENGINES = (ESPEAK, FLITE, FESTIVAL)
_FOREIGN_SHARE = 0.35  # of what eSpeak NG says
_LARGEST_SIZE = 0.12  # of a speaker's head, larger or smaller


@dataclass(frozen=True)
class VoiceSet:
    """Voices by engine, from words such as ``espeak-ng``, ``flite:slt``, ``espeak-ng:de`` or ``espeak-ng:+Mario``.

    An engine's name alone means all of its voices. A word with a minus before it takes voices away again.

    Attributes:
        words: what was asked for.
    """

    words: tuple[str, ...] = (ESPEAK,)

    def __post_init__(self) -> None:
        for engine in self.engines:
            if not self.voices(engine):
                raise ConfigError(f"voices {','.join(self.words)}: nothing of {engine} is left.")

    @classmethod
    def parse(cls, text: str) -> VoiceSet:
        """Read a list with commas.

        Raises:
            ConfigError: an engine or a voice that there is not.
        """
        words = tuple(word.strip() for word in text.split(",") if word.strip())
        for word in words:
            engine, _, name = word.removeprefix("-").partition(":")
            if engine not in ENGINES:
                raise ConfigError(f"voices {word!r}: no such engine; there are {', '.join(ENGINES)}.")
            if name and not any(_meant(voice, name) for voice in _all_voices(engine)):
                raise ConfigError(f"voices {word!r}: {engine} has no voice {name!r}; {_examples(engine)}.")
        if not any(not word.startswith("-") for word in words):
            raise ConfigError(f"voices {text!r}: names no engine to take; there are {', '.join(ENGINES)}.")
        return cls(words)

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines that are asked for, in a fixed order."""
        asked = {word.partition(":")[0] for word in self.words if not word.startswith("-")}
        return tuple(engine for engine in ENGINES if engine in asked)

    def voices(self, engine: str) -> tuple[str, ...]:
        """Names of an engine's voices that are asked for; of eSpeak NG, language and speaker joined."""
        wanted = [word.partition(":")[2] for word in self.words if word.partition(":")[0] == engine]
        refused = [word.partition(":")[2] for word in self.words if word.partition(":")[0] == f"-{engine}"]
        return tuple(
            voice
            for voice in _all_voices(engine)
            if any(_meant(voice, name) for name in wanted) and not any(_meant(voice, name) for name in refused)
        )


def _all_voices(engine: str) -> tuple[str, ...]:
    if engine != ESPEAK:
        return tuple(USUAL_HZ if engine == FLITE else FESTIVAL_VOICES)
    return tuple(language + variant for language in (*ENGLISH, *FOREIGN) for variant in VARIANTS)


def _meant(voice: str, name: str) -> bool:
    language, plus, variant = voice.partition("+")
    return name in ("", voice, language, plus + variant)


def _examples(engine: str) -> str:
    shown = ("en-us", "de", "+Mario", "fr+f2") if engine == ESPEAK else _all_voices(engine)
    return f"such as {', '.join(shown)}"


def _speaks_english(choice: VoiceChoice) -> bool:
    if choice.engine == ESPEAK:
        return choice.voice.partition("+")[0] in ENGLISH
    return choice.engine == FLITE or choice.voice in FESTIVAL_ENGLISH


class Speaker:
    """Speaks random texts with random voices of a set.

    Args:
        voices: which.
        speech_dir: where eSpeak NG is (``Espeak``).

    Raises:
        BackendError: an engine that is asked for is not there.
    """

    def __init__(self, voices: VoiceSet, speech_dir: Path | None) -> None:
        makers: dict[str, Callable[[], Engine]] = {
            ESPEAK: lambda: Espeak(speech_dir),
            FLITE: Flite,
            FESTIVAL: Festival,
        }
        self._engines = {name: makers[name]() for name in voices.engines}
        self._voices = {name: voices.voices(name) for name in voices.engines}

    def say_anything(self, rng: np.random.Generator, words: int) -> tuple[str, VoiceChoice, Speech]:
        """Return a text of about ``words`` words, the voice that speaks it, and its speech.

        Raises:
            BackendError: the engine failed, or said nothing.
        """
        choice = self._sample(rng)
        text = random_text(rng, words) if _speaks_english(choice) else invented_text(rng, words)
        speech = self.speak(text, choice)
        if not len(speech.samples):
            raise BackendError(f"the voice {choice.voice} said nothing for {text!r}")
        return text, choice, speech

    def speak(self, text: str, choice: VoiceChoice) -> Speech:
        """Speak one text; equal requests give equal sound.

        Raises:
            BackendError: the engine is not in the set, or failed.
        """
        if choice.engine not in self._engines:
            raise BackendError(f"voice of {choice.engine!r}: these engines were opened: {', '.join(self._engines)}.")
        return resized(self._engines[choice.engine].speak(text, choice), choice.size)

    def _sample(self, rng: np.random.Generator) -> VoiceChoice:
        engine = str(rng.choice(list(self._engines)))
        voices = self._voices[engine]
        if engine == ESPEAK:
            foreign = rng.random() < _FOREIGN_SHARE
            side = tuple(v for v in voices if (v.partition("+")[0] in FOREIGN) == foreign)
            voices = side or voices
        size = float(np.exp(rng.uniform(-_LARGEST_SIZE, _LARGEST_SIZE)))
        rate = int(rng.integers(120, 231) * size)  # a larger head does not speak slower
        pitch, liveliness = int(rng.integers(20, 85)), int(rng.integers(30, 90))
        return VoiceChoice(engine, str(voices[rng.integers(len(voices))]), rate, pitch, liveliness, round(size, 4))
