"""Phonemes from files and from transcripts."""

from __future__ import annotations

import json
import sys
import wave
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.errors import InputError, MissingPackageError
from lipforge.runtime.evaluate.closures import closures_of_phonemes
from lipforge.runtime.evaluate.phoneme_times import align, truth_beside

TEXT = (
    "and mister john dashwood had then leisure to consider how much there might be "
    "prudently in his power to do for them"
)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    path = resources.files("lipforge.runtime") / "assets" / "sample_voice.wav"
    with wave.open(str(path)) as file:
        assert file.getframerate() == 16_000
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def test_truth_is_the_json_of_the_same_name_if_it_holds_phonemes(tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    assert truth_beside(video) is None
    beside = tmp_path / "clip.json"
    beside.write_text(json.dumps({"phonemes": [["p", 0.5, 0.6], ["a", 0.6, 0.9]]}))
    assert truth_beside(video) == [("p", 0.5, 0.6), ("a", 0.6, 0.9)]
    for other in ({"kind": "lipforge-evaluation"}, [1, 2]):
        beside.write_text(json.dumps(other))
        assert truth_beside(video) is None
    for broken in ("{", '{"phonemes": [["p", 0.5]]}', '{"phonemes": 3}'):
        beside.write_text(broken)
        with pytest.raises(InputError, match=r"clip.json: its phonemes cannot be read"):
            truth_beside(video)


def test_transcript_is_aligned_with_the_sample_voice(voice: np.ndarray) -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is optional: pip install 'lipforge[evaluate]'")
    phonemes = align(voice, TEXT)
    starts = [start for _, start, _ in phonemes]
    assert starts == sorted(starts)
    assert 0.0 <= starts[0] < phonemes[-1][2] <= len(voice) / 16_000 + 0.05
    # m(ister), m(uch), m(ight) b(e), p(rudently), p(ower), (the)m
    assert len(closures_of_phonemes(phonemes)) == 7
    later = align(np.concatenate([np.zeros(8_000, np.float32), voice]), TEXT)
    moved = np.array([closure.start_s for closure in closures_of_phonemes(later)])
    usual = np.array([closure.start_s for closure in closures_of_phonemes(phonemes)])
    np.testing.assert_allclose(moved - usual, 0.5, atol=0.04)


def test_transcript_with_unknown_words_or_of_another_sound_is_refused(voice: np.ndarray) -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is optional: pip install 'lipforge[evaluate]'")
    with pytest.raises(InputError, match="no pronunciation of xqzzt"):
        align(voice, "and mister xqzzt")
    with pytest.raises(InputError, match="got no words"):
        align(voice, "...")
    with pytest.raises(InputError, match="does not say these words"):
        align(voice[:4_000], TEXT)
    with pytest.raises(InputError, match="has no sound"):
        align(voice[:0], TEXT)


def test_without_the_aligner_the_message_says_how_to_get_it(voice: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'lipforge\[evaluate\]'"):
        align(voice, TEXT)
