"""What tests of more than one folder share: stand-ins for Ascend's ``acl`` and ``atc``, and golden weights."""

from __future__ import annotations

import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch

FAKES = Path(__file__).parent / "fakes"


@pytest.fixture(scope="session", autouse=True)
def usual_ctrl_c() -> Iterator[None]:
    """Python's own handler, here and in what tests start; a shell lets background processes ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def golden_tensor(key: str, shape: tuple[int, ...], gain: float) -> torch.Tensor:
    """Make the weights that the golden outputs were computed with: a function of the key alone."""
    import torch

    random = np.random.default_rng(zlib.crc32(f"lipforge-golden-v1/{key}".encode()))
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if key.endswith("running_mean"):
        values = random.normal(0, 0.1, shape)
    elif key.endswith("running_var") or (len(shape) == 1 and key.endswith(".weight")):
        values = random.uniform(0.5, 1.1, shape)
    elif len(shape) == 1:
        values = random.normal(0, 0.05, shape)
    else:
        values = random.normal(0, gain * np.sqrt(2 / np.prod(shape[1:])), shape)
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="session")
def golden_weights() -> Callable[..., dict[str, torch.Tensor]]:
    """Makes the weights for a network of any size: ``golden_weights(network, gain=0.55)``."""

    def make(network: torch.nn.Module, gain: float = 0.55) -> dict[str, torch.Tensor]:
        return {key: golden_tensor(key, tuple(value.shape), gain) for key, value in network.state_dict().items()}

    return make
