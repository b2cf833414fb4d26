"""Figures of a measurement: timed on a device, printed as one table, kept as JSON."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measurement, or the reason why there is none.

    Attributes:
        section: what it belongs to.
        what: what is computed.
        how: what computes it, at which precision.
        batch: frames, windows or seconds of one call, as ``unit`` says.
        unit: of ``batch``.
        least_ms: shortest call.
        median_ms: typical call.
        note: a reason, or what else is worth knowing.
    """

    section: str
    what: str
    how: str
    batch: int
    unit: str
    least_ms: float | None = None
    median_ms: float | None = None
    note: str = ""

    def row(self) -> str:
        """Return it as a row of the table."""
        cells = [self.section, self.what, self.how, str(self.batch), self.unit]
        if self.least_ms is None or self.median_ms is None:
            cells += ["", "", "", ""]
        else:
            each = self.median_ms / self.batch
            cells += [_short(self.least_ms), _short(self.median_ms), _short(each), f"{1000 / each:,.0f}"]
        return f"| {' | '.join([*cells, self.note])} |"


HEAD = "| | what | how | batch | of | least ms | median ms | ms each | each a second | |\n" + "|-" * 10 + "|"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


@dataclass(frozen=True)
class Clock:
    """Times calls for a while.

    Attributes:
        device: torch's, ``cuda`` or ``cpu``.
        seconds: how long a measurement takes after its warm-up.
    """

    device: str
    seconds: float = 0.25

    def on_device(self, call: Callable[[], object]) -> tuple[float, float]:
        """Return least and median ms of a call whose work is on the device, with a cold cache there."""
        if self.device == "cpu":
            return self.on_host(call)
        from triton.testing import do_bench

        times = do_bench(call, warmup=200 * self.seconds, rep=1000 * self.seconds, return_mode="all")
        return min(times), statistics.median(times)

    def on_host(self, call: Callable[[], object]) -> tuple[float, float]:
        """Return least and median ms of a call that returns when everything is done."""
        call()
        times = list[float]()
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end or len(times) < (3 if self.seconds else 1):
            start = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - start))
        return min(times), statistics.median(times)


@dataclass(frozen=True)
class Case:
    """A figure to be measured.

    Attributes:
        empty: the figure without its times.
        measure: sets up, times, and returns least ms, median ms and a note.
        obstacle: why it cannot be measured here.
    """

    empty: Figure
    measure: Callable[[Clock], tuple[float, float, str]]
    obstacle: str = ""


def write_json(path: Path, machine: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Keep everything that was measured."""
    path.write_text(json.dumps({"machine": machine, "figures": [asdict(figure) for figure in figures]}, indent=1))
