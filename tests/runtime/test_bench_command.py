"""``lipforge bench live``: the table, the JSON, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipforge.runtime.cli import main
from lipforge.runtime.live import Avatar
from lipforge.runtime.live_bench import specification
from lipforge.runtime.live_bench.material import Material
from lipforge.runtime.live_bench.measurements import (
    first_driven_frame,
    interrupt,
    lookahead,
    overload,
    sessions,
    streaming_is_offline,
)
from lipforge.runtime.live_bench.row import Row


def test_the_table_and_the_json(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Row("a", "first", "<= 1", "0.5", True, {"value": 0.5})
    rows = [kept, Row("b", "second", "<= 2", "3", False, {"value": 3})]
    monkeypatch.setattr(specification, "measure", lambda *_: rows)
    words = ["bench", "live", "--model", str(bundle_folder)]
    assert main(words) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines[1:]] == ["first <= 1 0.5 ok", "second <= 2 3 MISSED"]
    figures = json.loads(last)
    assert figures["model"] == "tiny"
    assert figures["rows"]["b"] == {"target": "<= 2", "met": False, "value": 3}
    assert main([*words, "--strict"]) == 1


def test_chosen_lines_are_measured_and_told_at_once(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(_: Material, minutes: float) -> Row:
        return Row("a", "first", "<= 1", f"{minutes:g} min", True, {})

    monkeypatch.setattr(
        specification, "MEASUREMENTS", {"one": measured, "two": lambda *_: pytest.fail("asked for one")}
    )
    words = ["bench", "live", "--model", str(bundle_folder), "--minutes", "3"]
    assert main([*words, "--only", "one"]) == 0
    shown = capsys.readouterr()
    assert "measuring: one\n  first: 3 min" in shown.err
    assert list(json.loads(shown.out.splitlines()[-1])["rows"]) == ["a"]
    assert main([*words, "--only", "three"]) == 2
    assert "--only three: there is no such line. Here are: one, two." in capsys.readouterr().err


def test_the_engine_keeps_its_promises(material: Material) -> None:
    for measure in (lookahead, streaming_is_offline, first_driven_frame, interrupt, overload):
        row = measure(material)
        assert row.met, row
    assert sessions(material).values["value"] > 0


def test_the_sample_fits_720p(material: Material) -> None:
    frames = list(material.camera(2))
    assert frames[0].shape == (720, 1280, 3)
    pcm, rate = material.voice
    assert pcm.shape == (4 * rate, 1)
    assert isinstance(material.avatar, Avatar)
