"""Mel columns in batches: the innermost loop of every step runs over neighbouring columns, so that it vectorises.

A column's value never depends on its neighbours in the batch: each lane does the same float64 operations in the same
order. That is what makes the streaming result equal to the offline one bit for bit, whatever the chunks.

The real FFT of n samples is a complex FFT of n / 2 points (even samples as real, odd ones as imaginary part) and a
final split. The complex FFT is Stockham's: each pass of radix r reads one buffer and writes the other in the order
that the next pass needs, so nothing has to be permuted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled

COLUMNS_PER_BATCH = 16

Array = NDArray[np.float64]


@compiled
def mel_columns(
    padded: Array,
    hop_samples: int,
    window: Array,
    cosine: Array,
    sine: Array,
    radices: NDArray[np.int64],
    first_bin: NDArray[np.int64],
    first_weight: NDArray[np.int64],
    weights: Array,
    levels: tuple[float, float, float, float, float],
    squared: bool,
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` with mel columns; column k is made of ``padded[k * hop_samples :][: n_fft]``.

    Args:
        padded: float64 (samples,), pre-emphasised and padded.
        hop_samples: distance of columns in samples.
        window: see ``MelPlan``, as the tables that follow.
        cosine: see ``MelPlan``.
        sine: see ``MelPlan``.
        radices: see ``MelPlan``.
        first_bin: see ``MelPlan``.
        first_weight: see ``MelPlan``.
        weights: see ``MelPlan``.
        levels: floor, scale, offset, lowest, highest, see ``MelRecipe``, as the next one.
        squared: whether bands sum squared amplitudes.
        out: float32 (n_mels, columns), overwritten.
    """
    half = window.shape[0] // 2
    buffers = np.empty((4, (half + 1) * COLUMNS_PER_BATCH))
    for start in range(0, out.shape[1], COLUMNS_PER_BATCH):
        lanes = min(COLUMNS_PER_BATCH, out.shape[1] - start)
        real, imaginary, spare_real, spare_imaginary = buffers[0], buffers[1], buffers[2], buffers[3]
        _load_windowed(padded, start * hop_samples, hop_samples, window, lanes, real, imaginary)
        stride, remaining = 1, half
        for radix in radices:
            _pass(real, imaginary, spare_real, spare_imaginary, radix, remaining, stride, lanes, cosine, sine)
            real, imaginary, spare_real, spare_imaginary = spare_real, spare_imaginary, real, imaginary
            stride, remaining = stride * radix, remaining // radix
        _amplitudes(real, imaginary, half, lanes, cosine, sine, squared, spare_real)
        _project(spare_real, lanes, first_bin, first_weight, weights, levels, out, start, spare_imaginary)


@compiled
def _load_windowed(
    padded: Array, first: int, hop_samples: int, window: Array, lanes: int, real: Array, imaginary: Array
) -> None:
    for i in range(window.shape[0] // 2):
        for lane in range(lanes):
            sample = first + lane * hop_samples + 2 * i
            real[i * lanes + lane] = padded[sample] * window[2 * i]
            imaginary[i * lanes + lane] = padded[sample + 1] * window[2 * i + 1]


@compiled
def _pass(
    real: Array,
    imaginary: Array,
    out_real: Array,
    out_imaginary: Array,
    radix: int,
    remaining: int,
    stride: int,
    lanes: int,
    cosine: Array,
    sine: Array,
) -> None:
    """One pass of radix r over ``stride`` interleaved transforms of ``remaining`` points each."""
    groups = remaining // radix
    points = remaining * stride
    run = stride * lanes
    for group in range(groups):
        for k in range(radix):
            target = (radix * group + k) * run
            for j in range(radix):
                # exp(-2 pi i k (group + groups j) / remaining); the table has two entries a point.
                turn = 2 * (stride * k * (group + groups * j) % points)
                c, s = cosine[turn], sine[turn]
                origin = (group + groups * j) * run
                x, y = real[origin : origin + run], imaginary[origin : origin + run]
                u, v = out_real[target : target + run], out_imaginary[target : target + run]
                if j == 0:
                    for i in range(run):
                        u[i] = c * x[i] + s * y[i]
                        v[i] = c * y[i] - s * x[i]
                else:
                    for i in range(run):
                        u[i] += c * x[i] + s * y[i]
                        v[i] += c * y[i] - s * x[i]


@compiled
def _amplitudes(
    real: Array,
    imaginary: Array,
    half: int,
    lanes: int,
    cosine: Array,
    sine: Array,
    squared: bool,
    amplitudes: Array,
) -> None:
    """Split the half-size spectrum Z: X[k] = (Z[k] + Z*[-k]) / 2 - i e^(-i w) (Z[k] - Z*[-k]) / 2; give |X[k]|."""
    for k in range(half + 1):
        here, mirrored = (k % half) * lanes, ((half - k) % half) * lanes
        c, s = cosine[k], sine[k]
        for lane in range(lanes):
            even_real = real[here + lane] + real[mirrored + lane]
            even_imaginary = imaginary[here + lane] - imaginary[mirrored + lane]
            odd_real = imaginary[here + lane] + imaginary[mirrored + lane]
            odd_imaginary = real[mirrored + lane] - real[here + lane]
            x = even_real + c * odd_real + s * odd_imaginary
            y = even_imaginary + c * odd_imaginary - s * odd_real
            power = 0.25 * (x * x + y * y)
            amplitudes[k * lanes + lane] = power if squared else math.sqrt(power)


@compiled
def _project(
    amplitudes: Array,
    lanes: int,
    first_bin: NDArray[np.int64],
    first_weight: NDArray[np.int64],
    weights: Array,
    levels: tuple[float, float, float, float, float],
    out: NDArray[np.float32],
    first_column: int,
    total: Array,
) -> None:
    """Apply the filters, then logarithm, scale and clip."""
    floor, scale, offset, lowest, highest = levels
    for band in range(first_bin.shape[0]):
        total[:lanes] = 0.0
        for tap in range(first_weight[band], first_weight[band + 1]):
            weight = weights[tap]
            origin = (first_bin[band] + tap - first_weight[band]) * lanes
            for lane in range(lanes):
                total[lane] += weight * amplitudes[origin + lane]
        for lane in range(lanes):
            value = scale * math.log10(max(total[lane], floor)) + offset
            out[band, first_column + lane] = np.float32(min(max(value, lowest), highest))
