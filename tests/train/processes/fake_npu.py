"""Trains on a CPU, then on a device called ``npu`` that computes on the CPU, through the real command line.

    python -P fake_npu.py FRAME_FOLDERS RUNS

torch lets a Python module stand for an accelerator once a process ("PrivateUse1", torch 2.13). Tensors of the fake are
wrappers around CPU tensors, and every operator unwraps, computes and wraps again. Whatever a trainer leaves on the
CPU, moves too late or asks of the wrong device fails here as it would on an Ascend NPU. It proves the plumbing, not
the NPU's arithmetic: casts of autocast are left out, and page-locked memory and collectives are not imitated.

Prints JSON: exit codes, and the names of tensors that differ between the two devices' checkpoints.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as tree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

STEPS = 3
CALLS: set[str] = set()


class FakeNpu:
    """What ``torch.npu`` has to offer; notes what is called."""

    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    is_initialized = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    get_amp_supported_dtype = staticmethod(lambda: [torch.float16, torch.bfloat16])
    is_bf16_supported = staticmethod(lambda: True)
    manual_seed_all = staticmethod(lambda seed: CALLS.add("manual_seed_all"))
    synchronize = staticmethod(lambda device=None: CALLS.add("synchronize"))
    get_rng_state = staticmethod(lambda device=None: torch.zeros(16, dtype=torch.uint8))
    set_rng_state = staticmethod(lambda state, device=None: CALLS.add("set_rng_state"))


class NpuTensor(torch.Tensor):
    """A tensor that says it is on the NPU."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> NpuTensor:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device("npu:0"),
        )
        made.raw = raw
        return made  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(cls, operator: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        return compute(operator, arguments, options or {})


def unwrap(value: Any) -> Any:
    if isinstance(value, NpuTensor):
        return value.raw
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == "npu" else value


def compute(operator: Any, arguments: Any, options: Any) -> Any:
    target = options.get("device")
    to_cpu = isinstance(target, torch.device) and target.type == "cpu"
    plain_arguments, plain_options = tree.tree_map(unwrap, (arguments, options))
    result = operator(*plain_arguments, **plain_options)
    if operator is torch.ops.aten._local_scalar_dense.default:
        return result
    if operator._schema.is_mutable and operator._schema.name.endswith("_"):
        return arguments[0] if operator._schema.returns else None

    def wrap(value: Any) -> Any:
        return NpuTensor(value) if isinstance(value, torch.Tensor) and not isinstance(value, NpuTensor) else value

    return result if to_cpu else tree.tree_map(wrap, result)


def install() -> torch.library.Library:
    _setup_privateuseone_for_python_backend("npu", backend_module=FakeNpu)
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda operator, *arguments, **options: compute(operator, arguments, options), "PrivateUse1")
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    return library


def train(words: list[str], run: Path, device: str) -> tuple[int, str]:
    from lipforge.runtime.cli import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["train", *words, "--checkpoint_dir", str(run), "--device", device])
    return code, said.getvalue()


def differing(first: Any, second: Any, name: str = "") -> list[str]:
    if isinstance(first, torch.Tensor):
        return [] if type(second) is torch.Tensor and torch.equal(first, second) else [name]
    if isinstance(first, dict):
        keys = [] if first.keys() == second.keys() else [name]
        return keys + [d for key in first for d in differing(first[key], second.get(key), f"{name}/{key}")]
    return [] if first == second else [name]


def main(frames: Path, runs: Path) -> None:
    from lipforge.train.checkpoint import load_checkpoint, load_training_state
    from lipforge.train.device import Device

    torch.set_num_threads(1)
    # Another layout of the filters rounds otherwise; the fake is to be compared bit by bit.
    Device.memory_format = property(lambda device: torch.contiguous_format)  # type: ignore[assignment, method-assign]
    configs = Path(str(sys.modules["lipforge.train"].__path__[0])) / "configs"
    every = [f"loop.save_every={STEPS - 1}", "loop.validate_every=2", "loop.log_every=1", "loop.image_every=3"]
    shared = ["--data_root", str(frames), f"loop.steps={STEPS}", *every, "data.validation_windows=4"]
    shared.append("loop.pin_memory=false")
    expert = ["--syncnet_checkpoint_path", str(runs / "syncnet-cpu")]
    cases = {
        "syncnet": ["syncnet", "--config", str(configs / "syncnet-tiny.yaml"), *shared, "loop.ema_decay=0.9"],
        "gan": ["wav2lip-gan", "--config", str(configs / "wav2lip-tiny.yaml"), *shared, *expert, "loss.adversary=0.07"],
        "half": ["syncnet", "--config", str(configs / "syncnet-tiny.yaml"), *shared, "loop.autocast=fp16"],
    }
    results: dict[str, Any] = {}
    for name, words in cases.items():
        devices = ("npu",) if name == "half" else ("cpu", "npu")
        codes = {device: train(words, runs / f"{name}-{device}", device) for device in devices}
        results[name] = {"codes": codes}
        if name != "half" and all(code == 0 for code, _ in codes.values()):
            folders = [load_checkpoint(runs / f"{name}-{device}") for device in ("cpu", "npu")]
            states = [load_training_state(folder.path)["learners"] for folder in folders]
            results[name]["weights"] = differing(folders[0].state_dict, folders[1].state_dict)
            results[name]["learners"] = differing(*states)
            results[name]["metrics"] = differing(folders[0].metrics, folders[1].metrics)
    # Resumed there, from what was written there.
    (runs / "syncnet-npu" / "last.json").write_text(json.dumps({"checkpoint": f"step-{STEPS - 1:08d}"}))
    results["resumed"] = train(["syncnet", "--data_root", str(frames), "--resume"], runs / "syncnet-npu", "npu")
    again, whole = (load_checkpoint(runs / f"syncnet-{device}") for device in ("npu", "cpu"))
    results["resumed weights"] = differing(again.state_dict, whole.state_dict)
    results["bf16"] = train([*cases["syncnet"], "loop.autocast=bf16"], runs / "bf16", "npu")
    results["no such card"] = train(cases["syncnet"], runs / "two", "npu:1")
    results["calls"] = sorted(CALLS)
    print(json.dumps(results))


if __name__ == "__main__":
    library = install()
    main(Path(sys.argv[1]), Path(sys.argv[2]))
