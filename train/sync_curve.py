"""How alike sound and mouths look to a sync expert when the sound is shifted; the peak should be at no shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipforge.train.metrics import Estimate, estimate_mean

WIDTH_PX, HEIGHT_PX, MARGIN_PX = 480, 270, 40
INK, GRID, BAND, LINE = (40, 40, 40), (210, 210, 210), (200, 220, 245), (30, 90, 180)  # RGB
Points = npt.NDArray[np.int32]


@dataclass(frozen=True)
class EmbeddedClip:
    """Windows of one clip as an expert embeds them.

    Attributes:
        starts: int64 (K,), first frames of the windows, ascending.
        sound: float32 (K, E), of length 1, of the sound at each start.
        mouths: float32 (K, E), of length 1, of the frames at each start.
    """

    starts: npt.NDArray[np.int64]
    sound: Tensor
    mouths: Tensor


def sync_curve(clips: Sequence[EmbeddedClip], longest_shift: int) -> dict[int, Estimate]:
    """Return the mean cosine of mouths with sound that starts ``shift`` frames later, by shift in frames.

    The distance of embeddings of length 1 is ``sqrt(2 - 2 cosine)``, so the peak here is the valley there. Intervals
    are over clips; a shift that no clip is long enough for is left out.
    """
    curve = {}
    for shift in range(-longest_shift, longest_shift + 1):
        values, groups = [], []
        for number, clip in enumerate(clips):
            places = np.searchsorted(clip.starts, clip.starts + shift)
            found = clip.starts[np.minimum(places, len(clip.starts) - 1)] == clip.starts + shift
            mouths, sound = clip.mouths[torch.from_numpy(found)], clip.sound[torch.from_numpy(places[found])]
            values.append((mouths * sound).sum(1))
            groups.append(torch.full((len(mouths),), number))
        if sum(len(part) for part in values):
            curve[shift] = estimate_mean(torch.cat(values), torch.cat(groups))
    return curve


def draw_curve(curve: dict[int, Estimate]) -> Tensor:
    """Draw a curve with its band of confidence, RGB float32 (3, H, W) in [0, 1]; the ordinate is the cosine, 0 to 1."""
    canvas = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, np.uint8)
    shifts = sorted(curve)
    reach = max(1, *(abs(shift) for shift in shifts))
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        left, right = _place([(-reach, tick), (reach, tick)], reach)
        cv2.line(canvas, left.tolist(), right.tolist(), GRID, 1)
        _write(canvas, f"{tick:.2f}", (4, int(left[1]) + 4))
    for tick in range(-reach // 5 * 5, reach + 1, 5):
        if abs(tick) <= reach:
            foot, top = _place([(tick, 0.0), (tick, 1.0)], reach)
            cv2.line(canvas, foot.tolist(), top.tolist(), INK if tick == 0 else GRID, 1)
            _write(canvas, f"{tick:+d}" if tick else "0", (int(foot[0]) - 8, HEIGHT_PX - 22))
    ends = [(s, curve[s].low) for s in shifts] + [(s, curve[s].high) for s in reversed(shifts)]
    if np.isfinite([value for _, value in ends]).all():
        cv2.fillPoly(canvas, [_place(ends, reach)], BAND)
    cv2.polylines(canvas, [_place([(s, curve[s]) for s in shifts], reach)], False, LINE, 2, cv2.LINE_AA)
    best = max(shifts, key=lambda shift: float(curve[shift]))
    _write(canvas, f"cosine over shift of the sound, frames; peak {curve[best]:.3f} at {best}", (MARGIN_PX, 16))
    return torch.from_numpy(canvas).permute(2, 0, 1).float() / 255.0


def _place(points: Sequence[tuple[float, float]], reach: int) -> Points:
    """Return where (shift, cosine) are drawn, int32 (n, 2) px."""
    x, y = np.array(points, np.float64).T
    across = MARGIN_PX + (x / reach + 1.0) / 2.0 * (WIDTH_PX - 2 * MARGIN_PX)
    down = HEIGHT_PX - MARGIN_PX - np.clip(y, 0.0, 1.0) * (HEIGHT_PX - 2 * MARGIN_PX)
    return np.stack([across, down], 1).round().astype(np.int32)


def _write(canvas: npt.NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
