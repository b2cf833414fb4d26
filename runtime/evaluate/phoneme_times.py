"""When each phoneme of a video sounds: from a truth file beside it, or by aligning a transcript with its sound."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.packages import require

F32 = NDArray[np.float32]
Phonemes = list[tuple[str, float, float]]
"""(IPA, start_s, end_s), in order; of aligned ones, only p, b and m are IPA for sure."""

ALIGNER_RATE_HZ = 16_000
ALIGNER_FRAMES_A_SECOND = 100


def truth_beside(video: Path) -> Phonemes | None:
    """Return the phonemes in the ``.json`` of the same name beside a rendered clip; None if there is no such file.

    Raises:
        InputError: there is one, with phonemes that cannot be read.
    """
    path = video.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        rows = values.get("phonemes") if isinstance(values, dict) else None
        if rows is None:  # some other file, such as an evaluation
            return None
        return [(str(sound), float(start), float(end)) for sound, start, end in rows]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: its phonemes cannot be read ({error}); they are [IPA, start_s, end_s]. Mend or move the file."
        ) from error


def align(samples: F32, text: str) -> Phonemes:
    """Find the phonemes of an English text in the sound of a voice that says it.

    Args:
        samples: float32 (n,), mono, in [-1, 1], 16 kHz.
        text: all that is said, in order.

    Raises:
        MissingPackageError: pocketsphinx is not installed.
        InputError: a word is not in the dictionary, or the sound does not say the text.
    """
    sphinx = require("pocketsphinx")
    if not len(samples):
        raise InputError("--transcript: the video has no sound that could say it.")
    decoder = sphinx.Decoder(lm=None, loglevel="FATAL")
    words = re.findall(r"[a-z']+", text.lower())
    unknown = sorted({word for word in words if decoder.lookup_word(word) is None})
    if unknown or not words:
        what = f"has no pronunciation of {', '.join(unknown)}" if unknown else "got no words"
        raise InputError(f"--transcript: the aligner {what}. Write English words as they are in a dictionary.")
    raw = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        _decode(decoder, raw)
        decoder.set_alignment()
        _decode(decoder, raw)
        alignment = decoder.get_alignment()
    except RuntimeError:
        alignment = None
    if alignment is None:
        raise InputError("--transcript: the sound does not say these words, or too unclearly to be aligned.")
    found: Phonemes = []
    for word in alignment:
        for phone in word:
            start = phone.start / ALIGNER_FRAMES_A_SECOND
            found.append((phone.name.lower(), start, start + phone.duration / ALIGNER_FRAMES_A_SECOND))
    return found


def _decode(decoder: Any, raw: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(raw, full_utt=True)
    decoder.end_utt()
