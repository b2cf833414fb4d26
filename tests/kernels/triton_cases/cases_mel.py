from __future__ import annotations

import numpy as np
import pytest
import torch

from lipforge.kernels.batch import reference
from lipforge.kernels.errors import InputError
from lipforge.kernels.mel.triton_mel import log_mel
from lipforge.kernels.spec import MelSpec

REFLECT, CONSTANT = MelSpec(), MelSpec(padding="constant")
# Other bins, an odd hop, bands and sizes that are no powers of two.
ODD = MelSpec(sample_rate_hz=8000, n_fft=252, hop_samples=61, n_mels=33, fmin_hz=0.0, fmax_hz=4000.0)


def speech(samples: int) -> np.ndarray:
    time = np.arange(samples) / 16_000
    voice = np.sin(2 * np.pi * 140 * time * (1 + 0.1 * np.sin(20 * time))) * np.abs(np.sin(9 * time))
    return (0.4 * voice + 0.05 * np.random.default_rng(20).normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize(
    ("spec", "samples"),
    [
        (REFLECT, 401),
        (CONSTANT, 1),
        (ODD, 127),
        pytest.param(REFLECT, 6399, marks=pytest.mark.slow),
        (REFLECT, 6400),
        pytest.param(CONSTANT, 7001, marks=pytest.mark.slow),
        pytest.param(ODD, 5000, marks=pytest.mark.slow),
    ],
)
def test_equals_reference(spec: MelSpec, samples: int) -> None:
    audio = speech(samples)
    mel = log_mel(audio, spec)
    assert mel.dtype == np.float32
    assert mel.shape == (spec.n_mels, 1 + samples // spec.hop_samples)
    # Sums of 400 float32 products; the project's bound for float32 mels on [-4, 4] is 2e-5.
    assert np.abs(mel - reference.log_mel(audio, spec)).max() <= 1e-5


@pytest.mark.slow
def test_agrees_with_the_published_wav2lip_code(golden_mel: dict[str, np.ndarray]) -> None:
    head = golden_mel["head_reflect"]
    audio = golden_mel["head"][:8001]
    columns = (8001 - 400) // 200
    assert np.abs(log_mel(audio, REFLECT)[:, :columns] - head[:, :columns]).max() <= 2e-5


def test_silence_is_exactly_the_floor() -> None:
    np.testing.assert_array_equal(log_mel(np.zeros(2000, np.float32), REFLECT), np.full((80, 11), -4.0, np.float32))


def test_tensor_in_tensor_out() -> None:
    audio = speech(999)
    mel = log_mel(torch.from_numpy(audio), REFLECT)
    assert isinstance(mel, torch.Tensor)
    np.testing.assert_array_equal(mel.numpy(), log_mel(audio, REFLECT))


def test_wrong_audio_is_refused() -> None:
    audio = speech(2000)
    audio[1234] = np.nan
    with pytest.raises(InputError, match="holds nan at sample 1234"):
        log_mel(audio, REFLECT)
    with pytest.raises(InputError, match="has 400 samples; reflect padding needs more than 400"):
        log_mel(audio[:400], REFLECT)
    with pytest.raises(InputError, match="audio has no samples"):
        log_mel(audio[:0], CONSTANT)
    with pytest.raises(InputError, match=r"audio must be a float32 array or tensor .* not float64"):
        log_mel(audio.astype(np.float64), REFLECT)
    with pytest.raises(InputError, match="not contiguous"):
        log_mel(np.zeros(2000, np.float32)[::2], REFLECT)
    with pytest.raises(InputError, match="not list"):
        log_mel([0.0] * 999, REFLECT)  # type: ignore[arg-type]
