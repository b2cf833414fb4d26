"""What the mel recipes have in common, as the numbers that the kernels need."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MelSpec, WhisperMelSpec

AnyMelSpec: TypeAlias = MelSpec | WhisperMelSpec

WHISPER_OFFSET = WHISPER_SCALE = 4.0
"""Whisper's last step, ``(log10(power) + 4) / 4``."""


@dataclass(frozen=True)
class MelRecipe:
    """A recipe in one form.

    A value is ``scale * log10(max(x, floor)) + offset``, clipped to [lowest, highest], where x is a band's weighted sum
    of spectral amplitudes, or of their squares.

    Attributes:
        n_fft: samples under a window.
        hop_samples: distance of columns.
        n_mels: bands.
        preemphasis: share of the previous sample that is subtracted.
        reflect: whether the signal is reflected at its ends; otherwise zeros stand there.
        squared: whether x sums squares.
        floor: of x.
        scale: of the logarithm.
        offset: added after scaling.
        lowest: clip, may be -inf.
        highest: clip, may be inf.
        drop_last: whether the column centred on or behind the last whole hop is left out.
        clamp: Whisper's, see ``WhisperMelSpec``.
        clamp_range: how far below the maximum the clamp lies, in units of a value.
    """

    n_fft: int
    hop_samples: int
    n_mels: int
    preemphasis: float
    reflect: bool
    squared: bool
    floor: float
    scale: float
    offset: float
    lowest: float
    highest: float
    drop_last: bool = False
    clamp: Literal["global", "running", "none"] = "none"
    clamp_range: float = 0.0

    def columns(self, samples: int) -> int:
        """Return the number of columns of a signal."""
        return samples // self.hop_samples + (0 if self.drop_last else 1)

    def samples_needed(self, column: int) -> int:
        """Return how many samples from the start make a column final, see ``lipforge.kernels.mel.samples_needed``."""
        half = self.n_fft // 2
        return max(column * self.hop_samples + half, half + 1 if self.reflect else 0)

    def final_columns(self, samples: int) -> int:
        """Return how many columns no later sample can change."""
        if samples < self.samples_needed(0):
            return 0
        return (samples - self.n_fft // 2) // self.hop_samples + 1


@functools.lru_cache(maxsize=8)
def recipe_of(spec: AnyMelSpec) -> MelRecipe:
    """Return a spec's recipe.

    Raises:
        ConfigError: the spec is of another type, or a value is out of range; the message names it.
    """
    if isinstance(spec, WhisperMelSpec):
        return _whisper(spec)
    if not isinstance(spec, MelSpec):
        raise ConfigError(f"A mel spec is a MelSpec or a WhisperMelSpec, not a {type(spec).__name__}.")
    _check_transform(spec)
    if not (spec.amplitude_floor > 0.0 and spec.min_level_db < 0.0 and spec.max_abs > 0.0):
        raise ConfigError("MelSpec needs amplitude_floor > 0, min_level_db < 0 and max_abs > 0.")
    if spec.padding not in ("reflect", "constant"):
        raise ConfigError(f"MelSpec.padding must be 'reflect' or 'constant', not {spec.padding!r}.")
    scale = 2.0 * spec.max_abs / -spec.min_level_db
    return MelRecipe(
        n_fft=spec.n_fft,
        hop_samples=spec.hop_samples,
        n_mels=spec.n_mels,
        preemphasis=spec.preemphasis,
        reflect=spec.padding == "reflect",
        squared=False,
        floor=spec.amplitude_floor,
        scale=20.0 * scale,
        offset=-scale * (spec.ref_level_db + spec.min_level_db) - spec.max_abs,
        lowest=-spec.max_abs,
        highest=spec.max_abs,
    )


def _whisper(spec: WhisperMelSpec) -> MelRecipe:
    _check_transform(spec)
    if not (spec.power_floor > 0.0 and spec.range_log10 > 0.0):
        raise ConfigError("WhisperMelSpec needs power_floor > 0 and range_log10 > 0.")
    if spec.clamp not in ("global", "running", "none"):
        raise ConfigError(f"WhisperMelSpec.clamp must be 'global', 'running' or 'none', not {spec.clamp!r}.")
    return MelRecipe(
        n_fft=spec.n_fft,
        hop_samples=spec.hop_samples,
        n_mels=spec.n_mels,
        preemphasis=0.0,
        reflect=True,
        squared=True,
        floor=spec.power_floor,
        scale=1.0 / WHISPER_SCALE,
        offset=WHISPER_OFFSET / WHISPER_SCALE,
        lowest=-inf,
        highest=inf,
        drop_last=True,
        clamp=spec.clamp,
        clamp_range=spec.range_log10 / WHISPER_SCALE,
    )


def _check_transform(spec: AnyMelSpec) -> None:
    name = type(spec).__name__
    if spec.n_fft < 4 or spec.n_fft % 2:
        raise ConfigError(f"{name}.n_fft must be even and at least 4, not {spec.n_fft}.")
    if not 1 <= spec.hop_samples <= spec.n_fft // 2:
        raise ConfigError(f"{name}.hop_samples must lie between 1 and n_fft / 2, not {spec.hop_samples}.")
    if spec.n_mels < 1:
        raise ConfigError(f"{name}.n_mels must be at least 1, not {spec.n_mels}.")
    if not 0.0 <= spec.fmin_hz < spec.fmax_hz <= spec.sample_rate_hz / 2:
        raise ConfigError(
            f"{name} needs 0 <= fmin_hz < fmax_hz <= sample_rate_hz / 2, not {spec.fmin_hz}, {spec.fmax_hz} "
            f"at {spec.sample_rate_hz} Hz."
        )
