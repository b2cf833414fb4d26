from __future__ import annotations

import pytest
import torch

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.train.device import open_device


def test_cpu() -> None:
    device = open_device("cpu")
    assert device.torch_device == torch.device("cpu")
    assert device.memory_format == torch.channels_last
    assert not device.grad_scaler().is_enabled()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:0:1"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(ConfigError, match="allowed are auto, cpu"):
        open_device(name)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="an accelerator is here, so naming one may succeed")
@pytest.mark.parametrize(("name", "remedy"), [("cuda", "CUDA build"), ("npu:1", "torch_npu"), ("mps", "Apple")])
def test_missing_device_says_what_to_install(name: str, remedy: str) -> None:
    with pytest.raises(BackendError, match=remedy):
        open_device(name)
    assert open_device("auto").torch_device.type == "cpu"


def test_unknown_precision() -> None:
    with pytest.raises(ConfigError, match="bf16"):
        open_device("cpu", "fp8")


def test_random_state_round_trip() -> None:
    device = open_device("cpu")
    state = device.random_state()
    first = torch.rand(3)
    device.set_random_state(state)
    assert torch.equal(torch.rand(3), first)


def test_layout_of_filters() -> None:
    network = open_device("cpu").place(torch.nn.Conv2d(4, 8, 3))
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
