"""Mel of 10 s and of one 40 ms chunk against the published chains and the best libraries.

Peers do their best: their tables are made beforehand, and all but the published Wav2Lip chain run in float32. One that
is not installed is skipped; ``pip install lipforge[bench]`` brings all but torch, which comes with ``[train]``.

Run on one core, for example ``taskset -c 0 pytest benchmarks/bench_mel.py --benchmark-enable --benchmark-only``, with
``OMP_NUM_THREADS=1`` and, where other work disturbs, ``--benchmark-timer=time.process_time``.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from lipforge.kernels.mel import MelStream, log_mel, reference
from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.spec import MelSpec, WhisperMelSpec

WAV2LIP, WHISPER = MelSpec(), WhisperMelSpec()
CHUNK_SAMPLES = 640  # 40 ms, one video frame at 25 fps

Peer = Callable[[np.ndarray], np.ndarray]
"""Audio, float32 (n,), to mel, (bands, columns) or (columns, bands)."""


def peer_package(name: str):
    """Return the package, or skip the test with the reason."""
    return pytest.importorskip(name, reason=f"{name} is not installed; it is only a peer here")


def windowed_frames(audio: np.ndarray, spec: MelSpec | WhisperMelSpec) -> np.ndarray:
    """float32 (columns, n_fft)."""
    if isinstance(spec, MelSpec):
        signal = audio.copy()
        signal[1:] -= np.float32(spec.preemphasis) * audio[:-1]
    else:
        signal = audio
    padded = np.pad(signal, spec.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_samples]
    return frames * hann(spec.n_fft)


def hann(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def with_fft(spec: MelSpec | WhisperMelSpec, rfft: Callable[[np.ndarray], np.ndarray]) -> Peer:
    """The recipe with a library's FFT, a BLAS filterbank and numpy's logarithm in place."""
    filters = np.ascontiguousarray(slaney_filterbank(spec).T.astype(np.float32))

    def wav2lip(audio: np.ndarray) -> np.ndarray:
        mel = np.abs(rfft(windowed_frames(audio, spec))) @ filters
        np.maximum(mel, np.float32(1e-5), out=mel)
        np.log10(mel, out=mel)
        mel *= np.float32(1.6)
        mel += np.float32(2.4)
        return np.clip(mel, -4.0, 4.0, out=mel)

    def whisper(audio: np.ndarray) -> np.ndarray:
        spectrum = rfft(windowed_frames(audio, spec)[:-1])
        power = spectrum.real**2
        power += spectrum.imag**2
        mel = power @ filters
        np.maximum(mel, np.float32(1e-10), out=mel)
        np.log10(mel, out=mel)
        np.maximum(mel, mel.max() - np.float32(8.0), out=mel)
        mel += np.float32(4.0)
        mel *= np.float32(0.25)
        return mel

    return wav2lip if isinstance(spec, MelSpec) else whisper


def ducc0(spec: MelSpec | WhisperMelSpec) -> Peer:
    fft = peer_package("ducc0").fft
    return with_fft(spec, lambda frames: fft.r2c(frames, axes=[1], nthreads=1))


def scipy(spec: MelSpec | WhisperMelSpec) -> Peer:
    return with_fft(spec, peer_package("scipy.fft").rfft)


def pyfftw(spec: MelSpec | WhisperMelSpec) -> Peer:
    """Planned: FFTW measures once for each shape, as a program that uses it again and again would do."""
    package, plans = peer_package("pyfftw"), {}

    def rfft(frames: np.ndarray) -> np.ndarray:
        if frames.shape not in plans:
            result = package.empty_aligned((frames.shape[0], frames.shape[1] // 2 + 1), np.complex64)
            plans[frames.shape] = package.FFTW(package.empty_aligned(frames.shape, np.float32), result, threads=1)
        plan = plans[frames.shape]
        plan.input_array[:] = frames
        return plan()

    return with_fft(spec, rfft)


def published_wav2lip(spec: MelSpec) -> Peer:
    """``melspectrogram`` of Wav2Lip's ``audio.py``: lfilter with list coefficients makes everything float64."""
    librosa, signal = peer_package("librosa"), peer_package("scipy.signal")
    filters = librosa.filters.mel(
        sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin_hz, fmax=spec.fmax_hz
    )

    def melspectrogram(audio: np.ndarray) -> np.ndarray:
        emphasised = signal.lfilter([1, -spec.preemphasis], [1], audio)
        spectrum = librosa.stft(y=emphasised, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect")
        level_db = 20 * np.log10(np.maximum(1e-5, np.dot(filters, np.abs(spectrum)))) - spec.ref_level_db
        return np.clip(8 * ((level_db + 100) / 100) - 4, -4, 4)

    return melspectrogram


def librosa_whisper(spec: WhisperMelSpec) -> Peer:
    librosa = peer_package("librosa")
    filters = librosa.filters.mel(sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=spec.n_mels)

    def log_mel_spectrogram(audio: np.ndarray) -> np.ndarray:
        stft = librosa.stft(audio, n_fft=400, hop_length=160, pad_mode="reflect")[:, :-1]
        level = np.log10(np.maximum(filters @ np.abs(stft) ** 2, 1e-10))
        return (np.maximum(level, level.max() - 8.0) + 4.0) / 4.0

    return log_mel_spectrogram


def torch_wav2lip(spec: MelSpec) -> Peer:
    torch = peer_package("torch")
    window, filters = torch.from_numpy(hann(spec.n_fft)), torch.from_numpy(slaney_filterbank(spec)).float()

    def melspectrogram(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            signal = torch.from_numpy(audio)
            emphasised = torch.cat([signal[:1], signal[1:] - spec.preemphasis * signal[:-1]])
            spectrum = torch.stft(emphasised, spec.n_fft, spec.hop_samples, window=window, return_complex=True)
            level = 1.6 * (filters @ spectrum.abs()).clamp_(min=1e-5).log10_() + 2.4
            return level.clamp_(-4.0, 4.0).numpy()

    return melspectrogram


def published_whisper(spec: WhisperMelSpec) -> Peer:
    """``log_mel_spectrogram`` of Whisper's ``audio.py``."""
    torch = peer_package("torch")
    window, filters = torch.from_numpy(hann(spec.n_fft)), torch.from_numpy(slaney_filterbank(spec)).float()

    def log_mel_spectrogram(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            stft = torch.stft(torch.from_numpy(audio), 400, 160, window=window, return_complex=True)
            level = torch.clamp(filters @ stft[..., :-1].abs() ** 2, min=1e-10).log10()
            level = torch.maximum(level, level.max() - 8.0)
            return ((level + 4.0) / 4.0).numpy()

    return log_mel_spectrogram


def named(*peers: Callable[..., Peer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("peer", peers, ids=lambda peer: peer.__name__)


WAV2LIP_PEERS = named(published_wav2lip, ducc0, pyfftw, scipy, torch_wav2lip)
WHISPER_PEERS = named(published_whisper, ducc0, pyfftw, scipy, librosa_whisper)


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return np.random.default_rng(5).normal(0.0, 0.1, 160_000).astype(np.float32)


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    yield
    if torch:
        torch.set_num_threads(threads)


def agrees(mel: np.ndarray, ours: np.ndarray) -> bool:
    return float(np.abs((mel if mel.shape == ours.shape else mel.T) - ours).max()) < 1e-4


@pytest.mark.benchmark(group="mel wav2lip, 10 s")
def test_lipforge_wav2lip(benchmark, audio):
    benchmark(log_mel, audio, WAV2LIP)


@pytest.mark.benchmark(group="mel wav2lip, 10 s")
def test_reference_wav2lip(benchmark, audio):
    assert agrees(benchmark(reference.log_mel, audio, WAV2LIP), log_mel(audio, WAV2LIP))


@pytest.mark.benchmark(group="mel wav2lip, 10 s")
@WAV2LIP_PEERS
def test_peer_wav2lip(benchmark, audio, peer):
    assert agrees(benchmark(peer(WAV2LIP), audio), log_mel(audio, WAV2LIP))


@pytest.mark.benchmark(group="mel wav2lip, 40 ms chunk")
def test_lipforge_wav2lip_chunk(benchmark, audio):
    """Through the public streaming call."""
    stream = MelStream(WAV2LIP)
    stream.push(audio[:4000])
    benchmark(stream.push, audio[:CHUNK_SAMPLES])


@pytest.mark.benchmark(group="mel wav2lip, 40 ms chunk")
@WAV2LIP_PEERS
def test_peer_wav2lip_chunk(benchmark, audio, peer):
    """640 samples on their own: right only in the middle, without the overlap that a stream keeps."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=800 is too large")
        benchmark(peer(WAV2LIP), audio[:CHUNK_SAMPLES])


@pytest.mark.benchmark(group="mel whisper, 10 s")
@pytest.mark.parametrize("clamp", ["global", "running"])
def test_lipforge_whisper(benchmark, audio, clamp):
    benchmark(log_mel, audio, replace(WHISPER, clamp=clamp))


@pytest.mark.benchmark(group="mel whisper, 10 s")
@WHISPER_PEERS
def test_peer_whisper(benchmark, audio, peer):
    assert agrees(benchmark(peer(WHISPER), audio), log_mel(audio, WHISPER))


@pytest.mark.benchmark(group="mel whisper, 40 ms chunk")
def test_lipforge_whisper_chunk(benchmark, audio):
    stream = MelStream(replace(WHISPER, clamp="running"))
    stream.push(audio[:4000])
    benchmark(stream.push, audio[:CHUNK_SAMPLES])


@pytest.mark.benchmark(group="mel whisper, 40 ms chunk")
@WHISPER_PEERS
def test_peer_whisper_chunk(benchmark, audio, peer):
    """640 samples on their own: right only in the middle, without the overlap that a stream keeps."""
    benchmark(peer(WHISPER), audio[:CHUNK_SAMPLES])
