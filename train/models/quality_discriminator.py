"""The picture critic of Wav2Lip's adversarial training: is this mouth drawn or real?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lipforge.train.models.wav2lip_blocks import PlainConv, check_sizes, fold_time, lower_half

KIND = "wav2lip-disc"


class QualityDiscriminator(nn.Module):
    """Convolutions over the lower half of single frames.

    Keys, shapes and numbers are those of the published ``Wav2Lip_disc_qual`` when the sizes are the defaults.

    Args:
        widths: of the stages at 48x96 px, 48x48, 24x24, 12x12, 6x6, 3x3 and 1x1.
        repeats: convolutions after the one that opens each stage but the first and the last.

    Raises:
        ConfigError: a list has the wrong length or a number that is too small.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (32, 64, 128, 256, 512, 512, 512),
        repeats: Sequence[int] = (1, 1, 1, 1, 1),
    ) -> None:
        super().__init__()
        check_sizes(KIND, "widths", widths, 7, 1)
        check_sizes(KIND, "repeats", repeats, 5, 0)
        self.face_encoder_blocks = nn.ModuleList(_stages(widths, repeats))
        self.binary_pred = nn.Sequential(nn.Conv2d(widths[-1], 1, 1), nn.Sigmoid())

    def forward(self, clips: Tensor, *, as_logits: bool = False) -> Tensor:
        """Judge every frame on its own.

        Args:
            clips: float32 (B, 3, T, 96, 96), BGR in [0, 1].
            as_logits: return what the chances are the logistic function of. In float32 that function is exactly 1 from
                17 on, and earlier in half precision: a loss on it has no gradient, and a critic that got there stays.

        Returns:
            float32 (T * B, 1), the chance of being real; all first frames first.
        """
        return self.judge(fold_time(clips), as_logits=as_logits)

    def judge(self, faces: Tensor, *, as_logits: bool = False) -> Tensor:
        """Judge single faces, float32 (B, 3, 96, 96): float32 (B, 1)."""
        x = lower_half(faces)
        for stage in self.face_encoder_blocks:
            x = stage(x)
        opinion: Tensor = self.binary_pred[0](x) if as_logits else self.binary_pred(x)
        return opinion.flatten(1)


def _stages(widths: Sequence[int], repeats: Sequence[int]) -> list[nn.Module]:
    stages: list[nn.Module] = [nn.Sequential(PlainConv(3, widths[0], 7, 1, 3))]
    for index, (before, width, count) in enumerate(zip(widths[:-2], widths[1:-1], repeats, strict=True)):
        kernel = 5 if index < 3 else 3
        stride = (1, 2) if index == 0 else 2
        further = [PlainConv(width, width, kernel, 1, kernel // 2) for _ in range(count)]
        stages.append(nn.Sequential(PlainConv(before, width, kernel, stride, kernel // 2), *further))
    last = widths[-1]
    stages.append(nn.Sequential(PlainConv(widths[-2], last, 3, 1, 0), PlainConv(last, last, 1, 1, 0)))
    return stages
