"""Mel of 10 s and of one 40 ms chunk against the published recipe written with scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest

from lipforge.kernels.mel import MelStream, log_mel, reference
from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.spec import MelSpec

SPEC = MelSpec()
FILTERS = slaney_filterbank(SPEC)


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return np.random.default_rng(5).normal(0.0, 0.1, 160_000).astype(np.float32)


def scipy_mel(audio: np.ndarray, dtype: type) -> np.ndarray:
    """The steps of the published code (lfilter, centred STFT, dense filterbank) without librosa."""
    fft = pytest.importorskip("scipy.fft", reason="scipy is not installed; it is only a peer here")
    signal = audio.astype(dtype)
    signal[1:] -= dtype(0.97) * audio[:-1]
    padded = np.pad(signal, SPEC.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPEC.n_fft)[:: SPEC.hop_samples]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SPEC.n_fft) / SPEC.n_fft)).astype(dtype)
    amplitude = FILTERS.astype(dtype) @ np.abs(fft.rfft(frames * window)).T
    return np.clip(32.0 / 20.0 * np.log10(np.maximum(amplitude, 1e-5)) + 2.4, -4.0, 4.0)


@pytest.mark.benchmark(group="mel 10 s")
def test_lipforge(benchmark, audio):
    benchmark(log_mel, audio, SPEC)


@pytest.mark.benchmark(group="mel 10 s")
def test_numpy_reference(benchmark, audio):
    benchmark(reference.log_mel, audio, SPEC)


@pytest.mark.benchmark(group="mel 10 s")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scipy(benchmark, audio, dtype):
    mel = benchmark(scipy_mel, audio, dtype)
    assert np.abs(mel - log_mel(audio, SPEC)).max() < 1e-3


@pytest.mark.benchmark(group="mel 40 ms chunk")
def test_lipforge_stream(benchmark, audio):
    stream = MelStream(SPEC)
    stream.push(audio[:4000])
    benchmark(stream.push, audio[:640])


@pytest.mark.benchmark(group="mel 40 ms chunk")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scipy_of_one_chunk(benchmark, audio, dtype):
    """640 samples on their own: right only in the middle, without the overlap that a stream keeps."""
    benchmark(scipy_mel, audio[:640], dtype)
