"""Random changes of a clip's sound: room, spectrum, noise, telephone, clipping and gain. Nothing moves in time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lipforge.train.config import AudioAugmentConfig
from lipforge.train.unspoken_sounds import coloured_noise, unspoken_sound

Audio = npt.NDArray[np.float32]

FFT_BLOCK = 4096  # transform lengths are multiples of this, which keeps their prime factors small
ECHO_DELAY_SECONDS = 0.004  # the first wall is more than a metre away
QUIET_RMS = 1e-4  # a silent clip still gets noise, relative to this


def augment_audio(audio: Audio, sample_rate_hz: int, config: AudioAugmentConfig, random: np.random.Generator) -> Audio:
    """Return the sound as another room, microphone, line and level would give it.

    Args:
        audio: float32 (n,), mono, in [-1, 1].
        sample_rate_hz: of ``audio``.
        config: ranges and shares of the changes.
        random: where chance comes from.

    Returns:
        float32 (n,) in [-1, 1], aligned with ``audio``.
    """
    changed = _filter(audio, sample_rate_hz, config, random)
    if random.random() < config.noise_share:
        rms = max(float(np.sqrt(np.mean(np.square(changed)))), QUIET_RMS)
        level = rms * 10.0 ** (-random.uniform(*config.snr_db) / 20.0)
        other = random.random() < config.other_sound_share
        sound = unspoken_sound(len(audio), sample_rate_hz, random) if other else coloured_noise(len(audio), random)
        changed = changed + level * sound
    if random.random() < config.distortion_share:
        changed = _distort(changed, random)
    gain = 10.0 ** (random.uniform(config.gain_db, 0.0) / 20.0)
    result: Audio = np.clip(changed * gain, -1.0, 1.0).astype(np.float32)
    return result


def _filter(
    audio: Audio, sample_rate_hz: int, config: AudioAugmentConfig, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    echo = _room(sample_rate_hz, config, random)
    length = -(-(len(audio) + len(echo)) // FFT_BLOCK) * FFT_BLOCK
    frequency_hz = np.fft.rfftfreq(length, 1.0 / sample_rate_hz)
    response = np.fft.rfft(echo, length)
    if random.random() < config.tilt_share:
        octaves = np.log2(np.maximum(frequency_hz, 100.0) / 100.0) / np.log2(8000.0 / 100.0)
        response = response * 10.0 ** (random.uniform(-config.tilt_db, config.tilt_db) * octaves / 20.0)
    if random.random() < config.band_limit_share:
        cut_hz = random.uniform(config.band_limit_hz, 0.5 * sample_rate_hz)
        response = response / np.sqrt(1.0 + (frequency_hz / cut_hz) ** 16)  # Butterworth of order 8, without its delay
    if random.random() < config.low_cut_share:
        cut_hz = random.uniform(60.0, config.low_cut_hz)
        response = response / np.sqrt(1.0 + (cut_hz / np.maximum(frequency_hz, 1.0)) ** 4)
    return np.fft.irfft(np.fft.rfft(audio, length) * response, length)[: len(audio)]


def _distort(sound: npt.NDArray[np.float64], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Overdrive a microphone, or round the samples to the eight bits of a telephone (G.711, mu-law)."""
    peak = max(1e-6, float(np.abs(sound).max()))
    if random.random() < 0.5:
        drive = random.uniform(1.0, 4.0)
        return np.asarray(np.tanh(sound * (drive / peak)) * (peak / drive))
    squeezed = np.sign(sound) * np.log1p(255.0 * np.abs(sound) / peak) / np.log(256.0)
    rounded = np.rint(squeezed * 127.0) / 127.0
    return np.asarray(np.sign(rounded) * np.expm1(np.abs(rounded) * np.log(256.0)) * (peak / 255.0))


def _room(sample_rate_hz: int, config: AudioAugmentConfig, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return an impulse response: the direct sound at sample 0, then often decaying noise."""
    if random.random() >= config.reverb_share:
        return np.ones(1)
    seconds = random.uniform(0.1, config.reverb_seconds)
    time_s = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    tail = random.standard_normal(len(time_s)) * 10.0 ** (-3.0 * time_s / seconds)  # -60 dB at the end
    tail[time_s < ECHO_DELAY_SECONDS] = 0.0
    tail *= 10.0 ** (-random.uniform(0.0, 15.0) / 20.0) / max(1e-9, float(np.sqrt(np.sum(tail**2))))
    tail[0] = 1.0
    return tail
