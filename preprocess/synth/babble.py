"""Sounds in a random order with random lengths: how a mouth moves when nobody needs to hear it."""

from __future__ import annotations

import numpy as np

_VOWELS = "ɑaʌæɔouʊiɪeɛəɜ"
_CONSONANTS = "pbmfvθtdnlszʃrwkgh"
_SHORTEST_S, _LONGEST_S = 0.05, 0.18
_PAUSE_SHARE = 0.06


def babble(seconds: float, rng: np.random.Generator) -> tuple[tuple[str, float, float], ...]:
    """Return phonemes as (ipa, start s, end s) that fill ``seconds``: syllables, with a pause now and then."""
    phonemes: list[tuple[str, float, float]] = []
    clock = float(rng.uniform(0.1, 0.4))
    while clock < seconds:
        letters = _CONSONANTS if len(phonemes) % 2 == 0 else _VOWELS
        end = min(clock + float(rng.uniform(_SHORTEST_S, _LONGEST_S)), seconds)
        phonemes.append((letters[rng.integers(len(letters))], clock, end))
        clock = end + (float(rng.uniform(0.1, 0.4)) if rng.random() < _PAUSE_SHARE else 0.0)
    return tuple(phonemes)
