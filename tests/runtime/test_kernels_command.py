from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels import catalogue
from lipforge.kernels.machine_code import Kernel, store
from lipforge.runtime.cli import main
from lipforge.runtime.commands.progress import announce_compiling


@pytest.fixture(autouse=True)
def one_kernel_and_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel("lipforge.kernels.mel.numba_emphasis:first_bad_sample", "int64(float32[::1])")
    monkeypatch.setattr(catalogue, "OPS", ("mel",))
    monkeypatch.setattr(catalogue, "kernels_of", lambda op: (kernel,))
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path))
    return kernel


def test_compile_makes_what_is_missing_and_says_where(
    one_kernel_and_no_cache: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not one_kernel_and_no_cache.ready
    assert main(["kernels", "compile"]) == 0
    assert one_kernel_and_no_cache.ready
    shown = capsys.readouterr()
    assert shown.out.startswith("1 kernels compiled in ")
    assert shown.out.endswith(f"All 1 kernels are in {store.folder()}\n")
    assert "compiling kernels 100%" in shown.err
    assert main(["kernels", "compile"]) == 0
    assert capsys.readouterr().out == f"All 1 kernels are in {store.folder()}\n"


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path / "file"))
    assert main(["kernels", "compile"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert "Name another one in the environment variable LIPFORGE_CACHE." in last


def test_compiling_is_announced_once(
    one_kernel_and_no_cache: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("lipforge.kernels.machine_code")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    announce_compiling()
    announce_compiling()
    assert one_kernel_and_no_cache(np.zeros(1, np.float32)) == -1
    expected = "lipforge: compiling mel.numba_emphasis.first_bad_sample for this CPU, once\n"
    assert capsys.readouterr().err == expected
    assert replace(one_kernel_and_no_cache)(np.zeros(1, np.float32)) == -1
    assert capsys.readouterr().err == ""
