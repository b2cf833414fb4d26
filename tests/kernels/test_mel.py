from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.mel import MelStream, log_mel, reference, samples_needed
from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.spec import MelSpec

REFLECT, CONSTANT = MelSpec(), MelSpec(padding="constant")
# A recipe with other factors in its FFT (126 = 2 * 3 * 3 * 7), other filters and an odd hop.
ODD = MelSpec(sample_rate_hz=8000, n_fft=252, hop_samples=61, n_mels=33, fmin_hz=0.0, fmax_hz=4000.0)


FLOAT32_ERROR = 2e-5
"""On [-4, 4]. float32 transforms of other libraries are 1.2e-5 to 1.6e-5 off on the same audio."""


def tolerance(spec) -> float:
    """What the vector code (float32) and the plain code (float64, rounded once) may be off."""
    return 1e-6 if spec == ODD else FLOAT32_ERROR


def speech(rng: np.random.Generator, samples: int) -> np.ndarray:
    time = np.arange(samples) / 16_000
    voice = np.sin(2 * np.pi * 140 * time * (1 + 0.1 * np.sin(20 * time))) * np.abs(np.sin(9 * time))
    return (0.4 * voice + 0.05 * rng.normal(size=samples)).astype(np.float32)


def stream(audio: np.ndarray, sizes, spec: MelSpec) -> np.ndarray:
    mel, parts, start = MelStream(spec), [], 0
    for size in sizes:
        parts.append(mel.push(audio[start : start + size]))
        start += size
    parts += [mel.push(audio[start:]), mel.flush()]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("padding", ["reflect", "constant"])
def test_agrees_with_the_published_wav2lip_code(golden_mel, padding):
    spec = replace(REFLECT, padding=padding)
    head, tail = golden_mel[f"head_{padding}"], golden_mel[f"tail_{padding}"]
    assert np.abs(log_mel(golden_mel["head"], spec)[:, : head.shape[1]] - head).max() <= FLOAT32_ERROR
    assert np.abs(log_mel(golden_mel["tail"], spec)[:, -tail.shape[1] :] - tail).max() <= FLOAT32_ERROR
    # The reference is float64; the golden numbers are rounded to float32: half a step at 4 is 2.4e-7.
    assert np.abs(reference.log_mel(golden_mel["head"], spec)[:, : head.shape[1]] - head).max() <= 3e-7


