"""Phones of American English as speech programs of the Festival family name them, in the letters of the IPA."""

from __future__ import annotations

#: Radio phones of CMU's and Festival's English voices; pauses have no letters.
ARPABET = {
    **{"pau": "", "h#": "", "brth": "", "sil": ""},
    **{"aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ"},
    **{"eh": "ɛ", "er": "ɜ", "ey": "eɪ", "ih": "ɪ", "iy": "i", "ow": "oʊ", "oy": "ɔɪ", "uh": "ʊ", "uw": "u"},
    **{"b": "b", "p": "p", "m": "m", "em": "m", "f": "f", "v": "v", "th": "θ", "dh": "ð"},
    **{"t": "t", "d": "d", "dx": "ɾ", "n": "n", "nx": "n", "en": "n", "l": "l", "el": "l", "s": "s", "z": "z"},
    **{"sh": "ʃ", "zh": "ʒ", "ch": "tʃ", "jh": "dʒ", "r": "ɹ", "w": "w", "wh": "w", "y": "j"},
    **{"k": "k", "g": "ɡ", "ng": "ŋ", "hh": "h", "hv": "h"},
}
