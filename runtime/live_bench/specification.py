"""All lines of the live engine's specification, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable

from lipforge.runtime.live_bench import measurements
from lipforge.runtime.live_bench.material import Material
from lipforge.runtime.live_bench.over_webrtc import over_webrtc
from lipforge.runtime.live_bench.row import Row


def measure(material: Material, minutes: float, on_measure: Callable[[str], None]) -> list[Row]:
    """Measure every line.

    Args:
        material: what is measured with.
        minutes: of stream, for the memory, and for the drift.
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
        ("offset and drift over WebRTC", lambda: over_webrtc(material, minutes)),
    )
    rows: list[Row] = []
    for what, step in steps:
        on_measure(what)
        measured = step()
        rows += measured if isinstance(measured, list) else [measured]
    return rows
