"""Cases: a training step of the Wav2Lip generator, under its expert, and of the expert, at the published sizes.

The step is the trainers' own (`train/train_step.py`): copy of the batch, forward, backward, optimiser, and the checks
for what is not finite. The batch is made beforehand; how fast batches are made is `bench_loader.py`'s question.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from drawn_clips import write_frame_folders
from figures import Case, Clock, Figure
from torch.utils.flop_counter import FlopCounterMode

SECTION = "training step"
WINDOWS = {"wav2lip": (16, 64), "syncnet": (64, 256)}
"""Batch sizes: the published one, and one that keeps a large GPU busy."""

TINY_WINDOWS = {"wav2lip": (2,), "syncnet": (2,)}

PRECISIONS = {"none": "fp32", "bf16": "bf16", "fp16": "fp16"}
FRAMES = 5
WARM_UP = 4


def training_cases(device: str, folder: Path, *, tiny: bool) -> Iterator[Case]:
    """Yield a step of each network at each precision."""
    obstacle = "" if importlib.util.find_spec("omegaconf") else "omegaconf is not installed"
    tasks = functools.cache(functools.partial(_tasks, folder, tiny=tiny))
    batches = functools.cache(functools.partial(_batch, tasks))
    for kind, sizes in (TINY_WINDOWS if tiny else WINDOWS).items():
        counted = functools.cache(functools.partial(_count_flops, _Step(kind, tasks, batches, device, "none", folder)))
        for windows in sizes:
            for autocast, precision in PRECISIONS.items():
                empty = Figure(SECTION, f"{kind}, {windows} windows of {FRAMES}", precision, windows * FRAMES, "frames")
                step = _Step(kind, tasks, batches, device, autocast, folder)
                yield Case(empty, functools.partial(_time_step, step, windows, counted), obstacle)


@dataclass(frozen=True)
class _Step:
    kind: str
    tasks: Callable[[], dict[str, Any]]
    batches: Callable[[str, int], dict[str, torch.Tensor]]
    device: str
    autocast: str
    folder: Path

    def ready(self, windows: int) -> Callable[[], None]:
        """Return a call that makes one optimiser step and waits for it."""
        from lipforge.train.device import open_device
        from lipforge.train.learner import Learner
        from lipforge.train.ranks import ALONE
        from lipforge.train.train_step import TrainStep

        task, device = self.tasks()[self.kind], open_device(self.device, self.autocast)
        learners = {name: Learner(network, task.loop, device) for name, network in task.networks.items()}
        train_step = TrainStep(task, learners, device, ALONE, self.folder)
        batch = self.batches(self.kind, windows)
        if device.pins_memory:
            batch = {name: value.pin_memory() for name, value in batch.items()}

        def run() -> None:
            train_step(batch, 0, 0.5)
            device.synchronise()

        return run


def _time_step(step: _Step, windows: int, counted: Callable[[], float], clock: Clock) -> tuple[float, float, str]:
    flops = counted() * windows * FRAMES
    run = step.ready(windows)
    for _ in range(WARM_UP if clock.seconds else 1):
        run()
    with _Utilisation(step.device) as utilisation:
        least, median = Clock(clock.device, 4 * clock.seconds).on_host(run)
    note = f"{flops / median / 1e9:.3g} TFLOP/s{utilisation.text}"
    if step.device != "cpu" and step.autocast == "none":
        note += f", TF32 convolutions {'on' if torch.backends.cudnn.allow_tf32 else 'off'}"
    return least, median, note


def _batch(tasks: Callable[[], dict[str, Any]], kind: str, windows: int) -> dict[str, torch.Tensor]:
    """Put as many of the trainer's batches together as make so many windows."""
    task = tasks()[kind]
    parts = [task.batch(number) for number in range(-(-windows // task.loop.batch_size))]
    return {name: torch.cat([part[name] for part in parts])[:windows] for name in parts[0]}


def _count_flops(step: _Step) -> float:
    """Return the floating-point operations of a step for each frame: of convolutions and products, both ways."""
    windows = step.tasks()[step.kind].loop.batch_size
    run = step.ready(windows)
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / (windows * FRAMES)


class _Utilisation:
    """Asks the driver, ten times a second, in which share of the time any kernel ran."""

    def __init__(self, device: str) -> None:
        self._program = shutil.which("nvidia-smi") if device != "cpu" else None
        self._process: subprocess.Popen[str] | None = None
        self.text = ""

    def __enter__(self) -> _Utilisation:
        if self._program:
            query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=100"]
            self._process = subprocess.Popen([self._program, *query], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        lines = self._process.communicate(timeout=10)[0].split()
        shares = [int(line) for line in lines if line.isdigit()]
        if shares:  # the highest: the driver's own averaging reaches back before the measurement began
            self.text = f", GPU busy {max(shares)} %"


def _tasks(folder: Path, *, tiny: bool) -> dict[str, Any]:
    """Make both trainers on clips that are drawn for the tests; the expert's opinion counts from the first step."""
    from lipforge.train.frame_folders import open_frame_folders
    from lipforge.train.models.syncnet import SyncNet
    from lipforge.train.syncnet_task import SyncNetTask
    from lipforge.train.wav2lip_task import Wav2LipTask

    root = folder / "clips"
    write_frame_folders(root)
    sync_config, config = _configs(folder / "expert.pth", tiny=tiny)
    torch.manual_seed(0)
    torch.save({"state_dict": SyncNet(**vars(sync_config.model)).state_dict()}, folder / "expert.pth")
    dataset = open_frame_folders(root)
    generator = Wav2LipTask(dataset, config)
    generator.load_state({"sync_weight": {"active": True}})
    return {"wav2lip": generator, "syncnet": SyncNetTask(dataset, sync_config)}


def _configs(expert: Path, *, tiny: bool) -> tuple[Any, Any]:
    from lipforge.train.config import load_config
    from lipforge.train.wav2lip_config import SyncNetConfig, Wav2LipConfig

    preset = Path(str(resources.files("lipforge.train") / "configs" / "wav2lip-tiny.yaml")) if tiny else None
    words = ["loop.batch_size=2"] if tiny else []
    return (
        load_config(SyncNetConfig, overrides=words),
        load_config(Wav2LipConfig, file=preset, overrides=[*words, f"loss.expert={expert}"]),
    )
