"""Charts as SVG text: curves, histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEFT, RIGHT, TOP, BOTTOM = 52, 10, 26, 30  # px around the plot
MOST_POINTS = 2000  # of a curve; a longer one is thinned


@dataclass(frozen=True)
class Series:
    """One curve or histogram: its name, float64 (n,) values and a CSS class that colours it."""

    name: str
    values: F64
    style: str


@dataclass(frozen=True)
class Frame:
    """Title, axes and size (px) of a chart."""

    title: str
    across: str
    up: str
    width: int = 720
    height: int = 200


def line_chart(frame: Frame, at: F64, series: Sequence[Series], shaded: Mask | None = None) -> str:
    """Draw curves over a common abscissa; gaps where values are nan.

    Args:
        frame: title and axes.
        at: float64 (n,), ascending.
        series: the curves.
        shaded: bool (n,), where the background is tinted.
    """
    known = np.concatenate([s.values[np.isfinite(s.values)] for s in series] or [np.zeros(0)])
    if not len(known) or len(at) < 2:
        return ""
    axes = _Axes(frame, (float(at[0]), float(at[-1])), _padded(float(known.min()), float(known.max())))
    marks = [axes.shade(float(at[a]), float(at[b - 1])) for a, b in _runs(shaded)] if shaded is not None else []
    step = max(1, len(at) // MOST_POINTS)
    for curve in series:
        for first, last in _runs(np.isfinite(curve.values)):
            chosen = slice(first, last, step)
            marks.append(axes.path(at[chosen], curve.values[chosen], curve.style))
    return axes.whole(marks, series)


def histogram(frame: Frame, series: Sequence[Series], bins: int = 30) -> str:
    """Draw how often values occur, as outlines one over the other; shares of each series, so lengths may differ."""
    finite = [Series(s.name, s.values[np.isfinite(s.values)], s.style) for s in series]
    finite = [s for s in finite if len(s.values)]
    if not finite:
        return ""
    known = np.concatenate([s.values for s in finite])
    low, high = float(known.min()), float(np.quantile(known, 0.995))
    edges = np.linspace(low, high if high > low else low + 1e-6, bins + 1)
    shares = [np.histogram(np.minimum(s.values, edges[-1]), edges)[0] / len(s.values) for s in finite]
    axes = _Axes(frame, (edges[0], edges[-1]), (0.0, 1.05 * max(float(share.max()) for share in shares)))
    marks = []
    for share, one in zip(shares, finite, strict=True):
        x, y = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(share, 2), [0.0]])
        marks.append(axes.path(x, y, f"{one.style} filled"))
    return axes.whole(marks, finite)


class _Axes:
    """Places values on a chart."""

    def __init__(self, frame: Frame, across: tuple[float, float], up: tuple[float, float]) -> None:
        self._frame, self._across, self._up = frame, across, up

    def path(self, x: F64, y: F64, style: str) -> str:
        points = " ".join(f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in zip(x, y, strict=True))
        return f'<polyline class="{style}" points="{points}"/>'

    def shade(self, start: float, end: float) -> str:
        left = self._x(start)
        return (
            f'<rect class="speech" x="{left:.1f}" y="{TOP}" width="{max(self._x(end) - left, 1):.1f}" '
            f'height="{self._frame.height - TOP - BOTTOM}"/>'
        )

    def whole(self, marks: Sequence[str], series: Sequence[Series]) -> str:
        frame = self._frame
        bottom = frame.height - BOTTOM
        grid = []
        for value in _ticks(*self._up, 4):
            y = self._y(value)
            grid.append(f'<line class="grid" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            grid.append(f'<text class="tick end" x="{LEFT - 5}" y="{y + 4:.1f}">{value:g}</text>')
        for value in _ticks(*self._across, 8):
            grid.append(f'<text class="tick mid" x="{self._x(value):.1f}" y="{bottom + 14}">{value:g}</text>')
        legend, place = [], LEFT + 7.6 * len(frame.title) + 16
        for one in series:
            legend.append(f'<text class="tick key {one.style}" x="{place:.0f}" y="15">{escape(one.name)}</text>')
            place += 7.6 * len(one.name) + 14
        return (
            f'<svg viewBox="0 0 {frame.width} {frame.height}" width="{frame.width}" role="img" '
            f'aria-label="{escape(frame.title)}"><text class="title" x="{LEFT}" y="15">{escape(frame.title)}</text>'
            f"{''.join(grid)}{''.join(marks)}{''.join(legend)}"
            f'<text class="tick end" x="{frame.width - RIGHT}" y="{frame.height - 3}">{escape(frame.across)}</text>'
            f'<text class="tick" x="3" y="{frame.height - 3}">{escape(frame.up)}</text></svg>'
        )

    def _x(self, value: float) -> float:
        low, high = self._across
        return LEFT + (value - low) / (high - low) * (self._frame.width - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        low, high = self._up
        return self._frame.height - BOTTOM - (value - low) / (high - low) * (self._frame.height - TOP - BOTTOM)


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.05 * (high - low) or 0.5
    return (0.0 if 0 <= low < 0.2 * high else low - room), high + room


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers between two ends."""
    step = 10.0 ** np.floor(np.log10((high - low) / about))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= about)
    return [float(f"{k * step:.10g}") for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _runs(mask: Mask) -> list[tuple[int, int]]:
    """Return first and one past the last place of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
