from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lipforge.export.cli import export
from lipforge.kernels.errors import InputError


def run(*words: object) -> Result:
    return CliRunner().invoke(export, [str(word) for word in words])


def test_checkpoints_may_follow_the_command_at_once(audio2lips: Path, warp: Path, tmp_path: Path) -> None:
    output = tmp_path / "it's a bundle"
    result = run("--target", "onnx", audio2lips, warp, "-o", output)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == str(output)
    assert "warp: opset 17" in result.output
    assert (output / "manifest.json").is_file()


def test_the_command_can_be_spelt_out(audio2lips: Path, warp: Path, tmp_path: Path) -> None:
    result = run("write", audio2lips, warp, "-o", tmp_path / "bundle", "--name", "mine", "--opset", "16")
    assert result.exit_code == 0, result.output
    result = run("inspect", tmp_path / "bundle")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("mine: generator warp, 25 frames a second, look-ahead 125 ms\n")
    assert "warp: opset 16" in result.output
    assert "audio2lips from step 7" in result.output


def test_verify_prints_every_output(bundle: Path) -> None:
    result = run("verify", bundle)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"{bundle}: verified"
    assert "warp.flow batch 3: max " in result.output


def test_errors_reach_the_command_line_as_they_are(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "-o", tmp_path / "bundle")
    assert isinstance(result.exception, InputError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        ([], 2, "Usage: "),
        (["--help"], 0, "verify"),
        (["write", "--help"], 0, "--tolerance"),
        (["run"], 2, "Missing option '-o'"),
        (["run", "-o", "x", "--tolerance", "0"], 2, "--tolerance"),
    ],
)
def test_usage(words: list[str], exit_code: int, message: str) -> None:
    result = run(*words)
    assert result.exit_code == exit_code
    assert message in result.output
