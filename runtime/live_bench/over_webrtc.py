"""What only a receiver can tell: offset and drift of sound and picture, over a real connection in this process."""

from __future__ import annotations

import math

from lipforge.kernels.errors import MissingPackageError
from lipforge.runtime.live_bench.material import Material
from lipforge.runtime.live_bench.row import Row
from lipforge.runtime.serve.av_probe import AvReport, measure_av
from lipforge.runtime.serve.server import check_packages

OFFSET = ("av_offset_ms", "A/V offset at the receiver", "median within 20 ms, p95 within +40/-60")
DRIFT = ("av_drift_ms_per_min", "drift of offset and latency", "< 1 ms a minute")


def over_webrtc(material: Material, minutes: float) -> list[Row]:
    """Send flashes and beeps through a server and a client and compare what comes back.

    Args:
        material: whose model's look-ahead the frames wait for.
        minutes: how long.

    Returns:
        Two rows; without measurement where the packages are not installed.
    """
    try:
        check_packages()
    except MissingPackageError as error:
        return [Row(*line, str(error), None, {"value": None}) for line in (OFFSET, DRIFT)]
    return rows_of(measure_av(material.bundle, 60 * minutes))


def rows_of(report: AvReport) -> list[Row]:
    """Return the rows of a report."""
    median, low, high = report.offset_ms
    offset = Row(
        *OFFSET,
        f"median {median:+.1f} ms, 5 % {low:+.1f}, 95 % {high:+.1f} ({report.pairs} flashes)",
        abs(median) <= 20 and low >= -60 and high <= 40,
        {"median": median, "p5": low, "p95": high, "flashes": report.pairs},
    )
    slopes = (report.offset_drift_ms_per_min, report.latency_drift_ms_per_min)
    known = all(map(math.isfinite, slopes))
    drift = Row(
        *DRIFT,
        f"offset {slopes[0]:+.2f}, latency {slopes[1]:+.2f} ms a minute ({report.seconds:.0f} s)",
        max(map(abs, slopes)) < 1 if known else None,
        {"offset": slopes[0], "latency": slopes[1], "seconds": report.seconds, "latency_ms": report.latency_ms[0]},
    )
    return [offset, drift]
