"""``lipforge live`` as a program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import av
import numpy as np
import pytest

from lipforge.runtime.cli import main

MakeVideo = Callable[..., Path]
MakeWav = Callable[..., Path]


@pytest.fixture
def run(
    bundle_folder: Path, disc_tracker: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command with the drawn face's tracker and the tiny bundle; gives the exit code and all that was said."""
    monkeypatch.setattr("lipforge.runtime.faces.FaceTracker", lambda *_, **__: disc_tracker)
    monkeypatch.setattr("lipforge.runtime.faces.face_models", lambda *_: Path())

    def call(*words: object) -> tuple[int, str]:
        code = main(["live", "--model", str(bundle_folder), *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def contents(path: Path) -> tuple[int, float]:
    """Frames, and seconds of sound."""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        return frames, samples / container.streams.audio[0].rate


def test_an_avatar_says_a_file_into_a_file(
    run: Callable[..., tuple[int, str]], picture: Path, make_wav: MakeWav, tmp_path: Path
) -> None:
    start = monotonic()
    code, said = run("--avatar", picture, "--audio", make_wav(seconds=3.0), "-o", tmp_path / "out.mp4")
    assert code == 0
    assert "out.mp4: 75 frames (3.00 s)" in said
    assert "0 dropped" in said
    frames, seconds = contents(tmp_path / "out.mp4")
    assert frames == 75
    assert seconds == pytest.approx(3.0, abs=0.1)
    assert monotonic() - start < 60
    code, said = run("--avatar", picture, "--audio", make_wav(seconds=1.0), "-o", tmp_path / "out.mp4")
    assert code == 2
    assert "is there already" in said


def test_a_camera_and_a_file(
    run: Callable[..., tuple[int, str]], make_video: MakeVideo, make_wav: MakeWav, tmp_path: Path
) -> None:
    code, said = run(
        "--camera",
        make_video(frames=100),
        "--audio",
        make_wav(seconds=1.2),
        "-o",
        tmp_path / "out.mkv",
        "--duration",
        "1",
    )
    assert code == 0, said
    frames, seconds = contents(tmp_path / "out.mkv")
    assert 1 <= frames <= 30  # a machine that has other things to do drops pictures, but no sound
    assert seconds == pytest.approx(1.0, abs=0.3)


def test_raw_samples_from_a_pipe(
    run: Callable[..., tuple[int, str]], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.write(write, np.zeros(15_000, "<i2").tobytes())
    os.close(write)
    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    code, said = run("--avatar", picture, "--pcm", "-", "--rate", "15000", "-o", tmp_path / "out.mp4")
    assert code == 0
    assert contents(tmp_path / "out.mp4")[0] == 25
    assert "No lips were moved" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--camera", "0", "--avatar", "x.png"], "give one face"),
        (["--mic", "--pcm", "-"], "--mic and --pcm: give one voice"),
        (["--mute", "--speaker"], "give one of them"),
        (["--avatar", "none.png", "--pcm", "-", "-o", "out.mp4"], "none.png: no such file"),
        (["--camera", "none.mp4", "--pcm", "-", "-o", "out.mp4"], "none.mp4: cannot be opened"),
        (["--camera", "0", "--size", "big", "--pcm", "-", "-o", "out.mp4"], "--size big"),
    ],
)
def test_bad_words_are_told_in_one_line(run: Callable[..., tuple[int, str]], words: list[str], message: str) -> None:
    code, said = run(*words)
    assert code == 2
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("output", "message"),
    [("out.avi", "must end in"), ("ftp://x/y", "allowed are rtmp://")],
)
def test_bad_outputs(
    run: Callable[..., tuple[int, str]], picture: Path, make_wav: MakeWav, output: str, message: str
) -> None:
    code, said = run("--avatar", picture, "--audio", make_wav(), "-o", output)
    assert code == 2
    assert message in said


PROGRAM = """
import sys
from lipforge.runtime import faces
from lipforge.runtime.cli import main

class Blind:
    track = lambda self, picture: None
    reset = lambda self: None

faces.FaceTracker = lambda *words, **options: Blind()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_whole_file(
    bundle_folder: Path, make_video: MakeVideo, tmp_path: Path, ending: signal.Signals
) -> None:
    """With a program of its own; the pipe never ends, and nothing but the signal can end it."""
    output = tmp_path / "o.mp4"
    words = ["live", "--model", bundle_folder, "--camera", make_video(frames=2000), "--pcm", "-", "-o", output]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while process.poll() is None and not list(tmp_path.glob(".o.mp4.*.part")):
            sleep(0.1)
        sleep(1.0)
        process.send_signal(ending)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "frames" in out
    assert contents(output)[0] > 5
    assert not list(tmp_path.glob(".o.mp4.*"))
