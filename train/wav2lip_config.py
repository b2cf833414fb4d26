"""Configurations of the trainers of the Wav2Lip family; defaults are the published values."""

from __future__ import annotations

from dataclasses import dataclass, field

from lipforge.kernels.errors import ConfigError
from lipforge.train.config import LoopConfig, MelAugmentConfig


@dataclass(frozen=True)
class SyncAugmentConfig:
    """Ranges of the random changes made to a training window; none by default, as published.

    Attributes:
        mirror_share: how often the face is mirrored.
        shift_px: farthest that the crop is moved, in px of the crop, each way.
        gamma: standard deviation of the logarithm of the pictures' gamma.
        gain: the same of each colour's gain.
        offset: standard deviation of what is added to each colour.
        mel: changes of the sound.
    """

    mirror_share: float = 0.0
    shift_px: int = 0
    gamma: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    mel: MelAugmentConfig = field(
        default_factory=lambda: MelAugmentConfig(warp=0.0, response=0.0, noise=0.0, mask_share=0.0, mask_bands=0.0)
    )


@dataclass(frozen=True)
class SyncNetDataConfig:
    """Where windows come from.

    Attributes:
        filelists: folder of ``train.txt`` and ``val.txt``; empty means ``filelists`` in the data folder.
        validation_share: share of the clips that is held out, the last ones, where packed shards do not say which.
        windows_a_clip: windows that a clip gives to a batch at a time. 1 is as published: half of the batch shows
            frames from elsewhere. With more, each sound is compared with all mouths of its clip, and
            ``loop.batch_size`` is a multiple of it: from the same work the expert learns from many more mismatches.
        augment: random changes of training windows.
        validation_windows: held-out windows, the same at every evaluation, each judged with its own frames and with
            others.
    """

    filelists: str = ""
    validation_share: float = 0.1
    windows_a_clip: int = 1
    augment: SyncAugmentConfig = field(default_factory=SyncAugmentConfig)
    validation_windows: int = 1024


@dataclass(frozen=True)
class SyncNetModelConfig:
    """Sizes of ``SyncNet``."""

    face: tuple[int, ...] = (32, 64, 128, 256, 512, 512)
    face_repeats: tuple[int, ...] = (2, 3, 2, 2, 0)
    audio: tuple[int, ...] = (32, 64, 128, 256)
    audio_repeats: tuple[int, ...] = (2, 2, 2, 2)
    embedding: int = 512


def _published_loop(batch_size: int, every: int, betas: tuple[float, float] = (0.9, 0.999)) -> LoopConfig:
    """Return Adam at a constant rate, evaluating and saving every so many steps."""
    return LoopConfig(
        steps=200_000,
        batch_size=batch_size,
        optimiser="adam",
        learning_rate=1e-4,
        schedule="constant",
        warmup_steps=0,
        weight_decay=0.0,
        betas=betas,
        clip_norm=0.0,
        ema_decay=0.0,
        validate_every=every,
        image_every=every,
        save_every=every,
        save_minutes=0.0,
    )


@dataclass(frozen=True)
class SyncNetLossConfig:
    """What the expert descends beside the published loss.

    Attributes:
        contrast: weight of telling the right mouth of a clip from its other ones, and the right sound; 0 as published.
            It needs ``data.windows_a_clip`` above 1. The published loss alone long stays at chance, where the chance
            is one half for everything; a ranking has no such resting place.
        contrast_scale: what a cosine is multiplied by before the softmax.
    """

    contrast: float = 0.0
    contrast_scale: float = 16.0


@dataclass(frozen=True)
class SyncNetConfig:
    """Configuration of ``lipforge train syncnet``."""

    loop: LoopConfig = field(default_factory=lambda: _published_loop(64, 10_000))
    data: SyncNetDataConfig = field(default_factory=SyncNetDataConfig)
    model: SyncNetModelConfig = field(default_factory=SyncNetModelConfig)
    loss: SyncNetLossConfig = field(default_factory=SyncNetLossConfig)


