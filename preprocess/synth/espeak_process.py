"""A small child process around the eSpeak NG library: text in, sound and phoneme times out.

eSpeak NG is GPL-3 software and stays an external program: this file runs only as a process of its own
(``python espeak_process.py LIBRARY [DATA_DIR]``), talks JSON lines over stdin and stdout, and imports nothing of
lipforge. Request: ``{"text", "voice", "rate_wpm", "pitch", "range"}``. Answer: ``{"sample_rate_hz", "samples",
"phonemes": [[ipa, start_s], ...]}`` followed by ``samples`` little-endian int16 values; or ``{"error"}``.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any, BinaryIO

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
    """The loaded library; speaks one text at a time."""

    def __init__(self, library: str, data_dir: str | None) -> None:
        self._library = ctypes.CDLL(library)
        options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA
        path = data_dir.encode() if data_dir else None
        self.sample_rate_hz = int(self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, path, options))
        if self.sample_rate_hz <= 0:
            raise RuntimeError(f"eSpeak NG could not start with data folder {data_dir!r}")
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


def serve(voice: Voice, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request a line until the input ends."""
    for line in requests:
        try:
            samples, phonemes = voice.speak(json.loads(line))
            head = {"sample_rate_hz": voice.sample_rate_hz, "samples": len(samples) // 2, "phonemes": phonemes}
        except (RuntimeError, KeyError, ValueError) as error:
            samples, head = b"", {"error": str(error)}
        answers.write(json.dumps(head).encode() + b"\n" + samples)
        answers.flush()


if __name__ == "__main__":
    try:
        _voice = Voice(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    except (OSError, RuntimeError) as _error:
        sys.exit(f"espeak: {_error}")
    serve(_voice, sys.stdin.buffer, sys.stdout.buffer)
