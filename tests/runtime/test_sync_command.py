"""The command: exit codes, one-line errors, Ctrl-C in a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from lipforge.runtime.cli import main
from lipforge.runtime.commands.progress import progress_shown
from lipforge.runtime.commands.sync import sync

MakeFile = Callable[..., Path]


def test_help_names_every_option() -> None:
    result = CliRunner().invoke(sync, ["--help"])
    assert result.exit_code == 0
    for option in ("--face", "--audio", "--output", "--model", "--keep-tail", "--overwrite", "--crf", "--threads"):
        assert option in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--face": "none.mp4"}, "no such file"),
        ({"--audio": "none.wav"}, "no such file"),
        ({"--model": "no-such-model"}, "no such bundle"),
        ({"--model": "notes.txt"}, "is a file; a bundle is a folder"),
        ({"-o": "none/out.mp4"}, "folder .* is missing"),
        ({"--face": "notes.txt"}, "cannot be read as video"),
        ({"--audio": "notes.txt"}, "cannot be read as video or sound"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_code_2(
    change: dict[str, str],
    message: str,
    make_video: MakeFile,
    make_wav: MakeFile,
    bundle_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello\n" * 100)
    options = {
        "--face": str(make_video()),
        "--audio": str(make_wav()),
        "-o": "out.mp4",
        "--model": str(bundle_folder),
    } | change
    assert main(["sync", *(word for pair in options.items() for word in pair)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert not (tmp_path / "out.mp4").exists()


PROGRAM = """
import sys, importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("fixtures", sys.argv[1])
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)

from lipforge.kernels.spec import CropSpec, LipSpec
import lipforge.runtime.sync as engine
engine._face_tracker = lambda bundle, say: fixtures.DiscTracker(CropSpec(), LipSpec())
from lipforge.runtime.commands.sync import sync

sync(sys.argv[2:])
"""


def start(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    fixtures = Path(__file__).with_name("conftest.py")
    return subprocess.Popen(
        [sys.executable, "-P", str(program), str(fixtures), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def test_ctrl_c_half_way_exits_130_and_leaves_nothing(
    make_video: MakeFile, make_wav: MakeFile, bundle_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    face, voice = str(make_video()), str(make_wav(seconds=120))
    out = str(folder / "out.mp4")
    process = start(tmp_path, "--face", face, "--audio", voice, "-o", out, "--model", str(bundle_folder))
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size > 0 for file in folder.iterdir()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == f"Interrupted: {out} was not written."
    assert "Traceback" not in errors
    assert os.listdir(folder) == []


def test_a_run_reports_on_one_line_with_plain_progress(
    make_video: MakeFile, make_wav: MakeFile, bundle_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    words = ["--face", str(make_video()), "--audio", str(make_wav(seconds=0.8)), "-o", str(out)]
    process = start(tmp_path, *words, "--model", str(bundle_folder))
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert output.startswith(f"{out}: 20 frames (0.80 s), 20 synced; ")
    assert errors.splitlines() == [f"syncing {percent}%" for percent in range(10, 101, 10)]
    assert out.stat().st_size > 1000


def test_progress_without_a_known_end_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_shown("working") as show:
        for done in range(5):
            show(done, 0)
    assert capsys.readouterr().err == ""
