"""The Wav2Lip generator: mel window + masked face + reference face -> face with the mouth of the sound.

Keys, shapes and numbers are those of the published network when the sizes are the defaults. The sizes are arguments:
nine tenths of the work are in the decoder, so a student is made by narrowing ``decoder`` first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lipforge.kernels.errors import ConfigError
from lipforge.train.models.wav2lip_blocks import (
    Conv,
    TransposedConv,
    audio_encoder,
    check_sizes,
    fold_time,
    residuals,
    unfold_time,
)

KIND = "wav2lip"
PLANES = 6  # BGR of the face with its lower half blanked, then BGR of the reference
SMALLEST_PX = 3  # side of the last picture before the encoder's final 3x3 convolution


class Wav2Lip(nn.Module):
    """U-Net over a face crop whose bottom is fed by the sound.

    Args:
        face: widths of the face encoder at full size, 1/2, 1/4, ... and of its embedding. The number of widths sets
            the crop's side: 7 widths are 96 px, 8 are 192.
        face_repeats: residual blocks of each halving stage, so two fewer numbers than ``face``.
        audio: widths of the four stages of the audio encoder.
        audio_repeats: residual blocks of each of them.
        audio_embedding: width of the sound's embedding.
        decoder: widths from 1x1 up to full size, as many as ``face``.
        decoder_repeats: residual blocks of each of them but the first.
        head: width of the last but one layer.

    Attributes:
        size_px: side S of the crop.
        decoder_widths: channels of what each decoder stage makes.

    Raises:
        ConfigError: a list has the wrong length or a number that is too small.
    """

    def __init__(
        self,
        *,
        face: Sequence[int] = (16, 32, 64, 128, 256, 512, 512),
        face_repeats: Sequence[int] = (2, 3, 2, 2, 1),
        audio: Sequence[int] = (32, 64, 128, 256),
        audio_repeats: Sequence[int] = (2, 2, 2, 1),
        audio_embedding: int = 512,
        decoder: Sequence[int] = (512, 512, 512, 384, 256, 128, 64),
        decoder_repeats: Sequence[int] = (1, 2, 2, 2, 2, 2),
        head: int = 32,
    ) -> None:
        super().__init__()
        if len(face) < 3:
            raise ConfigError(f"{KIND}: face={list(face)}; it needs 3 widths or more.")
        check_sizes(KIND, "face", face, len(face), 1)
        check_sizes(KIND, "face_repeats", face_repeats, len(face) - 2, 0)
        check_sizes(KIND, "audio", audio, 4, 1)
        check_sizes(KIND, "audio_repeats", audio_repeats, 4, 0)
        check_sizes(KIND, "decoder", decoder, len(face), 1)
        check_sizes(KIND, "decoder_repeats", decoder_repeats, len(face) - 1, 0)
        check_sizes(KIND, "audio_embedding", [audio_embedding], 1, 1)
        check_sizes(KIND, "head", [head], 1, 1)
        self.size_px = SMALLEST_PX * 2 ** (len(face) - 2)
        self.decoder_widths = tuple(decoder)
        self.face_encoder_blocks = nn.ModuleList(_face_stages(face, face_repeats))
        self.audio_encoder = audio_encoder(audio, audio_repeats, audio_embedding)
        self.face_decoder_blocks = nn.ModuleList(_decoder_stages(audio_embedding, decoder, decoder_repeats, face))
        # The activation is a layer of its own so that the keys of the two convolutions are the published ones.
        self.output_block = nn.Sequential(Conv(decoder[-1] + face[0], head), nn.Conv2d(head, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, face: Tensor, *, stages: Sequence[int] = ()) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Draw the mouth.

        Args:
            mel: float32 (B, 1, 80, 16), or (B, T, 1, 80, 16) for T frames of each clip; log-mel in [-4, 4].
            face: float32 (B, 6, S, S), or (B, 6, T, S, S); BGR in [0, 1], lower half of the first three planes zero.
            stages: decoder stages whose maps are wanted too.

        Returns:
            float32 (B, 3, S, S), or (B, 3, T, S, S); BGR in [0, 1]. If there are ``stages``, that and a list of their
            maps, float32 (B, width, s, s), or (T * B, width, s, s) with all first frames first.
        """
        clips = face.ndim == 5
        drawn, maps = self._draw(mel.transpose(0, 1).flatten(0, 1), fold_time(face)) if clips else self._draw(mel, face)
        picture = unfold_time(drawn, face.shape[2]) if clips else drawn
        return (picture, [maps[stage] for stage in stages]) if stages else picture

    def _draw(self, mel: Tensor, face: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the pictures and the maps of all decoder stages."""
        features, maps = [], []
        for stage in self.face_encoder_blocks:
            face = stage(face)
            features.append(face)
        x = self.audio_encoder(mel)
        for stage, feature in zip(self.face_decoder_blocks, reversed(features), strict=True):
            maps.append(stage(x))
            x = torch.cat([maps[-1], feature], 1)
        return self.output_block(x), maps


def _face_stages(widths: Sequence[int], repeats: Sequence[int]) -> list[nn.Module]:
    """Return one stage for each size of the picture, the last one down to 1x1."""
    stages: list[nn.Module] = [nn.Sequential(Conv(PLANES, widths[0], 7, 1, 3))]
    for before, width, count in zip(widths[:-2], widths[1:-1], repeats, strict=True):
        stages.append(nn.Sequential(Conv(before, width, 3, 2, 1), *residuals(width, count)))
    stages.append(nn.Sequential(Conv(widths[-2], widths[-1], 3, 1, 0), Conv(widths[-1], widths[-1], 1, 1, 0)))
    return stages


def _decoder_stages(
    embedding: int, widths: Sequence[int], repeats: Sequence[int], face: Sequence[int]
) -> list[nn.Module]:
    """Return one stage for each size of the picture from 1x1 up; each reads the one below with its skip."""
    stages: list[nn.Module] = [nn.Sequential(Conv(embedding, widths[0], 1, 1, 0))]
    skips = list(reversed(face))
    for index, (width, count) in enumerate(zip(widths[1:], repeats, strict=True)):
        inputs = widths[index] + skips[index]
        opening = TransposedConv(inputs, width, 3, 1, 0, 0) if index == 0 else TransposedConv(inputs, width)
        stages.append(nn.Sequential(opening, *residuals(width, count)))
    return stages
