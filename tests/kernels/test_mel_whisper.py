from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.mel import MelStream, log_mel, reference, samples_needed
from lipforge.kernels.spec import WhisperMelSpec

GLOBAL = WhisperMelSpec()
RUNNING, NONE = replace(GLOBAL, clamp="running"), replace(GLOBAL, clamp="none")
LARGE = WhisperMelSpec(n_mels=128, clamp="none")
ODD = WhisperMelSpec(n_fft=252, hop_samples=61, n_mels=33, clamp="running")

FLOAT32_ERROR = 2e-5


def speech(rng: np.random.Generator, samples: int) -> np.ndarray:
    time = np.arange(samples) / 16_000
    voice = np.sin(2 * np.pi * 140 * time * (1 + 0.1 * np.sin(20 * time))) * np.abs(np.sin(9 * time))
    return (0.4 * voice + 0.05 * rng.normal(size=samples)).astype(np.float32)


def stream(audio: np.ndarray, sizes, spec: WhisperMelSpec) -> np.ndarray:
    mel, parts, start = MelStream(spec), [], 0
    for size in sizes:
        parts.append(mel.push(audio[start : start + size]))
        start += size
    parts += [mel.push(audio[start:]), mel.flush()]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("bands", [80, 128])
def test_agrees_with_the_published_whisper_code(golden_whisper, bands):
    mel = log_mel(golden_whisper["audio"], WhisperMelSpec(n_mels=bands))
    assert mel.shape == golden_whisper[f"mel_{bands}"].shape
    assert np.abs(mel - golden_whisper[f"mel_{bands}"]).max() <= FLOAT32_ERROR
    truth = reference.log_mel(golden_whisper["audio"], WhisperMelSpec(n_mels=bands))
    assert np.abs(truth - golden_whisper[f"mel_{bands}"]).max() <= 1e-6


@pytest.mark.parametrize("spec", [GLOBAL, RUNNING, NONE, LARGE, ODD], ids=["global", "running", "none", "128", "odd"])
@pytest.mark.parametrize("samples", [201, 319, 320, 3333, 16_001])
def test_fast_mel_equals_reference(rng, spec, samples):
    audio = speech(rng, samples)
    mel = log_mel(audio, spec)
    assert mel.dtype == np.float32
    assert mel.shape == (spec.n_mels, samples // spec.hop_samples)
    assert np.abs(mel - reference.log_mel(audio, spec)).max() <= FLOAT32_ERROR


@pytest.mark.parametrize("spec", [RUNNING, NONE, LARGE, ODD], ids=["running", "none", "128", "odd"])
@pytest.mark.parametrize("largest", [3, 160, 801, 5000])
def test_any_chunking_equals_offline_bit_for_bit(rng, spec, largest):
    for samples in (201, 800, 1999, 9001):
        audio = speech(rng, samples) * np.linspace(0.001, 1.0, samples, dtype=np.float32)
        sizes = rng.integers(0, largest + 1, 2 * samples // largest)
        np.testing.assert_array_equal(stream(audio, sizes, spec), log_mel(audio, spec))


def test_the_running_clamp_is_that_of_the_columns_so_far(rng):
    """Loud at the start and in the middle: the clamp rises there and never falls."""
    audio = speech(rng, 32_000) * 1e-4
    audio[8000:9000] += speech(rng, 1000)
    plain, running, whole = (log_mel(audio, spec) for spec in (NONE, RUNNING, GLOBAL))
    floor = np.maximum.accumulate(plain.max(axis=0)) - np.float32(2.0)  # 8 decades, divided by 4
    np.testing.assert_array_equal(running, np.maximum(plain, floor))
    loudest = int(plain.max(axis=0).argmax())
    np.testing.assert_array_equal(running[:, loudest:], whole[:, loudest:])
    np.testing.assert_array_equal(whole, np.maximum(plain, plain.max() - np.float32(2.0)))


def test_a_column_comes_with_exactly_its_last_sample(rng):
    audio, mel, arrival = speech(rng, 1500), MelStream(NONE), []
    for i in range(audio.size):
        arrival += [i + 1] * mel.push(audio[i : i + 1]).shape[1]
    assert arrival == [samples_needed(column, NONE) for column in range(len(arrival))]
    assert arrival[:3] == [201, 360, 520]


def test_silence_is_the_floor():
    np.testing.assert_allclose(log_mel(np.zeros(2000, np.float32), GLOBAL), -1.5, atol=1e-6)


def test_a_stream_refuses_the_maximum_of_the_whole():
    with pytest.raises(ConfigError, match=r"clamp is 'global'.*clamp='running'"):
        MelStream(GLOBAL)


def test_too_short_audio_is_refused():
    with pytest.raises(InputError, match=r"needs more than 200 \(12.5 ms\). Lengthen it with silence\.$"):
        log_mel(np.zeros(200, np.float32), GLOBAL)


@pytest.mark.parametrize("change", [{"clamp": "local"}, {"power_floor": 0.0}, {"range_log10": -8.0}, {"n_fft": 401}])
def test_unusable_recipes_are_refused(change):
    with pytest.raises(ConfigError, match="WhisperMelSpec"):
        log_mel(np.zeros(1000, np.float32), replace(GLOBAL, **change))


def test_the_spec_travels_as_a_dict():
    assert WhisperMelSpec.from_dict(RUNNING.to_dict()) == RUNNING
