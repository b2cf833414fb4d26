from __future__ import annotations

import io
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lipforge.kernels.errors import BackendError, ConfigError, InputError, LipforgeError
from lipforge.train import learner, run_folder
from lipforge.train import loop as loop_module
from lipforge.train.checkpoint import load_checkpoint, load_training_state
from lipforge.train.device import open_device
from lipforge.train.loop import Loop, Outcome, RunOptions
from lipforge.train.metrics_log import read_metrics
from lipforge.train.task import Batch, Loss, Networks, Task


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


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


def test_resumed_run_equals_an_unbroken_one(toy: ModuleType, tmp_path: Path) -> None:
    """Within a process; ``test_forked_runs.py`` kills them."""
    config = replace(toy.CONFIG, keep_last=0)
    whole = run(toy.ToyTask(config), RunOptions(tmp_path / "whole"))
    log = (tmp_path / "whole" / "metrics.jsonl").read_text()
    (tmp_path / "whole" / "last.json").write_text('{"checkpoint": "step-00000004"}')  # as if killed before step 8
    state = load_training_state(whole.checkpoint)
    weights = load_checkpoint(whole.checkpoint).state_dict
    torch.rand(100)  # the process has used its random numbers for other things meanwhile
    again = run(toy.ToyTask(config), RunOptions(tmp_path / "whole", resume=True))
    assert again.step == whole.step == 12
    resumed = load_training_state(again.checkpoint)
    for name in ("learners", "random", "means", "task", "validated_step"):
        assert same(resumed[name], state[name]), name
    assert same(load_checkpoint(again.checkpoint).state_dict, weights)
    assert (tmp_path / "whole" / "metrics.jsonl").read_text() == log


def test_settings_may_change_on_resume(toy: ModuleType, tmp_path: Path) -> None:
    run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path))
    changed = replace(toy.CONFIG, steps=13, betas=(0.5, 0.6), weight_decay=0.5, optimiser="adam")
    outcome = run(toy.ToyTask(changed), RunOptions(tmp_path, resume=True))
    groups = load_training_state(outcome.checkpoint)["learners"]["toy"]["optimiser"]["param_groups"]
    assert groups[0]["betas"] == (0.5, 0.6)
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert not groups[0]["decoupled_weight_decay"]


def test_networks_learn_and_average(toy: ModuleType, tmp_path: Path) -> None:
    task = toy.ToyTask(replace(toy.CONFIG, ema_decay=0.9))
    start = {name: value.clone() for name, value in task.networks["critic"].state_dict().items()}
    outcome = run(task, RunOptions(tmp_path / "run"))
    state = load_training_state(outcome.checkpoint)["learners"]
    assert not same(state["critic"]["network"], start)
    assert not same(state["toy"]["network"], state["toy"]["average"])
    assert same(load_checkpoint(outcome.checkpoint).state_dict, state["toy"]["average"])


