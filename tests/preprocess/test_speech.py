"""Speech with phoneme times, from the child process."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.preprocess.synth.espeak import ESPEAK, VARIANTS, Espeak
from lipforge.preprocess.synth.festival import FESTIVAL, Festival
from lipforge.preprocess.synth.festival import VOICES as FESTIVAL_VOICES
from lipforge.preprocess.synth.festival import phonemes_of as festival_phonemes
from lipforge.preprocess.synth.flite import FLITE, USUAL_HZ, Flite, phonemes_of
from lipforge.preprocess.synth.speech import Speech, VoiceChoice, resample, resized
from lipforge.preprocess.synth.voices import Speaker, VoiceSet
from lipforge.runtime import speech_programs, wheel_assets

CHOICE = VoiceChoice(ESPEAK, "en-us", 150)


@pytest.fixture(scope="module")
def speaker() -> Espeak:
    folder = wheel_assets.locate(wheel_assets.SPEECH)
    if folder is None:
        pytest.skip("the speech library is not there: `lipforge models fetch speech` (done by `make test`)")
    return Espeak(folder)


@pytest.mark.network
def test_phoneme_times_match_the_sound(speaker: Espeak) -> None:
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
def test_the_same_text_sounds_the_same(speaker: Espeak) -> None:
    first, second = (speaker.speak("Blue moon.", CHOICE) for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)


@pytest.mark.network
def test_an_unknown_voice_is_named(speaker: Espeak) -> None:
    with pytest.raises(BackendError, match="no voice 'nobody'"):
        speaker.speak("Hello.", VoiceChoice(ESPEAK, "nobody"))


def test_a_folder_without_a_library_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    with pytest.raises(BackendError, match="lipforge models fetch speech"):
        Espeak(tmp_path)


@pytest.fixture(scope="module")
def flite() -> Flite:
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed: apt install flite")
    return Flite()


@pytest.mark.parametrize("voice", list(USUAL_HZ))
def test_flite_knows_when_its_lips_are_shut(flite: Flite, voice: str) -> None:
    speech = flite.speak("Papa pops a map.", VoiceChoice(FLITE, voice, 140))
    assert speech.phonemes[-1][2] == pytest.approx(len(speech.samples) / 16_000, abs=0.02)
    level = {"closure": [], "vowel": []}
    for ipa, start, end in speech.phonemes:
        part = speech.samples[int(start * 16_000) : int((start + (end - start) / 2) * 16_000)]
        if ipa == "p":
            level["closure"].append(float(np.sqrt(np.mean(part**2))))
        elif ipa in ("ɑ", "æ"):
            level["vowel"].append(float(np.sqrt(np.mean(part**2))))
    assert len(level["closure"]) >= 4
    assert np.median(level["closure"]) < 0.3 * np.median(level["vowel"])


def test_flite_obeys_rate_and_pitch(flite: Flite) -> None:
    slow, fast = (flite.speak("Blue moon.", VoiceChoice(FLITE, "rms", rate)) for rate in (100, 250))
    assert len(slow.samples) > 1.5 * len(fast.samples)
    low, high = (flite.speak("Blue moon.", VoiceChoice(FLITE, "kal16", pitch=pitch)) for pitch in (20, 80))
    assert not np.array_equal(low.samples[:8000], high.samples[:8000])
    with pytest.raises(BackendError, match="no voice 'nobody'; it has awb"):
        flite.speak("Hello.", VoiceChoice(FLITE, "nobody"))


@pytest.mark.parametrize("voice", list(FESTIVAL_VOICES))
def test_festival_knows_when_its_lips_are_shut(voice: str) -> None:
    if shutil.which("festival") is None or not Path("/usr/share/festival/voices").exists():
        pytest.skip(f"festival is not installed: {speech_programs.FESTIVAL.how_to_install}")
    try:
        speech = Festival().speak("Papapi bopas nepa, lupo kapite sapo lipa.", VoiceChoice(FESTIVAL, voice, 130))
    except BackendError as error:
        pytest.skip(f"this voice is not installed: {error}")
    assert speech.phonemes[-1][2] == pytest.approx(len(speech.samples) / 16_000, abs=0.05)
    level = {"closure": [], "other": []}
    for ipa, start, end in speech.phonemes:
        part = speech.samples[int(start * 16_000) : int((start + (end - start) / 2) * 16_000)]
        if ipa:
            level["closure" if ipa == "p" else "other"].append(float(np.sqrt(np.mean(part**2))))
    assert len(level["closure"]) >= 5
    assert np.median(level["closure"]) < 0.45 * np.median(level["other"])


def test_the_labels_of_festival_are_read() -> None:
    listing = "separator ;\nnfields 1\n#\n 0.100 100 #\n 0.1852 100 p\n 0.25 100 a1\n 0.3 100 S\n 0.4 100 ae\n"
    found = festival_phonemes(listing, 0.405)
    assert [ipa for ipa, _, _ in found] == ["", "p", "a", "ʃ", "æ"]
    assert [end for _, _, end in found] == pytest.approx([0.112, 0.1972, 0.262, 0.312, 0.405])


def test_the_listing_of_flite_is_read() -> None:
    listing = "pau:0.193 p:0.271 aa:0.413 pau:0.500 \n"
    expected = [("", 0.0, 0.213), ("p", 0.213, 0.291), ("ɑ", 0.291, 0.433), ("", 0.433, 0.51)]
    for (ipa, *times), (wanted, *wanted_times) in zip(phonemes_of(listing, 0.51), expected, strict=True):
        assert ipa == wanted
        assert times == pytest.approx(wanted_times)


def test_an_engine_that_is_named_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(BackendError, match="apt install flite"):
        Speaker(VoiceSet.parse("flite"), tmp_path)


def test_voice_sets() -> None:
    assert VoiceSet.parse("flite:slt, espeak-ng:de").engines == (ESPEAK, FLITE)
    assert VoiceSet.parse("flite:slt").voices(FLITE) == ("slt",)
    assert VoiceSet.parse("espeak-ng:de").voices(ESPEAK) == tuple(f"de{variant}" for variant in VARIANTS)
    without = VoiceSet.parse("espeak-ng,-espeak-ng:+Mario,-espeak-ng:fr").voices(ESPEAK)
    assert not [voice for voice in without if voice.endswith("+Mario") or voice.startswith("fr")]
    assert len(without) > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("festivla", "no such engine; there are espeak-ng, flite, festival"),
        ("flite:mario", "flite has no voice 'mario'; such as awb"),
        ("-flite", "names no engine to take"),
        ("flite:slt,-flite", "nothing of flite is left"),
    ],
)
def test_voice_sets_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VoiceSet.parse(text)


def test_a_larger_head_speaks_lower_and_its_phonemes_follow() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    larger = resized(Speech(tone, (("a", 0.2, 0.6),)), 1.1)
    assert len(larger.samples) == 17_600
    assert np.argmax(np.abs(np.fft.rfft(larger.samples))) * 16_000 / 17_600 == pytest.approx(400, abs=1)
    assert larger.phonemes[0][1:] == pytest.approx((0.22, 0.66))


@pytest.mark.parametrize("rate_hz", [22_050, 16_000, 48_000])
def test_resampling_keeps_a_tone(rate_hz: int) -> None:
    time = np.arange(rate_hz) / rate_hz
    out = resample(np.sin(2 * np.pi * 440 * time).astype(np.float32), rate_hz, 16_000)
    assert len(out) == 16_000
    want = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(out - want)[200:-200].max() < 0.01
