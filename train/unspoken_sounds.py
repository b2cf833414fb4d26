"""Sounds in which nobody speaks: silence, noise, hum, music, breaths, and bursts as of laughter or clapping.

The mouth stays shut under them. Breaths and bursts sound as people make them with closed lips, through the nose.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
Random = np.random.Generator


def unspoken_sound(samples: int, sample_rate_hz: int, random: Random) -> Audio:
    """Return a random one of these sounds, float32 (samples,), with unit power."""
    kinds: tuple[Callable[[int, int, Random], Audio], ...] = (noise_sound, noise_sound, hum, music, breaths, bursts)
    sound = kinds[random.integers(len(kinds))](samples, sample_rate_hz, random)
    return _unit_power(sound)


def coloured_noise(samples: int, random: Random) -> Audio:
    """Return float32 (samples,) of noise with unit power, white or pink by chance."""
    white = random.standard_normal(samples).astype(np.float32)
    if random.random() < 0.5:
        return white
    spectrum = np.fft.rfft(white)
    spectrum /= np.sqrt(np.maximum(1.0, np.arange(len(spectrum))))
    return _unit_power(np.fft.irfft(spectrum, samples))


def noise_sound(samples: int, sample_rate_hz: int, random: Random) -> Audio:
    """Return white or pink noise, float32 (samples,)."""
    return coloured_noise(samples, random)


def hum(samples: int, sample_rate_hz: int, random: Random) -> Audio:
    """Return mains hum with a little noise, float32 (samples,)."""
    time_s = np.arange(samples) / sample_rate_hz
    base_hz = random.choice([50.0, 60.0])
    tones = [random.random() / k * np.sin(2 * np.pi * k * base_hz * time_s) for k in range(1, 9)]
    return np.asarray(np.sum(tones, 0) + 0.03 * random.standard_normal(samples), np.float32)


def music(samples: int, sample_rate_hz: int, random: Random) -> Audio:
    """Return plucked and sustained chords in a steady beat, with a drum now and then; float32 (samples,)."""
    out = np.zeros(samples, np.float32)
    beat = int(sample_rate_hz * random.uniform(0.25, 0.7))
    root_hz = random.uniform(80.0, 220.0)
    for start in range(0, samples, beat):
        time_s = np.arange(min(2 * beat, samples - start)) / sample_rate_hz
        fall = np.exp(-time_s * random.uniform(1.0, 8.0))
        for step in random.choice([0, 2, 4, 5, 7, 9, 12, 16, 19], 3, replace=False):
            tone_hz = root_hz * 2.0 ** (step / 12.0)
            harmonics = [np.sin(2 * np.pi * k * tone_hz * time_s) / k**1.3 for k in range(1, 7)]
            out[start : start + len(time_s)] += (fall * np.sum(harmonics, 0)).astype(np.float32)
        if random.random() < 0.5:
            drum = random.standard_normal(len(time_s)) * np.exp(-time_s * 40.0) * 2.0
            out[start : start + len(time_s)] += drum.astype(np.float32)
    return out


def breaths(samples: int, sample_rate_hz: int, random: Random) -> Audio:
    """Return slow swells of dull noise, as of breathing, float32 (samples,)."""
    time_s = np.arange(samples) / sample_rate_hz
    swell = np.clip(np.sin(2 * np.pi * random.uniform(0.3, 0.9) * time_s + random.uniform(0, 6.3)), 0, None) ** 2
    return (_band_noise(samples, sample_rate_hz, random, 300.0, 4000.0) * (swell + 0.01)).astype(np.float32)


def bursts(samples: int, sample_rate_hz: int, random: Random) -> Audio:
    """Return short bursts of noise in quick succession, as of snickering, steps or applause; float32 (samples,)."""
    out = 0.003 * random.standard_normal(samples)
    start = 0
    while start < samples:
        length = int(sample_rate_hz * random.uniform(0.02, 0.12))
        end = min(samples, start + length)
        window = np.hanning(length)[: end - start]
        out[start:end] += random.random() * window * _band_noise(end - start, sample_rate_hz, random, 500.0, 6000.0)
        start += int(sample_rate_hz * random.uniform(0.1, 0.5))
    return out.astype(np.float32)


def _band_noise(
    samples: int, sample_rate_hz: int, random: Random, low_hz: float, high_hz: float
) -> npt.NDArray[np.float64]:
    """Noise around a random frequency, about an octave wide, float64 (samples,) with unit power."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    frequency_hz = np.maximum(np.fft.rfftfreq(samples, 1.0 / sample_rate_hz), 1.0)
    centre_hz = np.exp(random.uniform(np.log(low_hz), np.log(high_hz)))
    spectrum *= np.exp(-(np.log2(frequency_hz / centre_hz) ** 2))
    sound = np.fft.irfft(spectrum, samples)
    return np.asarray(sound / max(1e-9, float(sound.std())))


def _unit_power(sound: npt.NDArray[np.floating]) -> Audio:
    return (sound / max(1e-9, float(np.sqrt(np.mean(np.square(sound)))))).astype(np.float32)
