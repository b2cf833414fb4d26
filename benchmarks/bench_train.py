"""One training step by stage, beside a loop written by hand that makes its batches as it goes.

``extra_info`` of each run tells milliseconds a step by stage: waiting for data, copying, forward, backward, optimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_clips import drawn_mouths, write_frame_folders

torch = pytest.importorskip("torch", reason="training needs torch")

from lipforge.train.config import WarpConfig, load_config  # noqa: E402
from lipforge.train.device import open_device  # noqa: E402
from lipforge.train.frame_folders import open_frame_folders  # noqa: E402
from lipforge.train.learner import Learner  # noqa: E402
from lipforge.train.prefetch import Prefetch  # noqa: E402
from lipforge.train.ranks import ALONE  # noqa: E402
from lipforge.train.shards import open_dataset  # noqa: E402
from lipforge.train.syncnet_task import SyncNetTask  # noqa: E402
from lipforge.train.task import Task  # noqa: E402
from lipforge.train.train_step import TrainStep  # noqa: E402
from lipforge.train.warp_task import WarpTask  # noqa: E402
from lipforge.train.wav2lip_config import SyncNetConfig  # noqa: E402

NARROW_SYNCNET = ["model.face=[8,16,32,64,128,128]", "model.audio=[8,16,32,64]", "model.embedding=128"]
ROUNDS, WARM_UP = 12, 3


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Task]]:
    """Makes a fresh task by name."""
    frames, pairs = tmp_path_factory.mktemp("frames"), tmp_path_factory.mktemp("pairs")
    write_frame_folders(frames)
    drawn_mouths().write_dataset(pairs)

    def syncnet() -> Task:
        words = ["loop.batch_size=16", "loop.ema_decay=0.999", *NARROW_SYNCNET]
        return SyncNetTask(open_frame_folders(frames), load_config(SyncNetConfig, overrides=words))

    def warp() -> Task:
        return WarpTask(open_dataset(pairs), load_config(WarpConfig, overrides=["loop.batch_size=16"]))

    return {"syncnet, narrow, batch 16": syncnet, "warp, batch 16": warp}


@pytest.fixture(params=["syncnet, narrow, batch 16", "warp, batch 16"])
def task(request: pytest.FixtureRequest, benchmark: Any, tasks: dict[str, Callable[[], Task]]) -> Task:
    torch.set_num_threads(1)
    benchmark.group = f"train step: {request.param}"
    return tasks[request.param]()


def test_lipforge(benchmark: Any, task: Task, tmp_path: Path) -> None:
    """With averaged weights, clipping, checks for what is not finite, and batches made ahead by a thread."""
    device = open_device("cpu")
    learners = {name: Learner(network, task.loop, device) for name, network in task.networks.items()}
    train_step = TrainStep(task, learners, device, ALONE, tmp_path)
    with Prefetch(task.batch, 0) as batches:

        def step() -> None:
            train_step.clock.begin_step(measured=True)
            with train_step.clock.stage("data"):
                batch = batches.next()
            train_step(batch, 0, 0.5)

        for _ in range(WARM_UP if benchmark.enabled else 0):
            step()
        train_step.clock.read()
        benchmark.pedantic(step, rounds=ROUNDS)
    benchmark.extra_info |= {name: round(value, 2) for name, value in train_step.clock.read().items()}


def test_by_hand(benchmark: Any, task: Task) -> None:
    """What a trainer of twenty lines does."""
    network = task.networks[task.kind].to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    steps = iter(range(10_000))

    def step() -> None:
        (loss,) = task.losses({task.kind: network}, task.batch(next(steps)))
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        loss.total.item()

    benchmark.pedantic(step, rounds=ROUNDS, warmup_rounds=WARM_UP)
