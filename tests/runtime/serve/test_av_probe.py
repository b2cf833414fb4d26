"""The probe of A/V offset and drift: what it makes of what it saw."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lipforge.runtime.live_bench.over_webrtc import over_webrtc, rows_of
from lipforge.runtime.serve.av_probe import AvReport, _paired, _slope
from lipforge.runtime.serve.flash_beep import (
    AUDIO_HZ,
    FLASH_FRAMES,
    FPS,
    HEIGHT,
    WIDTH,
    Onsets,
    beep,
    draw,
    first_loud,
    is_flash,
    read_number,
)


def report(offset: tuple[float, float, float], drift: float) -> AvReport:
    return AvReport(60.0, 60, offset, (200.0, 210.0, 220.0), drift, 0.1, 1500, 0)


def test_a_frame_tells_its_number_and_whether_it_flashes() -> None:
    luma = np.empty((HEIGHT, WIDTH), np.uint8)
    for index in (0, 1, 2, 3, 24, 25, 511, 1023):
        draw(index, luma)
        assert read_number(luma) == index
        assert is_flash(luma) == (index % FPS < FLASH_FRAMES)


def test_a_beep_begins_with_the_second() -> None:
    assert first_loud(beep(AUDIO_HZ - 100, 960).astype(np.float32)) in range(100, 104)
    assert first_loud(beep(10_000, 960).astype(np.float32)) is None


def test_onsets_and_pairs() -> None:
    onsets = Onsets(0.3)
    for time in (0.0, 0.04, 0.08, 1.0, 1.04):
        onsets.add(time, on=True)
    onsets.add(1.5, on=False)
    assert onsets.times == [0.0, 1.0]
    assert _paired([0.0, 1.0, 2.0], [0.01, 1.02]) == [(0.0, 0.01), (1.0, 1.02)]
    assert _paired([0.0], []) == []


@pytest.mark.parametrize("slope", [0.0, 3.0, -0.5])
def test_a_slope_is_found_through_noise_and_stumbles(slope: float) -> None:
    random = np.random.default_rng(3)
    times = np.arange(300.0)
    values = slope * times / 60 + random.normal(0, 2, 300)
    values[40:55] += 400  # the machine stood still
    assert _slope(list(times), values) == pytest.approx(slope, abs=0.3)
    assert np.isnan(_slope([0.0, 1.0], values[:2]))


@pytest.mark.parametrize(
    ("offset", "drift", "met"),
    [
        ((3.0, -10.0, 30.0), 0.2, (True, True)),
        ((25.0, -10.0, 30.0), -1.5, (False, False)),
        ((3.0, -61.0, 30.0), float("nan"), (False, None)),
        ((3.0, -10.0, 41.0), 0.0, (False, True)),
        ((float("nan"), float("nan"), float("nan")), 0.0, (False, True)),
    ],
)
def test_rows_of_the_specification(
    offset: tuple[float, float, float], drift: float, met: tuple[bool | None, bool | None]
) -> None:
    assert tuple(row.met for row in rows_of(report(offset, drift))) == met


def test_without_the_packages_the_rows_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiortc", None)
    rows = over_webrtc(SimpleNamespace(), 1.0)  # type: ignore[arg-type]
    assert [row.met for row in rows] == [None, None]
    assert all("pip install 'lipforge[live]'" in row.measured for row in rows)