def test_average_can_be_off(toy: ModuleType, tmp_path: Path) -> None:
    outcome = run(toy.ToyTask(replace(toy.CONFIG, ema_decay=0.0)), RunOptions(tmp_path / "run"))
    state = load_training_state(outcome.checkpoint)["learners"]["toy"]
    assert same(load_checkpoint(outcome.checkpoint).state_dict, state["network"])


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_constant_rate_is_that_of_torchs_own_optimiser(optimiser: str, toy: ModuleType, tmp_path: Path) -> None:
    """Without warm-up, clipping and averaging the loop is what a trainer would write by hand, bit for bit."""
    config = replace(toy.CONFIG, optimiser=optimiser, schedule="constant", warmup_steps=0, clip_norm=0.0, ema_decay=0.0)
    config = replace(config, steps=5, weight_decay=0.1, betas=(0.5, 0.999))
    task = toy.ToyTask(config, plain=True)
    kind = torch.optim.Adam if optimiser == "adam" else torch.optim.AdamW
    optimisers = {}
    for name, network in task.networks.items():
        groups = [
            {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in network.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimisers[name] = kind(groups, lr=2e-3, betas=(0.5, 0.999))
    for step in range(5):
        for loss in task.losses(task.networks, task.batch(step)):
            optimisers[loss.network].zero_grad()
            loss.total.backward()
            optimisers[loss.network].step()
    by_hand = {name: network.state_dict() for name, network in task.networks.items()}
    outcome = run(toy.ToyTask(config, plain=True), RunOptions(tmp_path))
    learners = load_training_state(outcome.checkpoint)["learners"]
    assert all(same(learners[name]["network"], dict(state)) for name, state in by_hand.items())


def test_rate_warms_up_then_falls_or_stays(toy: ModuleType, tmp_path: Path) -> None:
    rates = {}
    for schedule in ("cosine", "constant"):
        config = replace(toy.CONFIG, schedule=schedule, warmup_steps=4, log_every=1, last_rate_share=0.1)
        run(toy.ToyTask(config), RunOptions(tmp_path / schedule))
        rates[schedule] = [values["learning_rate"] for _, values in read_metrics(tmp_path / schedule, "train")]
    assert rates["constant"] == pytest.approx([1e-3, 1.5e-3, *[2e-3] * 10])
    assert max(rates["cosine"]) < 2e-3
    assert rates["cosine"][-1] == pytest.approx(2e-4)


def test_checkpoints_are_kept_and_pointed_at(toy: ModuleType, tmp_path: Path) -> None:
    run(toy.ToyTask(replace(toy.CONFIG, keep_last=2, validate_every=0)), RunOptions(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000008", "step-00000012"]
    assert json.loads((tmp_path / "last.json").read_text())["checkpoint"] == "step-00000012"
    assert list((tmp_path / "tensorboard").glob("events*"))


def scripted(toy: ModuleType, values: list[float], **changes: Any) -> Task:
    """A task whose validations give these values, one a step."""

    class Scripted(toy.ToyTask):  # type: ignore[name-defined, misc]
        def validate(self, network: Any, device: Any) -> dict[str, float]:
            self._validations += 1
            return {"error": values[self._validations - 1], "height": -values[self._validations - 1]}

    config = replace(toy.CONFIG, steps=len(values), validate_every=1, save_every=0, keep_last=1, **changes)
    return Scripted(config)


@pytest.mark.parametrize("metric", ["", "error", "height"])
def test_best_is_saved_when_it_is_found_and_never_deleted(metric: str, toy: ModuleType, tmp_path: Path) -> None:
    """A tie leaves the earlier one; what is not a number is no better than anything."""
    values = [3.0, float("nan"), 1.0, 1.0, 2.0, 5.0]
    run(scripted(toy, values, best_metric=metric), RunOptions(tmp_path))
    best = run_folder.read_best(tmp_path)
    assert best is not None
    assert (best.checkpoint, best.metric) == ("step-00000003", metric or "error")
    assert (best.direction, best.value) == (("max", -1.0) if metric == "height" else ("min", 1.0))
    assert [path.name for path in run_folder.whole_checkpoints(tmp_path)] == ["step-00000003", "step-00000006"]
    assert load_checkpoint(tmp_path / "best.json").step == 3
    assert load_checkpoint(tmp_path).step == 6
    assert load_checkpoint(tmp_path / "best.json").metrics["error"] == {"value": 1.0}


def test_best_metric_must_be_one_that_is_measured(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loop\.best_metric=beauty; toy can be judged by error, height"):
        run(toy.ToyTask(replace(toy.CONFIG, best_metric="beauty")), RunOptions(tmp_path))
    (tmp_path / "best.json").write_text("{")
    with pytest.raises(InputError, match=r"best\.json: not readable"):
        run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path))


def test_validation_tells_intervals_everywhere(toy: ModuleType, tmp_path: Path) -> None:
    said = io.StringIO()
    outcome = run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path), said)
    (_, values), (step, last) = read_metrics(tmp_path, "validation")
    assert step == 12
    assert last["error_low"] < last["error"] < last["error_high"]  # type: ignore[operator]
    assert values != last
    metrics = load_checkpoint(outcome.checkpoint).metrics
    assert metrics["error"] == {"value": last["error"], "low": last["error_low"], "high": last["error_high"]}
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"validation/error", "validation/error_low", "validation/error_high", "train/opinion"} <= tags
    assert {f"time/{stage}_ms" for stage in ("data", "copy", "forward", "backward", "optimiser")} <= tags
    assert f"held-out: error {last['error']:.4f} [{last['error_low']:.4f}, " in said.getvalue()


