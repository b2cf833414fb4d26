"""What is built and shipped: the wheel holds the package and nothing else, and works without the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).parents[1]
STAGES = ("kernels", "runtime", "preprocess", "train", "export")
LEFTOVERS = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "build", "dist", "out", "runs", "data")
TIMEOUT_S = 240


def run(*command: str | Path, cwd: Path) -> str:
    environ = {**os.environ, "PYTHONSAFEPATH": "1", "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build_wheel(source: Path, out: Path) -> Path:
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", out, source, cwd=out.parent)
    (wheel,) = out.glob("*.whl")
    return wheel


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in it, in a folder whose name has a space."""
    target = tmp_path_factory.mktemp("build") / "a checkout"
    # data, out and runs can be huge, and are left out; a stage may have a folder of such a name all the same.
    shutil.copytree(ROOT, target, ignore=lambda at, names: LEFTOVERS(at, names) if Path(at) == ROOT else _caches(names))
    return target


def _caches(names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    return build_wheel(tree, tree.parent / "wheel")


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    out = tree.parent / "sdist"
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", out, tree, cwd=tree.parent)
    (archive,) = out.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The wheel in a folder of its own, beside the dependencies of this environment."""
    target = wheel.parent / "installed"
    run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--target", target, wheel, cwd=wheel.parent
    )
    return target


def on_disk(tree: Path) -> set[str]:
    paths = (path for stage in STAGES for path in (tree / stage).rglob("*") if path.is_file())
    return {f"lipforge/{path.relative_to(tree).as_posix()}" for path in paths}


def test_wheel_holds_every_file_of_the_stages_and_nothing_else(tree: Path, wheel: Path) -> None:
    found = {name for name in members(wheel) if ".dist-info/" not in name}
    assert found == on_disk(tree)
    assert {"lipforge/kernels/py.typed", "lipforge/runtime/assets/sample_voice.wav"} <= found


def test_wheel_has_one_top_level_name_and_the_licence(wheel: Path) -> None:
    names = members(wheel)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lipforge"}
    assert {name.split("/")[-1] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_sdist_builds_the_same_wheel(tree: Path, wheel: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    source = sdist.parent / sdist.name.removesuffix(".tar.gz")
    assert members(build_wheel(source, tree.parent / "wheel of the sdist")) == members(wheel)
    for folder in ("tests", "benchmarks", "docs"):
        kept = {path.relative_to(source) for path in (source / folder).rglob("*") if path.is_file()}
        assert kept == {path.relative_to(tree) for path in (tree / folder).rglob("*") if path.is_file()}


def test_assets_open_from_the_installed_wheel(installed: Path) -> None:
    program = f"""
import sys
sys.dont_write_bytecode = True
from importlib.resources import files
sys.path.insert(0, {str(installed)!r})
# The editable installation of a checkout would otherwise answer first.
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
opened = 0
for stage in {STAGES!r}:
    waiting = [files("lipforge." + stage)]
    while waiting:
        for entry in waiting.pop().iterdir():
            if entry.is_dir():
                waiting.append(entry)
            elif not entry.name.endswith(".py") and entry.name != "py.typed":
                assert {str(installed)!r} in str(entry), entry
                assert entry.read_bytes(), entry
                opened += 1
print(opened)
"""
    shipped = [path for path in installed.glob("lipforge/**/*") if path.is_file() and path.suffix != ".py"]
    assets = [path for path in shipped if path.name != "py.typed"]
    assert int(run(sys.executable, "-c", program, cwd=installed)) == len(assets) > 0


def test_command_runs_from_the_installed_wheel(installed: Path) -> None:
    program = f"""
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(installed)!r})
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
from lipforge.runtime import cli
assert cli.__file__.startswith({str(installed)!r}), cli.__file__
sys.exit(cli.main(["sync", "--help"]))
"""
    assert "--audio" in run(sys.executable, "-c", program, cwd=installed)


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_base_installation_is_lean_and_torch_is_bounded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=;~! ]", line)[0].lower() for line in requirements}

    heavy = {"torch", "torch_npu", "onnx", "triton", "scipy", "librosa", "transformers", "tensorboard", "pytest"}
    assert not names(project["dependencies"]) & heavy
    torch = [line for extra in project["optional-dependencies"].values() for line in extra if line.startswith("torch>")]
    assert torch
    assert all("<" in line for line in torch), torch


def test_extras_that_messages_name_exist() -> None:
    from lipforge.runtime.packages import EXTRA_OF

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(re.findall(r"^(\w+) = \[", text.partition("[project.optional-dependencies]")[2], re.MULTILINE))
    assert {extra for named in EXTRA_OF.values() for extra in named.split(",")} <= extras
    sources = [path for stage in STAGES for path in (ROOT / stage).rglob("*.py")]
    named = {
        extra
        for path in sources
        for words in re.findall(r"lipforge\[([\w,]+)\]", path.read_text(encoding="utf-8"))
        for extra in words.split(",")
    }
    assert named <= extras


def test_no_text_names_a_machine() -> None:
    """Paths of somebody's machine: whoever reads the file has no such folder."""
    # Put together here, so that this file is no hit of its own.
    words = [f"/{top}/" + rest for top, rest in (("home", ""), ("root", ""), ("Users", ""), ("work", "main"))]
    words.append("../" + "shared")
    top_level = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml", ".ci/run")
    folders = (*STAGES, "tests", "benchmarks", "docs")
    paths = [ROOT / name for name in top_level]
    paths += [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in _TEXT and p.is_file()]
    hits = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in paths
        for word in words
        if word in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert not hits


_TEXT = {".py", ".md", ".yaml", ".json", ".toml", ".txt", ".sh"}
