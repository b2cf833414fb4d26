"""All lines of the live engine's specification, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from lipforge.runtime.live_bench import measurements
from lipforge.runtime.live_bench.material import Material
from lipforge.runtime.live_bench.over_webrtc import over_webrtc
from lipforge.runtime.live_bench.row import Row

Measurement = Callable[[Material, float], Row | list[Row]]

MEASUREMENTS: Mapping[str, Measurement] = MappingProxyType(
    {
        "look-ahead": lambda material, _: measurements.lookahead(material),
        "streaming": lambda material, _: measurements.streaming_is_offline(material),
        "first-frame": lambda material, _: measurements.first_driven_frame(material),
        "compute": lambda material, _: measurements.compute(material),
        "interrupt": lambda material, _: measurements.interrupt(material),
        "overload": lambda material, _: measurements.overload(material),
        "sessions": lambda material, _: measurements.sessions(material),
        "open-close": lambda material, _: measurements.open_and_close(material),
        "memory": measurements.memory,
        "webrtc": over_webrtc,
    }
)
"""By the name that chooses them; each takes the material and minutes of stream, for the memory and for the drift."""


def measure(
    material: Material,
    minutes: float,
    on_measure: Callable[[str], None],
    on_row: Callable[[Row], None],
    only: Collection[str] = (),
) -> list[Row]:
    """Measure the lines.

    Args:
        material: what is measured with.
        minutes: of stream, for the memory, and for the drift.
        on_measure: told what comes next.
        on_row: given each line as soon as it is measured.
        only: names in ``MEASUREMENTS``; none for all of them.
    """
    rows: list[Row] = []
    for name, measurement in MEASUREMENTS.items():
        if only and name not in only:
            continue
        on_measure(name)
        measured = measurement(material, minutes)
        for row in measured if isinstance(measured, list) else [measured]:
            on_row(row)
            rows.append(row)
    return rows
