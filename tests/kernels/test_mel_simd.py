"""The vector code itself, with every lane count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipforge.kernels.mel.engine import PlainEngine, SimdEngine, engine_for
from lipforge.kernels.mel.recipe import recipe_of
from lipforge.kernels.simd.cpu import native_lanes
from lipforge.kernels.spec import MelSpec, WhisperMelSpec

WAV2LIP, WHISPER = MelSpec(), WhisperMelSpec(clamp="none")


def columns_with(spec, lanes: int, signal: np.ndarray, count: int) -> np.ndarray:
    engine = engine_for(spec, lanes)
    assert isinstance(engine, SimdEngine)
    out = np.full((spec.n_mels, count + 2), np.nan, np.float32)
    engine.columns(signal, 0, count, out, 1)
    assert np.isnan(out[:, [0, -1]]).all()
    return out[:, 1:-1]


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("spec", [WAV2LIP, WHISPER], ids=["wav2lip", "whisper"])
def test_every_lane_count_gives_the_same_bits(rng, spec, lanes):
    signal = rng.normal(0.0, 0.1, 50 * spec.hop_samples).astype(np.float32)
    for count in (1, 3, 4, 5, 8, 15, 16, 17, 33):
        expected = columns_with(spec, 8, signal, count)
        np.testing.assert_array_equal(columns_with(spec, lanes, signal, count), expected)


@pytest.mark.parametrize("spec", [WAV2LIP, WHISPER], ids=["wav2lip", "whisper"])
def test_vector_and_plain_code_agree(rng, spec):
    audio = rng.normal(0.0, 0.1, 9999).astype(np.float32)
    fast, plain = (np.empty((spec.n_mels, recipe_of(spec).columns(audio.size)), np.float32) for _ in range(2))
    engine_for(spec).whole(audio, fast)
    PlainEngine(spec).whole(audio, plain)
    np.testing.assert_allclose(fast, plain, atol=2e-5)


def test_a_column_depends_on_nothing_behind_its_samples(rng):
    signal = rng.normal(0.0, 0.1, 4000).astype(np.float32)
    other = signal.copy()
    other[WAV2LIP.n_fft + 2 * WAV2LIP.hop_samples :] = np.nan
    np.testing.assert_array_equal(*(columns_with(WAV2LIP, native_lanes(), part, 3) for part in (signal, other)))


@pytest.mark.parametrize(
    "spec",
    [replace(WAV2LIP, n_fft=512), replace(WAV2LIP, hop_samples=160), replace(WHISPER, hop_samples=200)],
    ids=["n_fft", "hop", "whisper hop"],
)
def test_other_recipes_take_the_plain_code(spec):
    assert isinstance(engine_for(spec), PlainEngine)