def test_non_finite_loss_stops_and_saves_the_batch(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(LipforgeError, match=r"step 5: the loss of toy is not finite.*bad-batch-step-00000005\.pt"):
        run(toy.ToyTask(toy.CONFIG, poison=(5, 2)), RunOptions(tmp_path))
    batch = torch.load(tmp_path / "bad-batch-step-00000005.pt", weights_only=True)
    assert batch["x"].isnan().any(1).tolist() == [False, False, True, False]
    state = load_training_state(tmp_path / "step-00000004")["learners"]["toy"]["network"]
    assert all(torch.isfinite(value).all() for value in state.values())


def test_half_precision_looks_for_a_scale_and_resumes_with_it(toy: ModuleType, tmp_path: Path) -> None:
    """A scale that is too large makes infinite gradients: steps are left out until it fits; nothing stops."""
    config = replace(toy.CONFIG, autocast="fp16", steps=4, save_every=2)
    device = open_device("cpu", "fp16")
    Loop(toy.ToyTask(config), RunOptions(tmp_path), device, Console(file=io.StringIO())).run()
    whole = load_training_state(tmp_path / "step-00000004")["learners"]["toy"]
    assert 0 < whole["scaler"]["scale"] < 65536  # torch's first guess was too large
    (tmp_path / "last.json").write_text('{"checkpoint": "step-00000002"}')
    Loop(toy.ToyTask(config), RunOptions(tmp_path, resume=True), device, Console(file=io.StringIO())).run()
    assert same(load_training_state(tmp_path / "step-00000004")["learners"]["toy"], whole)


def interrupting(toy: ModuleType, step: int) -> type[Task]:
    class Interrupted(toy.ToyTask):  # type: ignore[name-defined, misc]
        seen = 0

        def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
            self.seen += 1
            if self.seen == step:
                signal.raise_signal(signal.SIGINT)
            return super().losses(networks, batch)  # type: ignore[no-any-return]

    return Interrupted


def test_ctrl_c_saves_and_stops(toy: ModuleType, tmp_path: Path) -> None:
    said = io.StringIO()
    outcome = run(interrupting(toy, 1)(toy.CONFIG), RunOptions(tmp_path), said)
    assert (outcome.interrupted, outcome.step) == (True, 1)
    assert load_checkpoint(tmp_path).step == 1
    assert "interrupted: saving step 1; --resume goes on from there" in said.getvalue()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_leaves_out_a_validation_that_resuming_makes_up_for(toy: ModuleType, tmp_path: Path) -> None:
    run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path / "whole"))
    for step in (3, 6, 12):  # 6 and 12 are validated
        outcome = run(interrupting(toy, step)(toy.CONFIG), RunOptions(tmp_path / str(step)))
        assert outcome.interrupted
        assert len(read_metrics(tmp_path / str(step), "validation")) == (step == 12)
        run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path / str(step), resume=True))
        for name in ("metrics.jsonl", "best.json"):
            assert (tmp_path / str(step) / name).read_text() == (tmp_path / "whole" / name).read_text(), step


def test_second_ctrl_c_ends_at_once(toy: ModuleType, tmp_path: Path) -> None:
    class Twice(toy.ToyTask):  # type: ignore[name-defined, misc]
        def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
            if len(list((tmp_path).glob("step-*"))):
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return super().losses(networks, batch)  # type: ignore[no-any-return]

    with pytest.raises(KeyboardInterrupt):
        run(Twice(toy.CONFIG), RunOptions(tmp_path))
    assert load_checkpoint(tmp_path).step == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path, resume=True)).step == 12


def test_minutes_end_the_run(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(loop_module.time, "monotonic", lambda: float(next(clock)))
    outcome = run(toy.ToyTask(replace(toy.CONFIG, steps=1000)), RunOptions(tmp_path, minutes=1.0))
    assert outcome.step == 12  # 5 s a step by this clock
    assert not outcome.interrupted


def test_run_folder_in_use(toy: ModuleType, tmp_path: Path) -> None:
    with (
        run_folder.run_folder_held(tmp_path),
        pytest.raises(ConfigError, match="another process is training there"),
        run_folder.run_folder_held(tmp_path),
    ):
        pass
    run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path))
    with pytest.raises(ConfigError, match="already holds checkpoints; add --resume"):
        run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path))
    with pytest.raises(ConfigError, match="no checkpoint to resume"):
        run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path / "new", resume=True))


