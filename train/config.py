"""Training configurations: frozen dataclasses, filled from YAML and ``key=value`` words with OmegaConf."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from lipforge.kernels.errors import ConfigError

ConfigT = TypeVar("ConfigT")
PRECISIONS = ("none", "bf16", "fp16")
SCHEDULES = ("cosine", "constant")
OPTIMISERS = ("adamw", "adam")


@dataclass(frozen=True)
class LoopConfig:
    """What the loop needs under every trainer.

    Attributes:
        steps: optimiser steps of the whole run.
        batch_size: samples of one optimiser step, over all accumulated parts and all ranks: neither changes what is
            trained.
        accumulate: parts that a rank's share of a batch is cut into, one after the other, to save memory.
        seed: of weights, sampling and augmentation.
        optimiser: ``adamw`` or ``adam``, which adds the weight decay to the gradient.
        learning_rate: peak rate, after ``warmup_steps``.
        schedule: ``cosine`` falls to ``last_rate_share`` of the peak at the end; ``constant`` stays.
        warmup_steps: steps over which the rate rises in a line from zero.
        weight_decay: of matrices and filters; biases and norms have none.
        clip_norm: longest gradient of a network; 0 turns it off.
        ema_decay: averaging of the weights that are validated and saved; 0 turns it off.
        autocast: precision of the forward pass: ``none`` (float32), ``bf16`` or ``fp16``.
        compile: run the networks through ``torch.compile``; needs a C++ compiler, or triton on a GPU.
        data_threads: threads that make batches ahead.
        pin_memory: copy to an accelerator from page-locked memory.
        log_every: steps between two lines of scalars.
        validate_every: steps between two validations; 0 leaves the one at the end, as for ``image_every``.
        save_minutes: checkpoint at least that often; 0 turns it off, as for ``save_every``.
        keep_last: number of newest checkpoints that stay beside the best; 0 keeps all.
        best_metric: validation metric that chooses the best checkpoint; empty means the trainer's own.
    """

    steps: int = 20_000
    batch_size: int = 32
    accumulate: int = 1
    seed: int = 0
    optimiser: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    last_rate_share: float = 0.01
    warmup_steps: int = 100
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    autocast: str = "none"
    compile: bool = False
    data_threads: int = 1
    pin_memory: bool = True
    log_every: int = 20
    validate_every: int = 1000
    image_every: int = 1000
    save_every: int = 2000
    save_minutes: float = 10.0
    keep_last: int = 3
    best_metric: str = ""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "learning_rate", "data_threads", "log_every"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"loop.{name}={getattr(self, name)}; it must be greater than 0.")
        at_least_zero = ("warmup_steps", "weight_decay", "clip_norm", "validate_every", "image_every", "save_every")
        for name in (*at_least_zero, "save_minutes", "keep_last"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loop.{name}={getattr(self, name)}; it must be 0 (off) or greater.")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ConfigError(f"loop.ema_decay={self.ema_decay}; allowed is 0 (off) to below 1.")
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ConfigError(f"loop.betas={list(self.betas)}; both must be 0 to below 1.")
        if not 0.0 <= self.last_rate_share <= 1.0:
            raise ConfigError(f"loop.last_rate_share={self.last_rate_share}; allowed is 0 to 1.")
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"loop.batch_size={self.batch_size} cannot be cut into loop.accumulate={self.accumulate} equal parts."
            )
        for name, allowed in (("autocast", PRECISIONS), ("schedule", SCHEDULES), ("optimiser", OPTIMISERS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"loop.{name}={getattr(self, name)}; allowed are {', '.join(allowed)}.")


@dataclass(frozen=True)
class AudioAugmentConfig:
    """Ranges of the random changes made to a clip's sound.

    Attributes:
        versions: differently changed copies of each clip that take turns.
        gain_db: quietest gain; the loudest is 0 dB.
        snr_db: lowest and highest signal-to-noise ratio of what is added.
        noise_share: how often something is added: white or pink noise, or another sound.
        other_sound_share: of that, hum, music, breaths and bursts beside plain noise (``unspoken_sounds``).
        tilt_db: largest tilt of the spectrum between 100 Hz and 8 kHz, up or down.
        band_limit_hz: lowest cut of the low-pass; the highest is the Nyquist frequency.
        low_cut_hz: highest cut of the high-pass, as of telephones and small microphones.
        distortion_share: how often the sound is overdriven or coded as on a telephone.
        reverb_seconds: longest time in which the room's echo falls by 60 dB.
    """

    versions: int = 3
    gain_db: float = -30.0
    snr_db: tuple[float, float] = (5.0, 50.0)
    noise_share: float = 0.8
    other_sound_share: float = 0.4
    tilt_db: float = 8.0
    tilt_share: float = 0.5
    band_limit_hz: float = 3400.0
    band_limit_share: float = 0.3
    low_cut_hz: float = 350.0
    low_cut_share: float = 0.4
    distortion_share: float = 0.15
    reverb_seconds: float = 0.5
    reverb_share: float = 0.4


@dataclass(frozen=True)
class MelAugmentConfig:
    """Ranges of the random changes made to runs of mel windows.

    Attributes:
        warp: largest stretch of the mel axis, up or down: other lengths of the throat.
        response: standard deviation of each of four smooth offsets over the bands.
        noise: largest standard deviation of independent noise.
        mask_share: how often a run of bands is silenced.
        mask_bands: its largest width.
    """

    warp: float = 0.15
    response: float = 0.25
    noise: float = 0.3
    mask_share: float = 0.5
    mask_bands: float = 12.0


@dataclass(frozen=True)
class Audio2LipsDataConfig:
    """Where windows come from.

    Attributes:
        validation_share: of the clips, the last ones, that are held out.
        silence_share: of a batch, silence and sounds in which nobody speaks, with a shut mouth as truth.
        run_windows: windows in a run, each 50 ms after the one before; a run is a sample of the batch.
    """

    validation_share: float = 0.03
    silence_share: float = 0.06
    run_windows: int = 24
    augment: AudioAugmentConfig = field(default_factory=AudioAugmentConfig)
    mel: MelAugmentConfig = field(default_factory=MelAugmentConfig)


@dataclass(frozen=True)
class Audio2LipsModelConfig:
    """Free sizes of ``Audio2Lips``; the others follow from the specs."""

    width: int = 256
    hidden: int = 384
    components: int = 20
    dropout: float = 0.1


@dataclass(frozen=True)
class Audio2LipsLossConfig:
    """Weights of the terms of ``Audio2LipsLoss``; lengths in head-frame units (crop px of a frontal face)."""

    beta: float = 0.5
    gap: float = 1.0
    velocity: float = 1.0
    closed_gap: float = 0.6
    closed_weight: float = 2.0


@dataclass(frozen=True)
class Audio2LipsConfig:
    """Configuration of ``lipforge train audio2lips``."""

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=40_000, batch_size=16, learning_rate=2e-3))
    data: Audio2LipsDataConfig = field(default_factory=Audio2LipsDataConfig)
    model: Audio2LipsModelConfig = field(default_factory=Audio2LipsModelConfig)
    loss: Audio2LipsLossConfig = field(default_factory=Audio2LipsLossConfig)


@dataclass(frozen=True)
class WarpAugmentConfig:
    """Random changes of a pair; each photometric one hits reference and target alike, except the noise.

    Attributes:
        tracked_target_share: how often the tracked lips of the target image stand in for its true ones.
        jitter_px: standard deviation of the smooth offset of the wanted contour.
        teeth_share: how often an open reference of a closed target gets teeth painted in.
        low_resolution_share: share of a batch that is resampled through ``low_resolution_px``.
    """

    tracked_target_share: float = 0.25
    jitter_px: float = 0.3
    teeth_share: float = 0.7
    gamma: float = 0.25
    gain: float = 0.12
    offset: float = 0.03
    low_resolution_share: float = 0.25
    low_resolution_px: tuple[int, int] = (44, 90)
    noise: float = 0.02
    mirror_share: float = 0.5


@dataclass(frozen=True)
class WarpDataConfig:
    """Where pairs come from; ``closed_area_px`` is the inner contour's area below which a mouth counts as shut."""

    validation_share: float = 0.03
    validation_pairs: int = 192
    closed_area_px: float = 12.0
    seam_half_px: float = 1.5
    augment: WarpAugmentConfig = field(default_factory=WarpAugmentConfig)


