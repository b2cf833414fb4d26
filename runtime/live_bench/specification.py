"""All lines of the live engine's specification, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable

from lipforge.runtime.live_bench import measurements
from lipforge.runtime.live_bench.material import Material
from lipforge.runtime.live_bench.row import Row

# What only a receiver can tell is measured over a real connection; that measurement's rows belong here.
ELSEWHERE = (
    ("av_offset_ms", "A/V offset at the receiver", "median within 20 ms, p95 within +40/-60"),
    ("av_drift_ms_per_min", "drift of offset and latency", "< 1 ms a minute"),
)


def measure(material: Material, minutes: float, on_measure: Callable[[str], None]) -> list[Row]:
    """Measure every line.

    Args:
        material: what is measured with.
        minutes: of stream, for the memory.
        on_measure: told what comes next.
    """
    steps: tuple[tuple[str, Callable[[], Row | list[Row]]], ...] = (
        ("look-ahead", lambda: measurements.lookahead(material)),
        ("streaming against offline", lambda: measurements.streaming_is_offline(material)),
        ("first driven frame", lambda: measurements.first_driven_frame(material)),
        ("compute", lambda: measurements.compute(material)),
        ("interrupt", lambda: measurements.interrupt(material)),
        ("overload", lambda: measurements.overload(material)),
        ("streams on a core", lambda: measurements.sessions(material)),
        ("opening and closing", lambda: measurements.open_and_close(material)),
        ("memory", lambda: measurements.memory(material, minutes)),
    )
    rows: list[Row] = []
    for what, step in steps:
        on_measure(what)
        measured = step()
        rows += measured if isinstance(measured, list) else [measured]
    return rows + [measurements.not_measured_here(*line, "only over a connection") for line in ELSEWHERE]
