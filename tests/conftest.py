"""Stand-ins for Ascend's tools, for the tests of every folder: an ``acl`` module and an ``atc`` program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FAKES = Path(__file__).parent / "fakes"


def load_fake(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, FAKES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def new_acl() -> Callable[..., Any]:
    """Makes a process's ``acl``: ``new_acl(soc=..., devices=..., elsewhere=..., old=...)``; its ``module`` is acl."""
    load_fake("fake_om"), load_fake("pyacl_contract")  # what fake_acl imports
    make: Callable[..., Any] = load_fake("fake_acl").FakeAcl
    return make


@pytest.fixture
def fake_acl(new_acl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An NPU in this process: ``import acl`` finds a stand-in."""
    fake = new_acl()
    monkeypatch.setitem(sys.modules, "acl", fake.module)
    return fake


@pytest.fixture(scope="session")
def build_om() -> Callable[..., None]:
    """Runs the stand-in for ``atc`` in this process: ``build_om("--model=...", ...)``; SystemExit if it refuses."""

    def build(*words: str) -> None:
        load_fake("fake_atc").main(list(words))

    return build


@pytest.fixture(scope="session")
def atc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in for ``atc`` as a program."""
    program = tmp_path_factory.mktemp("cann") / "atc"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{FAKES / 'fake_atc.py'}' \"$@\"\n")
    program.chmod(0o755)
    return program
