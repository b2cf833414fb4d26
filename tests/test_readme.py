"""What the documents tell people to type is true: commands parse, the cheap ones run, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lipforge.runtime import cli

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 200
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CHEAP = {("lipforge", "models", "list"), ("lipforge", "--help"), ("make",), ("make", "help")}
"""Commands that are also run: they are quick, and write nothing."""

KNOWN_PROGRAMS = {
    "lipforge",
    "make",
    "pip",
    "python",
    "python3",
    "git",
    "cd",
    "source",
    "pytest",
    "npu-smi",
    "openssl",
    "curl",
    "ffmpeg",
    "torchrun",
}


def shell_lines(document: Path) -> list[str]:
    """The commands of a document's ```sh blocks, continued lines joined, comments gone."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


COMMANDS = [
    pytest.param(tuple(shlex.split(part, comments=True)), id=f"{document.name}: {part.strip()}")
    for document in DOCUMENTS
    for line in shell_lines(document)
    for part in line.split("&&")
]


def test_readme_shows_the_commands_that_a_newcomer_needs() -> None:
    shown = "\n".join(shell_lines(ROOT / "README.md"))
    for needed in ("make demo", "make test", "lipforge sync", "lipforge train", "lipforge export", "lipforge doctor"):
        assert needed in shown


@pytest.mark.parametrize("words", COMMANDS)
def test_command_parses(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] == "torchrun":  # its own options are few; what it starts is ours
        assert words[1:5] == ("--standalone", "--nproc-per-node", "8", "--no-python")
        words = words[5:]
    program, arguments = words[0], list(words[1:])
    assert program in KNOWN_PROGRAMS, f"{program}: is it a command that a reader has?"
    if program == "torchrun":
        program, arguments = "lipforge", arguments[arguments.index("lipforge") + 1 :]
    if program == "lipforge":
        # Parsing goes all the way down; only the bodies do not run.
        monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
        assert cli.main(arguments) == 0
    elif program == "make":
        assert not set(arguments) & {"-n", "-C"}
        dry = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert dry.returncode == 0, dry.stderr
    elif program == "pip":
        extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
        named = {
            extra for word in arguments for found in re.findall(r"\[([\w,]+)\]", word) for extra in found.split(",")
        }
        assert named <= extras


@pytest.mark.parametrize("words", [case for case in COMMANDS if case.values[0] in CHEAP])
def test_cheap_command_runs(words: tuple[str, ...]) -> None:
    program = {"lipforge": [sys.executable, "-m", "lipforge.runtime.cli"], "make": [shutil.which("make") or "make"]}
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = [*program[words[0]], *words[1:]]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s#]+)", text) + re.findall(r'src="([^"]+)"', text)
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_map_of_the_folders_is_true(document: str) -> None:
    """Every path in backticks that starts with a stage's name exists."""
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`((?:kernels|runtime|preprocess|train|export|tests|benchmarks|docs)/[\w./-]*)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