@dataclass(frozen=True)
class WarpModelConfig:
    """Free sizes of ``WarpNet``; the crop's side follows from the specs.

    Attributes:
        factor: px of the exported flow, mask and colour to a px of the crop; training does without.
        frozen: modules of a network that was trained before, such as ``down`` or ``up.0``, that stay as they are.
    """

    factor: int = 2
    frozen: tuple[str, ...] = ()
    still_px: int = 32
    encoder: tuple[int, ...] = (24, 48, 96, 128)
    decoder: tuple[int, ...] = (96, 48, 32)
    head: int = 16


@dataclass(frozen=True)
class WarpLossConfig:
    """Weights of the terms of ``WarpLoss``, chosen by looking at real faces: less on ``colour`` leaves mouths grey.

    Attributes:
        seam: how much more a pixel counts where a shut target's lips meet.
        opening: of the area between the lips, that has to be the target's: none where it is shut.
    """

    pixel: float = 1.0
    gradient: float = 1.0
    flow: float = 1.0
    mask: float = 0.2
    colour: float = 0.15
    parts: float = 0.5
    smoothness: float = 0.02
    seam: float = 1.0
    opening: float = 0.1


@dataclass(frozen=True)
class WarpConfig:
    """Configuration of ``lipforge train warp``."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    data: WarpDataConfig = field(default_factory=WarpDataConfig)
    model: WarpModelConfig = field(default_factory=WarpModelConfig)
    loss: WarpLossConfig = field(default_factory=WarpLossConfig)


def load_config(
    kind: type[ConfigT],
    *,
    file: Path | None = None,
    stored: dict[str, Any] | None = None,
    overrides: Sequence[str] = (),
) -> ConfigT:
    """Build a configuration: defaults, then ``stored`` values, then the YAML file, then ``key=value`` words.

    Raises:
        ConfigError: the file cannot be read, a key is unknown (the message offers the nearest) or a value does not fit.
    """
    layers: list[Any] = [stored] if stored else []
    if file is not None:
        layers.append(_read_yaml(file))
    if overrides:
        layers.append(_read_overrides(overrides))
    for layer in layers:
        _refuse_unknown_keys(kind, layer, prefix="")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), *layers)
        result = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ConfigError(f"configuration: {str(error).splitlines()[0]} (key {error.full_key}).") from error
    assert isinstance(result, kind)
    return result


def as_plain(config: Any) -> dict[str, Any]:
    """Return a configuration as JSON-ready nested dicts."""
    plain: dict[str, Any] = _lists(asdict(config))
    return plain


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{file}: not a readable YAML configuration ({str(error).splitlines()[0]}).") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: holds a {type(loaded).__name__}; a configuration is a mapping of keys to values.")
    return {str(key): value for key, value in loaded.items()}


def _read_overrides(words: Sequence[str]) -> dict[str, Any]:
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r} is not understood; settings are written key=value, such as loop.steps=1000.")
    try:
        loaded = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"settings {list(words)}: {str(error).splitlines()[0]}.") from error
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


def _refuse_unknown_keys(kind: type[Any], values: dict[str, Any], prefix: str) -> None:
    known = get_type_hints(kind)
    for key, value in values.items():
        if key not in known:
            everything = [*(prefix + name for name in known), *_all_keys(kind, prefix)]
            near = difflib.get_close_matches(prefix + str(key), everything, n=1, cutoff=0.0)
            raise ConfigError(
                f"unknown key {prefix}{key}; did you mean {near[0]}? "
                f"Allowed here: {', '.join(prefix + name for name in known)}."
            )
        if is_dataclass(known[key]) and isinstance(value, dict):
            _refuse_unknown_keys(known[key], value, f"{prefix}{key}.")


def _all_keys(kind: type[Any], prefix: str) -> list[str]:
    keys = []
    for name, inner in get_type_hints(kind).items():
        nested = isinstance(inner, type) and is_dataclass(inner)
        keys += _all_keys(inner, f"{prefix}{name}.") if nested else [prefix + name]
    return keys
