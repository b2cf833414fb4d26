"""The sync expert: do these five frames of a mouth and this piece of sound belong together?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lipforge.train.models.wav2lip_blocks import FRAMES, Conv, audio_encoder, check_sizes, residuals, unit_length

KIND = "syncnet"


class SyncNet(nn.Module):
    """Two encoders into one space; the cosine of their embeddings is the chance of being in sync.

    Keys, shapes and numbers are those of the published colour SyncNet when the sizes are the defaults.

    Args:
        face: widths of the face encoder at 48x96 px, 46x47, 23x24, 12x12, 6x6 and 3x3.
        face_repeats: residual blocks of each of them but the first.
        audio: widths of the four stages of the audio encoder.
        audio_repeats: residual blocks of each of them.
        embedding: width of both embeddings.

    Raises:
        ConfigError: a list has the wrong length or a number that is too small.
    """

    def __init__(
        self,
        *,
        face: Sequence[int] = (32, 64, 128, 256, 512, 512),
        face_repeats: Sequence[int] = (2, 3, 2, 2, 0),
        audio: Sequence[int] = (32, 64, 128, 256),
        audio_repeats: Sequence[int] = (2, 2, 2, 2),
        embedding: int = 512,
    ) -> None:
        super().__init__()
        check_sizes(KIND, "face", face, 6, 1)
        check_sizes(KIND, "face_repeats", face_repeats, 5, 0)
        check_sizes(KIND, "audio", audio, 4, 1)
        check_sizes(KIND, "audio_repeats", audio_repeats, 4, 0)
        check_sizes(KIND, "embedding", [embedding], 1, 1)
        self.face_encoder = nn.Sequential(*_face_blocks(face, face_repeats, embedding))
        self.audio_encoder = audio_encoder(audio, audio_repeats, embedding)

    def forward(self, mel: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Embed sound and mouths.

        Args:
            mel: float32 (B, 1, 80, 16), log-mel in [-4, 4].
            frames: float32 (B, 15, 48, 96), lower halves of five consecutive face crops, frame after frame, BGR in
                [0, 1] (``stack_frames``, ``lower_half``).

        Returns:
            Embeddings of the sound and of the frames, float32 (B, E) each, of length 1 and not negative: their cosine
            lies in [0, 1].
        """
        sound, mouths = self.audio_encoder(mel), self.face_encoder(frames)
        return unit_length(sound.flatten(1)), unit_length(mouths.flatten(1))


def _face_blocks(widths: Sequence[int], repeats: Sequence[int], embedding: int) -> list[nn.Module]:
    blocks: list[nn.Module] = [Conv(3 * FRAMES, widths[0], 7, 1, 3)]
    for index, (before, width, count) in enumerate(zip(widths[:-1], widths[1:], repeats, strict=True)):
        # The first stage halves the width alone: from there on the half face is a square.
        opening = Conv(before, width, 5, (1, 2), 1) if index == 0 else Conv(before, width, 3, 2, 1)
        blocks += [opening, *residuals(width, count)]
    blocks += [Conv(widths[-1], embedding, 3, 1, 0), Conv(embedding, embedding, 1, 1, 0)]
    return blocks
