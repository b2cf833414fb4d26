"""Whole videos through the whole judge: what was done to a video is what the report says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from lipforge.runtime.cli import main
from lipforge.runtime.commands.evaluate import evaluate
from lipforge.runtime.evaluate import run as judge
from lipforge.runtime.evaluate.catalogue import MEASURES

FRAMES = 70
Judge = Callable[..., dict[str, Any]]


def speech(truth: SimpleNamespace, seed: int = 0) -> np.ndarray:
    """Two words with a pause between and around them, mouth shut in the pauses."""
    opening = truth.talking(FRAMES, seed)
    opening[:8] = opening[34:44] = opening[-10:] = 0.0
    return np.asarray(np.round(opening, 2))


@pytest.fixture
def clips(truth: SimpleNamespace, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a video, by default one whose lips follow its voice."""

    def make(name: str, opening: np.ndarray | None = None, late_s: float = 0.0, **options: Any) -> Path:
        lips = speech(truth) if opening is None else opening
        sound = options.pop("sound", truth.voice_of(speech(truth), truth.fps, late_s))
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        return truth.write_video(path, lips, sound=sound, **options)

    return make


@pytest.fixture
def judged(
    truth: SimpleNamespace, expert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the command and gives back its JSON."""
    monkeypatch.setattr(judge, "face_trackers", lambda say: truth.tracker)

    def run(*words: Any, code: int = 0, expert: bool = True) -> dict[str, Any]:
        out = tmp_path / "report.json"
        named = ["--expert", str(expert_folder)] if expert else []
        assert main(["evaluate", *map(str, words), *named, "--json", str(out), "--overwrite"]) == code
        return dict(json.loads(out.read_text()))

    return run


def values(report: dict[str, Any], place: int = 0) -> dict[str, float]:
    return {name: value["value"] for name, value in report["videos"][place]["measures"].items()}


@pytest.mark.parametrize("late_frames", [-3, 0, 5])
def test_shifted_sound_moves_the_offset_alone(clips: Any, judged: Judge, late_frames: int) -> None:
    reference = clips("true.mp4")
    found = values(judged(clips("shifted.mp4", late_s=late_frames / 25), "--reference", reference))
    assert found["offset_ms"] == pytest.approx(40 * late_frames, abs=40)
    assert found["lse_c"] > 0.2
    assert found["aperture_corr"] > 0.99
    assert abs(found["aperture_lag_ms"]) < 10
    assert found["sharpness"] == pytest.approx(1.0, abs=0.02)


def test_sound_that_starts_late_in_the_container_is_heard_late(clips: Any, judged: Judge, truth: Any) -> None:
    sound = truth.voice_of(speech(truth), truth.fps)
    found = values(judged(clips("late.mkv", sound=sound, sound_start_s=0.2)))
    assert found["sound_start_ms"] == pytest.approx(200, abs=1)
    assert found["offset_ms"] == pytest.approx(200, abs=40)


def test_frozen_lips_lose_agreement_and_confidence_and_nothing_else(clips: Any, judged: Judge) -> None:
    reference = clips("true.mp4")
    whole = values(judged(clips("copy.mp4"), "--reference", reference))
    report = judged(clips("frozen.mp4", np.full(FRAMES, 0.1)), "--reference", reference)
    frozen = values(report)
    assert whole["aperture_corr"] > 0.99
    assert whole["closure_rate"] == 1.0
    assert {"aperture_corr", "own_corr"} <= set(report["videos"][0]["absent"])
    assert "do not move" in report["videos"][0]["absent"]["aperture_corr"]
    assert frozen["closure_rate"] == 0.0
    assert frozen["lse_c"] < 0.5 * whole["lse_c"]
    assert frozen["landmark_distance"] > whole["landmark_distance"] + 0.01
    assert frozen["eye_sharpness"] == pytest.approx(1.0, abs=0.02)
    assert frozen["picture_change"] == pytest.approx(whole["picture_change"], abs=0.2)


def test_swapped_voices_agree_less_than_own_ones(clips: Any, judged: Judge, truth: Any, tmp_path: Path) -> None:
    for seed in range(3):
        lips = speech(truth, seed)
        sound = truth.voice_of(lips, truth.fps)
        for folder in ("made", "true"):
            clips(f"{folder}/clip{seed}.mp4", lips, sound=sound)
    report = judged(tmp_path / "made", "--reference-folder", tmp_path / "true")
    assert len(report["videos"]) == 3
    mean = {name: value["value"] for name, value in report["mean"].items()}
    assert mean["own_corr"] > 0.99
    assert mean["own_corr"] - mean["swapped_corr"] > 0.4
    assert mean["own_corr"] - mean["shifted_corr"] > 0.6
    assert mean["lse_c"] > 1.5 * mean["swapped_lse_c"]
    assert report["mean"]["own_corr"]["low"] is not None


def test_two_results_of_one_voice_are_not_swapped_with_each_other(clips: Any, judged: Judge) -> None:
    report = judged(clips("a.mp4"), clips("b.mp4"), "--reference", clips("true.mp4"))
    for place in range(2):
        assert "another voice" in report["videos"][place]["absent"]["swapped_corr"]
        assert "another voice" in report["videos"][place]["absent"]["swapped_lse_c"]
        assert report["videos"][place]["compared_frames"] == FRAMES


def test_motion_in_pauses_is_found(clips: Any, judged: Judge, truth: Any) -> None:
    reference = clips("true.mp4")
    restless = speech(truth)
    restless[-9:] = 0.04 * (np.arange(9) % 2)
    found = values(judged(clips("restless.mp4", restless), "--reference", reference))
    assert found["rest_motion"] > 0.1
    assert values(judged(clips("copy.mp4"), "--reference", reference))["rest_motion"] < 0.02


def test_other_frame_rate_and_length_are_met_in_time(clips: Any, judged: Judge, truth: Any) -> None:
    times = np.arange(84) / 30
    faster = np.interp(times + 0.5 / 30, (np.arange(FRAMES) + 0.5) / 25, speech(truth))
    found = values(judged(clips("fast.mp4", faster[:60], fps=30), "--reference", clips("true.mp4")))
    assert found["aperture_corr"] > 0.95
    assert abs(found["aperture_lag_ms"]) < 25
    assert abs(found["offset_ms"]) <= 40


def test_other_size_compares_lips_and_not_pixels(clips: Any, judged: Judge) -> None:
    small = clips("small.mp4", change=lambda picture: cv2.resize(picture, (180, 144), interpolation=cv2.INTER_AREA))
    report = judged(small, "--reference", clips("true.mp4"))
    assert values(report)["aperture_corr"] > 0.9
    assert "180x144" in report["videos"][0]["absent"]["sharpness"]


def test_without_sound_reference_or_expert_the_report_says_why(
    clips: Any, judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = judged(clips("mute.mp4", sound=None), expert=False)
    absent = report["videos"][0]["absent"]
    assert absent["lse_d"] == absent["rest_motion"] == "the video has no sound"
    assert absent["sharpness"] == "no reference was given"
    assert set(values(report)) == {"face_share", "jitter"}
    assert "lse_c" in values(judged(clips("heard.mp4"), expert=False)), "the expert that ships judges by default"
    monkeypatch.setattr("lipforge.runtime.evaluate.run.shipped_bundles", lambda: ())
    absent = judged(clips("loud.mp4"), expert=False)["videos"][0]["absent"]
    assert "--expert" in absent["lse_c"]


def test_every_measure_has_a_value_or_a_reason(clips: Any, judged: Judge) -> None:
    for words in ((), ("--reference", clips("true.mp4"))):
        video = judged(clips("one.mp4"), *words)["videos"][0]
        assert set(video["measures"]) | set(video["absent"]) == set(MEASURES)
        assert not set(video["measures"]) & set(video["absent"])
        assert all(video["absent"].values())


def test_truth_beside_a_clip_says_when_lips_have_to_shut(clips: Any, judged: Judge, tmp_path: Path) -> None:
    video = clips("clip.mp4")
    phonemes = [["a", 0.4, 1.4], ["m", 1.45, 1.7], ["ə", 1.7, 2.2]]
    (tmp_path / "clip.json").write_text(json.dumps({"schema": 1, "phonemes": phonemes}))
    report = judged(video)
    assert report["videos"][0]["closures_from"] == "clip.json"
    assert (values(report)["closure_rate"], values(report)["closures"]) == (1.0, 1.0)


def test_frames_without_a_face_are_counted_and_left_out(clips: Any, judged: Judge) -> None:
    found = values(judged(clips("gap.mp4", faceless=frozenset(range(20, 34))), "--reference", clips("true.mp4")))
    assert found["face_share"] == pytest.approx(56 / 70)
    assert found["aperture_corr"] > 0.99


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.mp4"], "none.mp4: no such file"),
        (["notes.txt"], "cannot be read as video"),
        (["faceless.mp4"], "no face was found"),
        (["empty"], "holds no video"),
        (["good.mp4", "--reference", "none.mp4"], "--reference none.mp4: no such file"),
        (["good.mp4", "--reference-folder", "empty"], "holds no video called good"),
        (["good.mp4", "--reference", "good.mp4", "--reference-folder", "empty"], "give one of them"),
        (["good.mp4", "--expert", "nobody"], "--expert nobody: no such bundle"),
        (["good.mp4", "--html", "none/page.html"], "folder none is missing"),
        (["good.mp4", "--html", "notes.txt"], "is there already"),
        (["good.mp4", "--html", "good.mp4", "--overwrite"], "one of the videos"),
        (["good.mp4", "--transcript", "none.txt"], "none.txt: no such file"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_code_2(
    words: list[str],
    message: str,
    clips: Any,
    truth: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(judge, "face_trackers", lambda say: truth.tracker)
    Path("notes.txt").write_text("hello\n" * 100)
    Path("empty").mkdir()
    clips("good.mp4")
    clips("faceless.mp4", faceless=frozenset(range(FRAMES)))
    assert main(["evaluate", *words]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("evaluating")]
    assert len(errors) == 1
    assert message in errors[0]
    assert Path("notes.txt").read_text().startswith("hello")


def test_one_bad_video_among_several_is_named_and_the_rest_judged(clips: Any, judged: Judge) -> None:
    good, bad = clips("good.mp4"), clips("bad.mp4", faceless=frozenset(range(FRAMES)))
    report = judged(good, bad, code=2)
    assert [video["video"] for video in report["videos"]] == [str(good)]
    assert "no face" in report["faults"][str(bad)]


def test_help_teaches_by_example() -> None:
    shown = CliRunner().invoke(evaluate, ["--help"]).output
    for word in ("--reference-folder", "--expert", "--html", "--json", "--transcript", "lipforge evaluate out.mp4"):
        assert word in shown


class Links(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "data")]
        self.open.append(tag)


def test_page_holds_everything_and_loads_nothing(
    clips: Any, judged: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "a page.html"
    for name in ("made/a <b>.mp4", "made/c.mp4", "true/a <b>.mp4", "true/c.mp4"):
        clips(name)
    judged(tmp_path / "made", "--reference-folder", tmp_path / "true", "--html", page)
    text = page.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.loaded
    assert all(link.startswith("data:image/jpeg;base64,") for link in links.loaded)
    assert "url(" not in text
    assert "<script" not in text
    assert "a <b>" not in text
    assert "a &lt;b&gt;" in text
    assert links.open.count("svg") == 2 * 8
    assert links.open.count("img") == 2 * 2 * 12
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", text))
    assert not list(tmp_path.glob(".*.part"))
    assert "2 videos" in capsys.readouterr().out


def test_ctrl_c_writes_nothing(clips: Any, judged: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "observe", interrupted)
    result = CliRunner().invoke(evaluate, [str(clips("one.mp4")), "--json", str(tmp_path / "x.json")])
    assert result.exit_code == 130
    assert "nothing was written" in result.output
    assert not (tmp_path / "x.json").exists()
