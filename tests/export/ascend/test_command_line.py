from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipforge.export import export_bundle
from lipforge.export.ascend.target import AscendOptions
from lipforge.export.export_bundle import ExportRequest
from lipforge.kernels.errors import ExportError
from lipforge.runtime.cli import main
from lipforge.runtime.manifest import Manifest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``lipforge export ...``; returns exit code, output and messages."""

    def command(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["export", *(str(word) for word in words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_without_atc_the_bundle_is_written_and_the_command_says_how_to_go_on(
    run: Run, bundle: Path, tmp_path: Path, no_atc: None
) -> None:
    code, out, err = run(bundle, "--target", "ascend-om", "-o", tmp_path / "npu")
    assert code == 0
    assert "Ascend310P3: batches of 1, 4, 8, precision fp16, operators of cann-onnx-plugins 2026-08" in out
    assert "  audio2lips: float16 moves lips " in out
    assert "bundle only, not converted: run its convert.sh where CANN is installed" in out
    assert out.splitlines()[-1] == str(tmp_path / "npu")
    assert "warning: ASC010 warp: reference: the input is uint8" in err


def test_require_om_makes_that_a_failure_of_its_own(run: Run, bundle: Path, tmp_path: Path, no_atc: None) -> None:
    code, out, _ = run(bundle, "--target", "ascend-om", "--require-om", "-o", tmp_path / "npu")
    assert code == 3
    assert "bundle only" in out
    assert (tmp_path / "npu" / "convert.sh").is_file()


def test_with_atc_on_path_the_bundle_is_converted(
    run: Run, bundle: Path, atc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{atc.parent}{os.pathsep}{os.environ['PATH']}")
    words = (bundle, "--target", "ascend-om", "--soc", "Ascend310B4", "--batch", "2,6", "--precision", "mixed")
    code, out, err = run(*words, "--require-om", "-o", tmp_path / "npu", "--name", "mine")
    assert code == 0, err
    assert "converted for Ascend310B4: audio2lips.om, warp.om" in out
    assert f"converting warp for Ascend310B4 with {atc}" in err
    code, out, _ = run("inspect", tmp_path / "npu")
    assert code == 0
    assert out.startswith("mine: generator warp")
    assert "Ascend310B4: batches of 2, 6, precision mixed" in out
    code, out, _ = run(*words, "--no-atc", "--overwrite", "-o", tmp_path / "npu")
    assert "bundle only" in out


def test_a_shipped_bundle_can_be_given_by_name(run: Run, tmp_path: Path, no_atc: None) -> None:
    code, out, err = run("synth-warp", "--target", "ascend-om", "--static", "--aipp", "-o", tmp_path / "npu")
    assert code == 0, err
    assert "Ascend310P3: batch 1, precision fp16" in out
    assert "  warp: AIPP prepares reference" in out
    assert Manifest.read(tmp_path / "npu").name == "synth-warp"


def test_the_words_reach_the_export_of_checkpoints(
    run: Run, atc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[ExportRequest] = []

    def stop(request: ExportRequest) -> None:
        requests.append(request)
        raise ExportError("far enough")

    monkeypatch.setattr(export_bundle, "export_bundle", stop)
    words = ("--target", "ascend-om", "--atc", atc, "--batch", "2,3", "--float-inputs", "--fp16-budget", "0.5")
    code, _, err = run("some", "runs", *words, "--opset", "16", "-o", tmp_path / "npu")
    assert (code, err) == (2, "Error: far enough\n")
    request = requests[0]
    assert (request.target, request.opset, request.checkpoints) == ("ascend-om", 16, (Path("some"), Path("runs")))
    expected = AscendOptions(gears=(2, 3), atc=atc, float_inputs=True, fp16_budget=0.5)
    assert request.options.ascend == expected


def test_another_table_of_operators_is_obeyed(run: Run, bundle: Path, tmp_path: Path, no_atc: None) -> None:
    table = tmp_path / "table.json"
    old = {"schema": 1, "kind": "lipforge-ascend-operators", "name": "old", "date": "2022", "provenance": []}
    table.write_text(json.dumps(old | {"opsets": [11, 13], "operators": {}}))
    code, _, err = run(bundle, "--target", "ascend-om", "--ops-table", table, "-o", tmp_path / "npu")
    assert code == 2
    lines = err.splitlines()
    assert lines[0] == "Error: not fit for an Ascend NPU; nothing was written."
    assert lines[1].startswith("  ASC001 audio2lips: the file has opset 17, ATC knows 11 to 13")
    assert not (tmp_path / "npu").exists()


def test_the_selftest_prints_its_report(run: Run, converted: Path, fake_acl: Any) -> None:
    code, out, _ = run("selftest", converted, "--runs", 1)
    assert code == 0
    assert "acl warp.flow batch 4" in out
    fake_acl.fail("mdl.execute", 507011)
    code, out, _ = run("selftest", converted, "--runs", 1)
    assert code == 1
    assert "result: FAILED at acl: audio2lips" in out


def test_verify_can_name_the_npu(run: Run, converted: Path, fake_acl: Any) -> None:
    code, out, _ = run("verify", converted, "--backend", "acl")
    assert code == 0
    assert "warp.flow batch 4: max" in out
    code, out, _ = run("verify", converted)
    assert "warp.flow batch 3: max" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "onnx", "--soc", "Ascend310P3"], "--soc: only for --target ascend-om, not for onnx."),
        (["--target", "ascend-om", "--static", "--batch", "4"], "--static and --batch contradict each other"),
        (["--target", "ascend-om", "--no-atc", "--require-om"], "--no-atc and --require-om contradict each other"),
        (["--target", "ascend-om", "--batch", "1,x"], "--batch 1,x: must be whole numbers"),
        (["--target", "ascend-om", "--soc", "310P3"], "--soc 310P3: is not a chip that atc knows"),
        (["--target", "ascend-om", "--atc", "/no/atc"], "--atc /no/atc: is not a program"),
        (["--target", "ascend-om", "--opset", "16"], "--opset: a bundle keeps its own"),
        (["--target", "ascend-om", "--precision", "int8"], "--precision"),
        (["--target", "ascend-om", "--fp16-budget", "0"], "--fp16-budget"),
    ],
)
def test_words_that_cannot_be_are_one_line(
    run: Run, bundle: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    code, _, err = run(bundle, *words, "-o", tmp_path / "npu")
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


def test_the_help_marks_what_belongs_to_the_target(run: Run) -> None:
    code, out, _ = run("write", "--help")
    assert code == 0
    assert out.count("(ascend-om)") == 11
