from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from lipforge.kernels.errors import ConfigError, InputError, LipforgeError
from lipforge.train import loop as loop_module
from lipforge.train.checkpoint import load_checkpoint, load_training_state
from lipforge.train.config import LoopConfig
from lipforge.train.device import Device, open_device
from lipforge.train.loop import Loop, Outcome, RunOptions
from lipforge.train.shards import Dataset, open_dataset
from lipforge.train.task import Batch, Loss, Networks, Task

CONFIG = LoopConfig(
    steps=12, batch_size=4, warmup_steps=3, log_every=2, validate_every=6, image_every=0, save_every=4, save_minutes=0.0
)


class ToyTask(Task):
    """A perceptron with dropout (so that random states matter) and BatchNorm (so that buffers do)."""

    kind = "toy"

    def __init__(self, dataset: Dataset, config: LoopConfig, *, poison_step: int | None = None) -> None:
        self.dataset, self.loop, self.config, self.specs = dataset, config, {"loop": "toy"}, {}
        self.model_args = {"width": 8}
        torch.manual_seed(config.seed)
        self.networks = {
            "toy": nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)),
            "critic": nn.Linear(2, 1),
        }
        self._poison_step = poison_step
        self.batches: list[int] = []

    def batch(self, step: int) -> Batch:
        self.batches.append(step)
        x = torch.randn(4, 4, generator=torch.Generator().manual_seed(step))
        return {"x": x * float("nan") if step == self._poison_step else x}

    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        y = networks["toy"](batch["x"])
        error = (y - batch["x"][:, :2]).square().mean() + networks["critic"](y).mean()
        yield Loss("toy", error, {"error": error})
        opinion = networks["critic"](y.detach()).square().mean()
        yield Loss("critic", opinion, {"opinion": opinion})

    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        assert not network.training
        return {"error": float(network(torch.ones(1, 4)).detach().abs().sum())}


@pytest.fixture
def dataset(data_root: Path) -> Dataset:
    return open_dataset(data_root)


def run(task: Task, options: RunOptions, said: io.StringIO | None = None) -> Outcome:
    return Loop(task, options, open_device("cpu"), Console(file=said or io.StringIO(), width=200)).run()


def same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)  # type: ignore[arg-type]
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)  # type: ignore
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))  # type: ignore
    return first == second


def test_resumed_run_equals_an_unbroken_one(dataset: Dataset, tmp_path: Path) -> None:
    whole = run(ToyTask(dataset, CONFIG), RunOptions(tmp_path / "whole"))
    (tmp_path / "whole" / "last.json").write_text('{"checkpoint": "step-00000004"}')  # as if killed before step 8
    state = load_training_state(whole.checkpoint)
    weights = load_checkpoint(whole.checkpoint).state_dict
    torch.rand(100)  # the process has used its random numbers for other things meanwhile
    again = run(ToyTask(dataset, replace(CONFIG, seed=0)), RunOptions(tmp_path / "whole", resume=True))
    assert again.step == whole.step == 12
    resumed = load_training_state(again.checkpoint)
    assert same(resumed["learners"], state["learners"])
    assert same(resumed["random"], state["random"])
    assert same(load_checkpoint(again.checkpoint).state_dict, weights)


def test_networks_learn_and_average(dataset: Dataset, tmp_path: Path) -> None:
    task = ToyTask(dataset, replace(CONFIG, ema_decay=0.9))
    start = {name: value.clone() for name, value in task.networks["critic"].state_dict().items()}
    outcome = run(task, RunOptions(tmp_path / "run"))
    state = load_training_state(outcome.checkpoint)["learners"]
    assert not same(state["critic"]["network"], start)
    assert not same(state["toy"]["network"], state["toy"]["average"])
    assert same(load_checkpoint(outcome.checkpoint).state_dict, state["toy"]["average"])


def test_average_can_be_off(dataset: Dataset, tmp_path: Path) -> None:
    outcome = run(ToyTask(dataset, replace(CONFIG, ema_decay=0.0)), RunOptions(tmp_path / "run"))
    state = load_training_state(outcome.checkpoint)["learners"]["toy"]
    assert same(load_checkpoint(outcome.checkpoint).state_dict, state["network"])


def test_checkpoints_are_kept_and_pointed_at(dataset: Dataset, tmp_path: Path) -> None:
    run(ToyTask(dataset, replace(CONFIG, keep_last=2)), RunOptions(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000008", "step-00000012"]
    assert json.loads((tmp_path / "last.json").read_text())["checkpoint"] == "step-00000012"
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_non_finite_loss_stops_and_saves_the_batch(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(LipforgeError, match=r"step 5: the loss of toy is not finite.*bad-batch-step-00000005\.pt"):
        run(ToyTask(dataset, CONFIG, poison_step=5), RunOptions(tmp_path))
    batch = torch.load(tmp_path / "bad-batch-step-00000005.pt", weights_only=True)
    assert batch["x"].isnan().all()
    state = load_training_state(tmp_path / "step-00000004")["learners"]["toy"]["network"]
    assert all(torch.isfinite(value).all() for value in state.values())


def test_ctrl_c_saves_and_stops(dataset: Dataset, tmp_path: Path) -> None:
    class Interrupted(ToyTask):
        def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
            if not self.interrupted:
                self.interrupted = True
                signal.raise_signal(signal.SIGINT)
            return super().losses(networks, batch)

        interrupted = False

    outcome = run(Interrupted(dataset, CONFIG), RunOptions(tmp_path))
    assert (outcome.interrupted, outcome.step) == (True, 1)
    assert load_checkpoint(tmp_path).step == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_minutes_end_the_run(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(loop_module.time, "monotonic", lambda: float(next(clock)))
    outcome = run(ToyTask(dataset, replace(CONFIG, steps=1000)), RunOptions(tmp_path, minutes=1.0))
    assert outcome.step == 12  # 5 s a step by this clock
    assert not outcome.interrupted


def test_run_folder_in_use(dataset: Dataset, tmp_path: Path) -> None:
    run(ToyTask(dataset, CONFIG), RunOptions(tmp_path))
    with pytest.raises(ConfigError, match="already holds checkpoints; add --resume"):
        run(ToyTask(dataset, CONFIG), RunOptions(tmp_path))
    with pytest.raises(ConfigError, match="no checkpoint to resume"):
        run(ToyTask(dataset, CONFIG), RunOptions(tmp_path / "new", resume=True))


def test_resuming_another_network(dataset: Dataset, tmp_path: Path) -> None:
    run(ToyTask(dataset, CONFIG), RunOptions(tmp_path))
    other = ToyTask(dataset, CONFIG)
    other.model_args = {"width": 9}
    with pytest.raises(ConfigError, match=r"'width': 8.*'width': 9"):
        run(other, RunOptions(tmp_path, resume=True))
    (tmp_path / "step-00000012" / "training.pt").unlink()
    with pytest.raises(InputError, match="incomplete"):
        run(ToyTask(dataset, CONFIG), RunOptions(tmp_path, resume=True))


def test_failing_batch_is_raised(dataset: Dataset, tmp_path: Path) -> None:
    class Broken(ToyTask):
        def batch(self, step: int) -> Batch:
            raise InputError("no such picture")

    with pytest.raises(InputError, match="no such picture"):
        run(Broken(dataset, CONFIG), RunOptions(tmp_path))


def test_log_without_a_terminal(dataset: Dataset, tmp_path: Path) -> None:
    said = io.StringIO()
    run(ToyTask(dataset, CONFIG), RunOptions(tmp_path), said)
    assert "held-out: error" in said.getvalue()
    assert "saved" in said.getvalue()
