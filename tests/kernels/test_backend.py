from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from lipforge.kernels import backend
from lipforge.kernels.backend import OPS, available, choose
from lipforge.kernels.errors import BackendError
from lipforge.kernels.spec import MelSpec


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Pretend that these packages are not installed, and all others are."""
    monkeypatch.setattr(backend, "find_spec", lambda name: None if name in packages else object())


@pytest.mark.parametrize("op", OPS)
def test_auto_is_numba_and_says_why(op: str) -> None:
    choice = choose(op)
    assert (choice.op, choice.backend) == (op, "numba")
    assert "numba" in choice.reason
    assert "triton" in choice.reason


@pytest.mark.parametrize("op", OPS)
def test_named_backend_is_given_and_works(op: str) -> None:
    for name in ("reference", "numba"):
        choice = choose(op, name)
        assert (choice.backend, choice.reason) == (name, "asked for by name")
        assert callable(choice.load())
        assert name in available(op)


def test_load_gives_the_function_itself() -> None:
    """Nothing stands between a caller and the kernel once the choice is made."""
    from lipforge.kernels.mel import log_mel

    assert choose("mel", "numba").load() is log_mel


def test_reference_and_numba_mel_agree() -> None:
    audio = np.sin(np.arange(5000, dtype=np.float32) / 7)
    first, second = (choose("mel", name).load()(audio, MelSpec()) for name in ("reference", "numba"))
    assert first.dtype == second.dtype == np.float32
    # float32 lanes against float64: a pure tone leaves bands near the floor, where the logarithm is steep.
    assert np.abs(first - second).max() <= 1e-4


@pytest.mark.parametrize(
    ("packages", "line"),
    [
        (("triton",), r"triton is not installed. Install it: pip install 'lipforge\[gpu\]'"),
        (("torch",), r"torch, .*not installed. Install it: pip install 'lipforge\[gpu,train\]'"),
    ],
)
def test_missing_package_is_an_error_that_says_what_to_install(monkeypatch, packages, line) -> None:
    without(monkeypatch, *packages)
    with pytest.raises(BackendError, match=f"The triton backend cannot compute crop here: {line}"):
        choose("crop", "triton")
    assert available("crop") == ("reference", "numba")


@pytest.mark.parametrize("broken", [None, OSError("libcuda.so.1: cannot open\nmore")])
def test_machine_without_a_working_device_is_an_error(monkeypatch, broken) -> None:
    class Launch:
        def accelerator(self) -> None:
            if broken:
                raise broken

    without(monkeypatch)
    monkeypatch.setattr(backend, "import_module", lambda name: Launch())
    with pytest.raises(BackendError, match="libcuda.so.1: cannot open\\)" if broken else "no CUDA or NPU device"):
        choose("mel", "triton")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BackendError, match="no backend 'cuda'; choose one of reference, numba, triton or auto"):
        choose("mel", "cuda")
    for call in (choose, available):
        with pytest.raises(BackendError, match=r"no op 'blur'.*mel, crop, warp"):
            call("blur")


def test_auto_imports_neither_torch_nor_triton() -> None:
    program = """
import sys
from lipforge.kernels.backend import OPS, choose
for op in OPS:
    choose(op).load()
    choose(op, "reference").load()
sys.exit(",".join({"torch", "triton"} & set(sys.modules)) or None)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    not (find_spec("torch") and find_spec("triton")), reason="needs torch and triton: pip install 'lipforge[gpu,train]'"
)
def test_triton_is_offered_exactly_where_it_can_run() -> None:
    """In the interpreter any machine can; without it a tensor on the CPU is refused, not computed elsewhere."""
    program = """
import os, sys
import numpy as np
from lipforge.kernels.backend import available, choose
from lipforge.kernels.errors import BackendError
if "TRITON_INTERPRET" in os.environ:
    assert available("crop") == ("reference", "numba", "triton")
    assert choose("crop", "triton").load().__module__ == "lipforge.kernels.crop.triton_crop"
    sys.exit()
import torch
from lipforge.kernels.crop.triton_crop import crop_batch
assert ("triton" in available("crop")) == torch.cuda.is_available()
try:
    crop_batch(torch.zeros((1, 9, 9, 3), dtype=torch.uint8), np.eye(3)[None, :2], 4)
except BackendError as error:
    assert "images is on cpu" in str(error), error
else:
    sys.exit("a tensor on the CPU was taken")
"""
    environ = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    for extra in ({"TRITON_INTERPRET": "1"}, {}):
        command = [sys.executable, "-c", program]
        environ["PYTHONSAFEPATH"] = "1"
        done = subprocess.run(
            command, env={**environ, **extra}, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
