"""A small child process around the eSpeak NG library: text in, sound and phoneme times out.

eSpeak NG is GPL-3 software and stays an external program: this file runs only as a process of its own
(``python espeak_process.py LIBRARY [DATA_DIR]``), imports nothing of lipforge, answers one request and
ends, because the library keeps state from one text to the next and equal requests have to give equal sound.

stdin: JSON ``{"text", "voice", "rate_wpm", "pitch", "range"}``. stdout: a line of JSON ``{"sample_rate_hz",
"phonemes": [[ipa, start_s], ...]}``, then little-endian int16 samples. Errors: one line on stderr, exit code 1.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

# Constants of speak_lib.h, eSpeak NG 1.51 and 1.52.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS, _INITIALIZE_PHONEME_IPA = 1, 2
_CHARS_UTF8 = 1
_EVENT_LIST_END, _EVENT_PHONEME = 0, 7
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Voice:
    """The loaded library."""

    def __init__(self, library: str, data_dir: str | None) -> None:
        self._library = ctypes.CDLL(library)
        options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA
        path = data_dir.encode() if data_dir else None
        self.sample_rate_hz = int(self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, path, options))
        if self.sample_rate_hz <= 0:
            raise RuntimeError(f"eSpeak NG could not start with data folder {data_dir!r}")
        if hasattr(self._library, "espeak_ng_SetRandSeed"):  # since 1.52; breath noise then repeats too
            self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._chunks: list[bytes] = []
        self._phonemes: list[tuple[str, float]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if count > 0:
            self._chunks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while events[index].type != _EVENT_LIST_END:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                self._phonemes.append((event.id.string.decode("utf-8", "replace"), event.sample / self.sample_rate_hz))
            index += 1
        return 0

    def speak(self, request: dict[str, Any]) -> tuple[bytes, list[tuple[str, float]]]:
        """Return little-endian int16 samples and (ipa, start in seconds) of every phoneme."""
        self._chunks, self._phonemes = [], []
        if self._library.espeak_SetVoiceByName(str(request["voice"]).encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {request['voice']!r}")
        for parameter, key in ((_PARAMETER_RATE, "rate_wpm"), (_PARAMETER_PITCH, "pitch"), (_PARAMETER_RANGE, "range")):
            self._library.espeak_SetParameter(parameter, int(request[key]), 0)
        text = str(request["text"]).encode() + b"\0"
        self._library.espeak_Synth(text, len(text), 0, 1, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return b"".join(self._chunks), self._phonemes


def main() -> None:
    """Answer the request on stdin."""
    voice = Voice(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    samples, phonemes = voice.speak(json.load(sys.stdin))
    head = {"sample_rate_hz": voice.sample_rate_hz, "phonemes": phonemes}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + samples)


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        sys.exit(str(error))
