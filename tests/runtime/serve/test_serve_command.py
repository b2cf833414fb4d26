"""``lipforge serve`` as a user meets it: errors of one line, a clean end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipforge.kernels.errors import MissingPackageError
from lipforge.runtime import cli
from lipforge.runtime.serve.server import check_packages

TIMEOUT_S = 120

PROGRAM = """
import sys
from lipforge.runtime import cli, faces
faces.face_models = lambda announce=None: None  # a server without avatars finds no faces until a camera comes
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def start(bundle_folder: Path) -> Any:
    """Starts the command in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, "serve", "--model", str(bundle_folder), *words]
        environ = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> str:
    """Return the address that the server tells."""
    timer = threading.Timer(TIMEOUT_S, process.kill)
    timer.start()
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Open (\S+)", line):
                return found[1]
        raise AssertionError("the server did not start")
    finally:
        timer.cancel()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_asked_to_stop(start: Callable[..., Any], number: signal.Signals) -> None:
    process = start("--port", "0")
    address = ready(process)
    with urllib.request.urlopen(f"{address}health", timeout=20) as answer:
        assert answer.read() == b'{"status": "ok"}'
    process.send_signal(number)
    out, rest = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out, rest) == (0, "", "Stopped.\n")


def test_a_port_in_use_is_told_with_what_to_do(start: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        _, told = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    way_out = f"Give another one: --port {port + 1}, or 0 for any that is free."
    assert told == f"Error: port {port} is in use by another program. {way_out}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "no --token was given"),
        (["--token", "short"], "at least 16 characters"),
        (["--certificate", "a.pem"], "belong together"),
        (["--max-sessions", "0"], "max-sessions"),
        (["--port", "70000"], "65535"),
    ],
)
def test_wrong_options_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_missing_package_is_told_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiortc", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'lipforge\[live\]'"):
        check_packages()
