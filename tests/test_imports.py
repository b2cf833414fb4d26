"""Which module may import which: found by reading the sources, and by importing everything in fresh processes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ("kernels", "runtime", "preprocess", "train", "export")
"""In the order of import: a stage may import itself and those before it."""

TIMEOUT_S = 120
LONGEST_FILE_LINES = 400
DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc", "core"}
"""Names that say nothing about what is inside."""


def sources(*folders: str) -> list[Path]:
    """Every module but those of the triton backend, which has tests of its own below."""
    return [path for path in all_sources(*folders) if not path.name.startswith("triton_")]


def all_sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("lipforge", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def imported_names(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports anywhere, relative ones resolved."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def run_python(program: str, *, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # Safe path and another folder than the root: only the installed package can be found.
    environ = {**os.environ, "PYTHONSAFEPATH": "1", **(environ or {})}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environ, check=False)


def test_the_scan_sees_relative_absolute_and_nested_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "runtime" / "faces" / "mesh.py"
    path.parent.mkdir(parents=True)
    path.write_text("import numpy.linalg\nfrom ..bundle import Bundle\ndef f():\n    from lipforge.train import loop\n")
    assert list(imported_names(path)) == ["numpy.linalg", "lipforge.runtime.bundle.Bundle", "lipforge.train.loop"]


@pytest.mark.parametrize("stage", STAGES)
def test_imports_point_one_way(stage: str) -> None:
    allowed = set(STAGES[: STAGES.index(stage) + 1])
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in all_sources(stage)
        for name in imported_names(path)
        if name.startswith("lipforge.") and name.split(".")[1] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("stages", "banned"),
    [
        (("kernels",), {"torch", "onnx", "onnxruntime", "cv2", "av", "click"}),
        (("runtime", "preprocess"), {"torch", "onnx", "omegaconf", "tensorboard"}),
    ],
)
def test_stages_do_without_foreign_packages(stages: tuple[str, ...], banned: set[str]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(*stages)
        for name in imported_names(path)
        if name.partition(".")[0] in banned
    ]
    assert not wrong


def test_runtime_kernels_and_preprocess_import_with_heavy_packages_blocked() -> None:
    modules = [module_name(path) for path in sources("kernels", "runtime", "preprocess") if path.name != "__main__.py"]
    program = f"""
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"torch", "onnx", "triton", "torch_npu", "omegaconf", "tensorboard", "PIL"}}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
for module in {modules!r}:
    importlib.import_module(module)
"""
    done = run_python(program)
    assert done.returncode == 0, done.stderr


def test_only_triton_modules_import_triton_and_only_they_are_imported_by_name() -> None:
    """The triton backend may import torch; so nothing else may import it, except through a string when asked for."""
    foreign = [path for path in all_sources("kernels") if path.name.startswith("triton_")]
    assert {path.name for path in foreign} >= {"triton_mel.py", "triton_crop.py", "triton_warp.py"}
    names = {module_name(path) for path in foreign}
    for path in sources(*STAGES):
        for name in imported_names(path):
            assert name.partition(".")[0] != "triton", path
            assert not any(name == other or name.startswith(f"{other}.") for other in names), path
    allowed = {"torch", "triton", "numpy", "lipforge", *sys.stdlib_module_names}
    for path in foreign:
        assert {name.partition(".")[0] for name in imported_names(path)} <= allowed, path


def test_importing_everything_prints_nothing_and_leaves_no_bare_stage_name() -> None:
    modules = [module_name(path) for path in sources(*STAGES) if path.name != "__main__.py"]
    program = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
sys.exit(",".join(sorted(set({STAGES!r}) & set(sys.modules))) or None)
"""
    done = run_python(program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_help_imports_nothing_heavy() -> None:
    program = """
import sys
from lipforge.runtime.cli import COMMANDS, main
assert main(["--help"]) == 0
heavy = {"torch", "numba", "numpy", "cv2", "av", "onnx", "onnxruntime", "rich"} & set(sys.modules)
heavy |= {entry.target.partition(":")[0] for entry in COMMANDS.values()} & set(sys.modules)
sys.exit(",".join(sorted(heavy)) or None)
"""
    done = run_python(program)
    assert done.returncode == 0, done.stderr


def test_files_are_short_and_named_for_what_they_hold() -> None:
    paths = all_sources(*STAGES, "tests", "benchmarks")
    long = [path.relative_to(ROOT) for path in paths if len(path.read_bytes().splitlines()) > LONGEST_FILE_LINES]
    drawers = [path.relative_to(ROOT) for path in paths if {path.stem, path.parent.name} & DRAWERS]
    assert (long, drawers) == ([], [])


def test_tests_are_not_packages() -> None:
    # With an __init__.py (or a conftest.py at the root) pytest would put the root on sys.path: bare `kernels` appears.
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not (ROOT / "conftest.py").exists()
    assert not (ROOT / "__init__.py").exists()
