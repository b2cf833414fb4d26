"""Speech with phoneme times, from the child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.errors import BackendError
from lipforge.preprocess.synth.speech import Speaker, VoiceChoice, resample
from lipforge.runtime import wheel_assets

CHOICE = VoiceChoice("en-us", 150, 50, 50)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    folder = wheel_assets.locate(wheel_assets.SPEECH)
    if folder is None:
        pytest.skip("the speech library is not there: `lipforge models fetch speech` (done by `make test`)")
    return Speaker(folder)


@pytest.mark.network
def test_phoneme_times_match_the_sound(speaker: Speaker) -> None:
    speech = speaker.speak("Papa pops a map.", CHOICE)
    starts = [start for _, start, _ in speech.phonemes]
    assert starts == sorted(starts)
    assert speech.phonemes[-1][2] == pytest.approx(len(speech.samples) / 16_000, abs=1e-3)
    energy = {"closure": [], "vowel": []}
    for ipa, start, end in speech.phonemes:
        part = speech.samples[int(start * 16_000) : int((start + (end - start) / 2) * 16_000)]
        if ipa == "p":
            energy["closure"].append(float(np.sqrt(np.mean(part**2))))
        elif "ɑ" in ipa or "æ" in ipa:
            energy["vowel"].append(float(np.sqrt(np.mean(part**2))))
    assert len(energy["closure"]) >= 4
    assert np.median(energy["closure"]) < 0.3 * np.median(energy["vowel"]), (
        "the lips are shut in the first half of a /p/"
    )


@pytest.mark.network
def test_the_same_text_sounds_the_same(speaker: Speaker) -> None:
    first, second = (speaker.speak("Blue moon.", CHOICE) for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)


@pytest.mark.network
def test_an_unknown_voice_is_named(speaker: Speaker) -> None:
    with pytest.raises(BackendError, match="no voice 'nobody'"):
        speaker.speak("Hello.", VoiceChoice("nobody", 150, 50, 50))


def test_a_folder_without_a_library_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    with pytest.raises(BackendError, match="lipforge models fetch speech"):
        Speaker(tmp_path)


@pytest.mark.parametrize("rate_hz", [22_050, 16_000, 48_000])
def test_resampling_keeps_a_tone(rate_hz: int) -> None:
    time = np.arange(rate_hz) / rate_hz
    out = resample(np.sin(2 * np.pi * 440 * time).astype(np.float32), rate_hz, 16_000)
    assert len(out) == 16_000
    want = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(out - want)[200:-200].max() < 0.01