@pytest.mark.parametrize("spec", [REFLECT, CONSTANT, ODD], ids=["reflect", "constant", "odd"])
@pytest.mark.parametrize("samples", [401, 402, 599, 600, 3333, 16_001])
def test_fast_mel_equals_reference(rng, spec, samples):
    audio = speech(rng, samples)
    mel = log_mel(audio, spec)
    assert mel.dtype == np.float32
    assert mel.shape == (spec.n_mels, 1 + samples // spec.hop_samples)
    assert np.abs(mel - reference.log_mel(audio, spec)).max() <= tolerance(spec)


@pytest.mark.parametrize("samples", [1, 2, 199, 200, 400])
def test_short_audio_with_zero_padding(rng, samples):
    audio = speech(rng, samples)
    assert np.abs(log_mel(audio, CONSTANT) - reference.log_mel(audio, CONSTANT)).max() <= FLOAT32_ERROR
    np.testing.assert_array_equal(stream(audio, [], CONSTANT), log_mel(audio, CONSTANT))


@pytest.mark.parametrize("spec", [REFLECT, CONSTANT, ODD], ids=["reflect", "constant", "odd"])
@pytest.mark.parametrize("largest", [3, 200, 801, 5000])
def test_any_chunking_equals_offline_bit_for_bit(rng, spec, largest):
    for samples in (401, 800, 1999, 9001):
        audio = speech(rng, samples)
        sizes = rng.integers(0, largest + 1, 2 * samples // largest)
        np.testing.assert_array_equal(stream(audio, sizes, spec), log_mel(audio, spec))


def test_one_sample_at_a_time_equals_offline(rng):
    audio = speech(rng, 1234)
    np.testing.assert_array_equal(stream(audio, [1] * 1234, REFLECT), log_mel(audio, REFLECT))


@pytest.mark.parametrize("spec", [REFLECT, CONSTANT], ids=["reflect", "constant"])
def test_a_column_comes_with_exactly_its_last_sample(rng, spec):
    audio, mel, arrival = speech(rng, 2500), MelStream(spec), []
    for i in range(audio.size):
        arrival += [i + 1] * mel.push(audio[i : i + 1]).shape[1]
    assert arrival == [samples_needed(column, spec) for column in range(len(arrival))]
    assert arrival[:3] == [401 if spec.padding == "reflect" else 400, 600, 800]


def test_interleaved_streams_and_reset_do_not_mix(rng):
    first, second = speech(rng, 3000), speech(rng, 3000)
    a, b, parts = MelStream(REFLECT), MelStream(REFLECT), ([], [])
    for i in range(0, 3000, 500):
        parts[0].append(a.push(first[i : i + 500]))
        parts[1].append(b.push(second[i : i + 500]))
    np.testing.assert_array_equal(np.concatenate([*parts[0], a.flush()], axis=1), log_mel(first, REFLECT))
    np.testing.assert_array_equal(np.concatenate([*parts[1], b.flush()], axis=1), log_mel(second, REFLECT))
    a.reset()
    np.testing.assert_array_equal(
        np.concatenate([a.push(second), a.flush()], axis=1),
        np.concatenate([*parts[1], log_mel(second, REFLECT)[:, 14:]], axis=1),
    )


def test_memory_of_a_stream_is_bounded(rng):
    mel, audio = MelStream(REFLECT), speech(rng, 20_000)
    buffer = mel.state.signal
    for size in (640, 20_000) * 20:
        mel.push(audio[:size])
    assert mel.state.signal is buffer
    assert buffer.size <= 10 * REFLECT.n_fft


def test_silence_is_exactly_the_floor():
    np.testing.assert_array_equal(log_mel(np.zeros(2000, np.float32), REFLECT), np.full((80, 11), -4.0, np.float32))


def test_strided_audio_is_fine(rng):
    audio = speech(rng, 4000)
    np.testing.assert_array_equal(log_mel(audio[::2], REFLECT), log_mel(audio[::2].copy(), REFLECT))


def test_filters_have_unit_area():
    areas = slaney_filterbank(MelSpec(n_fft=16_000)).sum(axis=1)  # bins of 1 Hz
    np.testing.assert_allclose(areas, 1.0, atol=2e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused_with_their_position(rng, bad):
    audio = speech(rng, 2000)
    audio[1234] = bad
    with pytest.raises(InputError, match=f"holds {bad} at sample 1234"):
        log_mel(audio, REFLECT)
    mel = MelStream(REFLECT)
    mel.push(audio[:1000])
    with pytest.raises(InputError, match="at sample 1234"):
        mel.push(audio[1000:])
    audio[1234] = 0.0
    rest = [mel.push(audio[1000:]), mel.flush()]
    np.testing.assert_array_equal(np.concatenate(rest, axis=1), log_mel(audio, REFLECT)[:, 4:])


@pytest.mark.parametrize(
    ("audio", "spec", "message"),
    [
        (np.zeros(0, np.float32), CONSTANT, "no samples"),
        (np.zeros(400, np.float32), REFLECT, r"has 400 samples; reflect padding needs more than 400 \(25 ms\)"),
    ],
)
def test_too_short_audio_is_refused_by_both(audio, spec, message):
    with pytest.raises(InputError, match=message):
        log_mel(audio, spec)
    mel = MelStream(spec)
    assert mel.push(audio).shape[0] == 80
    with pytest.raises(InputError, match=message):
        mel.flush()


@pytest.mark.parametrize("audio", [np.zeros(999), np.zeros((2, 999), np.float32), np.zeros(999, np.int16), [0.0] * 999])
def test_wrong_audio_is_refused(audio):
    with pytest.raises(InputError, match="audio must be a float32 array"):
        log_mel(audio, REFLECT)


def test_a_flushed_stream_takes_no_more(rng):
    mel = MelStream(REFLECT)
    mel.push(speech(rng, 1000))
    mel.flush()
    with pytest.raises(InputError, match="flushed"):
        mel.push(np.zeros(10, np.float32))
    with pytest.raises(InputError, match="flushed"):
        mel.flush()


@pytest.mark.parametrize(
    "change",
    [{"n_fft": 801}, {"hop_samples": 0}, {"hop_samples": 401}, {"fmax_hz": 9000.0}, {"padding": "edge"}, {"n_mels": 0}],
)
def test_unusable_recipes_are_refused(change):
    with pytest.raises(ConfigError, match="MelSpec"):
        log_mel(np.zeros(1000, np.float32), replace(REFLECT, **change))