@dataclass(frozen=True)
class Wav2LipDataConfig:
    """Where windows come from.

    Attributes:
        filelists: folder of ``train.txt`` and ``val.txt``; empty means ``filelists`` in the data folder.
        validation_share: share of the clips that is held out, the last ones, where packed shards do not say which.
        validation_windows: held-out windows, the same at every evaluation.
        mel_offset_frames: where a frame's sound starts (``MelChunkSpec``); recorded in the checkpoint.
    """

    filelists: str = ""
    validation_share: float = 0.1
    validation_windows: int = 256
    mel_offset_frames: int = -1


@dataclass(frozen=True)
class Wav2LipModelConfig:
    """Sizes of ``Wav2Lip``."""

    face: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 512)
    face_repeats: tuple[int, ...] = (2, 3, 2, 2, 1)
    audio: tuple[int, ...] = (32, 64, 128, 256)
    audio_repeats: tuple[int, ...] = (2, 2, 2, 1)
    audio_embedding: int = 512
    decoder: tuple[int, ...] = (512, 512, 512, 384, 256, 128, 64)
    decoder_repeats: tuple[int, ...] = (1, 2, 2, 2, 2, 2)
    head: int = 32


@dataclass(frozen=True)
class CriticModelConfig:
    """Sizes of ``QualityDiscriminator``."""

    widths: tuple[int, ...] = (32, 64, 128, 256, 512, 512, 512)
    repeats: tuple[int, ...] = (1, 1, 1, 1, 1)


@dataclass(frozen=True)
class Wav2LipLossConfig:
    """Shares of the generator's loss; the L1 distance gets what they leave.

    Attributes:
        expert: checkpoint of the sync expert, set by ``--syncnet-checkpoint-path``; may be missing beside a teacher.
        sync: share of the expert's opinion once it counts.
        sync_threshold: sync loss of an evaluation below which it starts to count.
        adversary: share of the critic's opinion; 0 trains without a critic.
    """

    expert: str = ""
    sync: float = 0.01
    sync_threshold: float = 0.75
    adversary: float = 0.0


@dataclass(frozen=True)
class DistillationConfig:
    """How a generator learns from a larger one; without a teacher it does not.

    Attributes:
        teacher: checkpoint of a trained generator, set by ``--teacher``.
        output: weight of the L1 distance to the teacher's pictures.
        features: weight of the distance to the maps of the teacher's decoder (``map_distance``).
        stages: decoder stages whose maps are compared, counted from 0 at 1x1 up; four reach from 6 to 48 px.
    """

    teacher: str = ""
    output: float = 1.0
    features: float = 0.1
    stages: tuple[int, ...] = (2, 3, 4, 5)

    def __post_init__(self) -> None:
        if min(self.output, self.features) < 0.0 or (self.features > 0.0 and not self.stages):
            raise ConfigError(
                f"distillation.output={self.output}, features={self.features}, stages={list(self.stages)}; weights "
                "must be 0 or more, and features need stages."
            )


@dataclass(frozen=True)
class Wav2LipConfig:
    """Configuration of ``lipforge train wav2lip``."""

    loop: LoopConfig = field(default_factory=lambda: _published_loop(16, 3000))
    data: Wav2LipDataConfig = field(default_factory=Wav2LipDataConfig)
    model: Wav2LipModelConfig = field(default_factory=Wav2LipModelConfig)
    critic: CriticModelConfig = field(default_factory=CriticModelConfig)
    loss: Wav2LipLossConfig = field(default_factory=Wav2LipLossConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)


@dataclass(frozen=True)
class Wav2LipGanConfig(Wav2LipConfig):
    """Configuration of ``lipforge train wav2lip-gan``."""

    loop: LoopConfig = field(default_factory=lambda: _published_loop(16, 3000, (0.5, 0.999)))
    loss: Wav2LipLossConfig = field(default_factory=lambda: Wav2LipLossConfig(sync=0.03, adversary=0.07))
