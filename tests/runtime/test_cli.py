"""The command line as a user meets it: exit codes, one-line errors, and what is imported when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime import cli, packages

TIMEOUT_S = 60
LIPFORGE = [sys.executable, "-m", "lipforge.runtime.cli"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}
    return subprocess.run([*LIPFORGE, *words], capture_output=True, text=True, timeout=TIMEOUT_S, env=environ)


@pytest.fixture
def fake_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Put a command named `fake` into the table whose body is the given function."""

    def install(body: Callable[[], object]) -> None:
        @click.command("fake")
        def fake() -> object:
            return body()

        monkeypatch.setitem(sys.modules, "module_of_fake", SimpleNamespace(fake=fake))
        monkeypatch.setitem(cli.COMMANDS, "fake", cli.Entry("module_of_fake:fake", "A command of this test."))

    return install


def _raise(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


def every_command(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from every_command((*path, name), child)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_below_it_loads_and_has_readable_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = cli.lipforge.get_command(click.Context(cli.lipforge), name)
    assert command is not None
    for path in every_command((name,), command):
        assert cli.main([*path, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "--debug" in shown
        assert "\\b" not in shown  # click's mark for text that keeps its lines, in a docstring that is raw
        assert len(shown.split("Options:")[0].split()) > 6, f"{path} says nothing about itself"


def test_help_lists_every_command_with_the_text_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, entry in cli.COMMANDS.items():
        assert f"{name} {entry.help}" in shown


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lipforge {version('lipforge')}\n"


def test_wrong_command_names_the_nearest() -> None:
    done = run("trian")
    assert done.returncode == 2
    assert "No such command 'trian'. Did you mean 'train'?" in done.stderr


def test_word_like_no_command_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["xyzzy"]) == 2
    assert ", ".join(cli.COMMANDS) in capsys.readouterr().err


def test_user_error_is_one_line_and_2(fake_command: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    fake_command(_raise(InputError("a.mp4: there is no such file.")))
    assert cli.main(["fake"]) == 2
    assert capsys.readouterr() == ("", "Error: a.mp4: there is no such file.\n")


@pytest.mark.parametrize("words", [["--debug", "fake"], ["fake", "--debug"]])
def test_debug_before_or_after_the_command_adds_the_traceback(
    words: list[str], fake_command: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_command(_raise(InputError("no sound")))
    assert cli.main(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("Error: no sound\n")


def test_debug_is_taken_by_nested_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "warp", "--debug", "--help"]) == 0
    assert "--debug" in capsys.readouterr().out


def test_fault_of_lipforge_is_1_and_says_so(fake_command: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    fake_command(_raise(KeyError("lips")))
    assert cli.main(["fake"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Error: KeyError: 'lips' (a fault in lipforge")
    assert shown.count("\n") == 1


def test_operating_system_error_names_the_file(fake_command: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    fake_command(lambda: Path("not-there").read_bytes())
    assert cli.main(["fake"]) == 2
    assert capsys.readouterr().err == "Error: not-there: No such file or directory.\n"


def test_missing_optional_package_gives_the_pip_line(
    fake_command: Callable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # Python's own way to say that an import shall fail
    fake_command(lambda: __import__("torch.nn"))
    assert cli.main(["fake"]) == 2
    assert "pip install 'lipforge[train,export]'" in capsys.readouterr().err


def test_torch_npu_without_cann_is_explained(fake_command: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    fake_command(_raise(RuntimeError("Failed to load the backend extension: torch_npu. ... with "
                                     "TORCH_DEVICE_BACKEND_AUTOLOAD=0.")))  # fmt: skip
    assert cli.main(["fake"]) == 2
    assert "set_env.sh" in capsys.readouterr().err


def test_ctrl_c_is_130_and_one_line(fake_command: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    fake_command(_raise(KeyboardInterrupt()))
    assert cli.main(["fake"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for other processes")
def test_signal_in_a_real_process_leaves_no_traceback() -> None:
    program = """
import sys, time, types, click
from lipforge.runtime import cli
@click.command("wait")
def wait():
    click.echo("ready")
    time.sleep(60)
sys.modules["waiting"] = types.SimpleNamespace(wait=wait)
cli.COMMANDS["wait"] = cli.Entry("waiting:wait", "")
sys.exit(cli.main(["wait"]))
"""
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, shown.strip()) == (130, "Interrupted.")


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX pipes")
def test_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*LIPFORGE, "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=TIMEOUT_S, text=True)
    os.close(writer)
    assert done.stderr == ""


def test_help_is_cheap_next_to_numpy() -> None:
    """A ratio, not a time, so that a slow machine does not fail it: importing numpy is known to all."""

    def seconds(command: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        return time.perf_counter() - start

    # In turn, so that a busy moment hits both; the fastest is the one that nothing disturbed.
    times = [(seconds([*LIPFORGE, "--help"]), seconds([sys.executable, "-c", "import numpy"])) for _ in range(5)]
    fastest_help, fastest_numpy = (min(column) for column in zip(*times, strict=True))
    assert fastest_help < 2.0 * fastest_numpy


def test_require_returns_the_module_and_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages.require("numpy.linalg").__name__ == "numpy.linalg"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(packages.MissingPackageError, match=r"pip install 'lipforge\[export\]'"):
        packages.require("onnx")
    with pytest.raises(packages.MissingPackageError, match=r"no_such_package.*'lipforge\[live\]'"):
        packages.require("no_such_package", extra="live")


def test_require_leaves_a_broken_package_s_own_error_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        packages.require("half_installed", extra="dev")