def test_resuming_another_network(toy: ModuleType, tmp_path: Path) -> None:
    run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path))
    other = toy.ToyTask(toy.CONFIG)
    other.model_args = {"width": 9}
    with pytest.raises(ConfigError, match=r"'width': 8.*'width': 9"):
        run(other, RunOptions(tmp_path, resume=True))
    less = toy.ToyTask(toy.CONFIG)
    less.networks["critic"] = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"training\.pt does not fit this run"):
        run(less, RunOptions(tmp_path, resume=True))
    (tmp_path / "step-00000012" / "training.pt").unlink()
    with pytest.raises(InputError, match="incomplete"):
        run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path, resume=True))


def test_another_dataset_is_a_note(toy: ModuleType, tmp_path: Path) -> None:
    run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path))
    said = io.StringIO()
    run(toy.ToyTask(toy.CONFIG, dataset=toy.ToyData(fingerprint="x")), RunOptions(tmp_path, resume=True), said)
    assert "note: toys is not the dataset that step-00000012 was trained on" in said.getvalue()


@pytest.mark.parametrize("threads", [1, 3])
def test_failing_batch_is_raised_when_it_is_due(threads: int, toy: ModuleType, tmp_path: Path) -> None:
    class Broken(toy.ToyTask):  # type: ignore[name-defined, misc]
        def batch(self, step: int) -> Batch:
            if step == 5:
                raise InputError("no such picture")
            return super().batch(step)  # type: ignore[no-any-return]

    with pytest.raises(InputError, match="no such picture"):
        run(Broken(replace(toy.CONFIG, data_threads=threads)), RunOptions(tmp_path))
    assert load_checkpoint(tmp_path).step == 4


def test_threads_change_nothing(toy: ModuleType, tmp_path: Path) -> None:
    logs = []
    for threads in (1, 4):
        run(toy.ToyTask(replace(toy.CONFIG, data_threads=threads)), RunOptions(tmp_path / str(threads)))
        logs.append((tmp_path / str(threads) / "metrics.jsonl").read_text())
    assert logs[0] == logs[1]


def test_log_without_a_terminal(toy: ModuleType, tmp_path: Path) -> None:
    said = io.StringIO()
    run(toy.ToyTask(toy.CONFIG), RunOptions(tmp_path), said)
    assert "held-out: error" in said.getvalue()
    assert "saved" in said.getvalue()


def test_failing_compiler_is_told_from_a_fault(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(torch.nn.Module):
        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise self.error

    from_compiler = type("InvalidCxxCompiler", (RuntimeError,), {"__module__": "torch._inductor.exc"})
    config = replace(toy.CONFIG, compile=True)
    for error, kind in ((from_compiler("no g++"), BackendError), (RuntimeError("sizes differ"), RuntimeError)):
        monkeypatch.setattr(learner, "compiled", lambda network, error=error: Failing(error))
        with pytest.raises(kind, match=r"torch\.compile fails here \(no g\+\+\)|sizes differ"):
            run(toy.ToyTask(config), RunOptions(tmp_path / kind.__name__))


@pytest.mark.slow
def test_compiling_without_a_compiler_says_so(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder

    def no_compiler(*arguments: Any, **options: Any) -> str:
        raise subprocess.CalledProcessError(1, "g++")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", no_compiler)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(BackendError, match=r"loop\.compile=true: torch\.compile fails here .*loop\.compile=false"):
        run(toy.ToyTask(replace(toy.CONFIG, compile=True), plain=True), RunOptions(tmp_path / "run"))
    torch._dynamo.reset()


@pytest.mark.slow
def test_compiled_networks_learn_the_same(toy: ModuleType, tmp_path: Path) -> None:
    for compiled in (False, True):
        run(toy.ToyTask(replace(toy.CONFIG, compile=compiled), plain=True), RunOptions(tmp_path / str(compiled)))
    one, two = (load_checkpoint(tmp_path / str(compiled)).state_dict for compiled in (False, True))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5)
