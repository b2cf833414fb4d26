"""Endless sentences, rich in the sounds that move the lips: of common English words, or of invented ones."""

from __future__ import annotations

import numpy as np

_WORD_LIST = (
    "about above again air all also animal another answer any apple are around ask away baby back bad ball bath "
    "beach because bed been before begin behind believe below best better between big bird black blue boat body "
    "book both box boy bread bring brother brown build but butter buy call came camp can car carry cat chair change "
    "child choose church city clean close coffee cold come cook could cow cup cut dark day deep did different do "
    "dog door down dream dress drink drive each early earth eat egg eight enough even evening ever every eye face "
    "fall family far farm fast father feel few field fifth find fire first fish five flower fly follow food foot "
    "for four free fresh friend from full funny game garden gave get girl give glass go good great green grow had "
    "half hand happy hat have he head hear heart help her here high hill him his home hope horse hot house how huge "
    "hundred hurry ice idea if in is it job join juice jump just keep kind king kitchen know lady lake land large "
    "last late laugh law lead leaf learn leave left less let letter life light like line listen little live long "
    "look love low lunch make man many map march may maybe me mean meat meet men milk mind moment money moon more "
    "morning most mother mountain mouse mouth move movie much music must my name near need never new news next nice "
    "night nine no north nose not nothing now number of off often old on once one only open or other our out over "
    "own page paper park part party pay people perhaps phone piano picture piece pink place plan plant play please "
    "point pool poor pop potato power problem put question quick quiet rain read ready red remember rice rich right "
    "river road rock room round run sad said salt same sand save say school sea second see seem sell send seven "
    "shall shape share she ship shoe shop short should show shut sick side simple since sing sister sit six sky "
    "sleep slow small smile smooth snow so some song soon sorry soup south speak spoon spring stand star start stay "
    "still stone stop story street strong such sugar summer sun sure sweet swim table take talk tall tea teach tell "
    "ten than thank that the their them then there these they thing think this those three through time to today "
    "together told tomorrow too took tooth top touch town train tree true try turn twelve two under until up us use "
    "vegetable very village visit voice wait walk wall want warm was wash watch water wave way we weather week well "
    "went were west what wheel when where which while white who whole why wide will win window winter wish with "
    "woman wonder wood word work world would write yard year yellow yes you young zero zoo "
)

_RICH = (
    "Papa pops a big map.",
    "Bob and Pam may bump the blue bumper.",
    "Five fine vases fell off the van.",
    "We would wear warm woollen clothes.",
    "Sue chose two huge blue shoes.",
    "My mother's moon beam made me mumble.",
    "Please bring me the maple pump.",
    "Every evening over the river, seven foxes fight.",
    "She sells sea shells by the shore.",
    "How now, brown cow, why do you bow?",
    "Put the purple puppy on the pillow.",
    "Very few people believe the fifth woman.",
)


def random_text(rng: np.random.Generator, words: int) -> str:
    """Text of about ``words`` words: random sentences, one in four from a list made for the lips."""
    sentences: list[str] = []
    count = 0
    while count < words:
        if rng.random() < 0.25:
            sentence = str(rng.choice(_RICH))
        else:
            chosen = [str(w) for w in rng.choice(_WORD_LIST.split(), int(rng.integers(4, 12)))]
            if len(chosen) > 6 and rng.random() < 0.5:
                chosen[len(chosen) // 2] += ","
            sentence = " ".join(chosen).capitalize() + "."
        sentences.append(sentence)
        count += len(sentence.split())
    return " ".join(sentences)


_ONSETS = (
    *["b", "p", "m", "f", "v", "w", "d", "t", "n", "l", "s", "z", "k", "g", "r", "h", "j"],
    *["bl", "br", "pl", "pr", "fr", "fl", "tr", "dr", "st", "sp", "sk", "kl", "kr", "gr", "sm"],
)
_VOWELS = ("a", "e", "i", "o", "u", "a", "o", "ai", "au", "io", "ua")
_CODAS = ("", "", "", "", "n", "m", "r", "l", "s", "p", "b", "t", "k")


def invented_text(rng: np.random.Generator, words: int) -> str:
    """Text of about ``words`` words that no language has but most can read aloud: syllables of Latin letters."""
    sentences: list[str] = []
    count = 0
    while count < words:
        chosen = [_invented_word(rng) for _ in range(int(rng.integers(3, 9)))]
        if len(chosen) > 4 and rng.random() < 0.5:
            chosen[len(chosen) // 2] += ","
        sentences.append(" ".join(chosen).capitalize() + ".")
        count += len(chosen)
    return " ".join(sentences)


def _invented_word(rng: np.random.Generator) -> str:
    syllables = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.4, 0.25, 0.1]))
    return "".join(
        str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) + str(rng.choice(_CODAS)) for _ in range(syllables)
    )
