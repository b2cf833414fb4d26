"""Runs in processes that are forked, killed and connected; prints what became of them as JSON.

    python -P forked_runs.py FOLDER CASE...

One process imports torch once, and forks every run from there: starting a process each would take minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from lipforge.kernels.errors import LipforgeError
from lipforge.train.checkpoint import load_checkpoint, load_training_state
from lipforge.train.device import open_device
from lipforge.train.loop import Loop, RunOptions
from lipforge.train.ranks import Ranks, joined
from lipforge.train.run_folder import newest_checkpoint, read_best, whole_checkpoints

sys.path.append(str(Path(__file__).parent))  # with -P it is not there
toy = importlib.import_module("toy_task")

CONFIG = replace(
    toy.CONFIG, steps=6, save_every=2, validate_every=2, log_every=2, keep_last=2, ema_decay=0.9, data_threads=2
)
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}
PATIENCE_S = 60.0


def train(run: Path, config: Any = CONFIG, ranks: Ranks | None = None, **options: Any) -> Any:
    task = options.pop("task", None) or toy.ToyTask(config, **options)
    resume = newest_checkpoint(run) is not None
    console = Console(file=io.StringIO())
    return Loop(task, RunOptions(run, resume), open_device("cpu"), console, ranks or Ranks()).run()


def fork(work: Callable[[], Any]) -> int:
    process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def wait(process: int) -> int:
    """Return the exit code, negative for a signal."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise TimeoutError(f"process {process}")


def digest(value: Any) -> str:
    """Return a hash of nested values, of tensors bit by bit."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()[:16]
    if isinstance(value, dict):
        return hashlib.sha256(repr([(k, digest(v)) for k, v in sorted(value.items(), key=str)]).encode()).hexdigest()
    if isinstance(value, list | tuple):
        return hashlib.sha256(repr([digest(inner) for inner in value]).encode()).hexdigest()[:16]
    return repr(value)


def facts(run: Path) -> dict[str, Any]:
    """Return everything of a run that does not tell the time."""
    folder = newest_checkpoint(run)
    assert folder is not None
    checkpoint, training = load_checkpoint(folder), load_training_state(folder)
    training.pop("seconds")
    best = read_best(run)
    return {
        "step": checkpoint.step,
        "weights": digest(checkpoint.state_dict),
        "metrics": digest(checkpoint.metrics),
        **{f"training {name}": digest(value) for name, value in training.items()},
        "log": (run / "metrics.jsonl").read_text(),
        "best": None if best is None else [best.checkpoint, best.value],
        "folders": [folder.name for folder in whole_checkpoints(run)],
        "leftovers": sorted(path.name for path in run.glob(".step*")),
    }


def die_at(event: int, run: Path) -> None:
    """Kill this process when it does something to the files of a run for the n-th time."""
    seen = 0

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if name in EVENTS and str(arguments[0]).startswith(str(run)) and "tensorboard" not in str(arguments[0]):
            seen += 1
            if seen == event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed_at_every_file_operation(root: Path) -> dict[str, Any]:
    return killed_at_file_operations(root, 1)


def killed_at_some_file_operations(root: Path) -> dict[str, Any]:
    return killed_at_file_operations(root, 5)


def killed_at_file_operations(root: Path, stride: int) -> dict[str, Any]:
    whole = facts(root / "whole")
    wrong: dict[str, Any] = {}
    event, killed = 0, 0
    while True:
        event += stride
        run = root / f"killed-{event}-{stride}"

        def work(run: Path = run, event: int = event) -> None:
            die_at(event, run)
            train(run)

        code = wait(fork(work))
        if code == 0:
            break
        killed += code == -signal.SIGKILL
        resumed = wait(fork(lambda run=run: train(run)))
        found = facts(run) if resumed == 0 else {}
        if code != -signal.SIGKILL or found != whole:
            wrong[str(event)] = [code, resumed, [name for name in whole if found.get(name) != whole[name]]]
    return {"killed": killed, "wrong": wrong}


def killed_at_random_moments(root: Path) -> dict[str, Any]:
    whole, chance, wrong, killed = facts(root / "whole"), random.Random(0), {}, 0
    started_s = time.monotonic()
    wait(fork(lambda: train(root / "timed")))
    length_s = time.monotonic() - started_s
    for trial in range(4):
        run = root / f"random-{trial}"
        for _ in range(3):  # killed again and again, also while it resumes
            process = fork(lambda run=run: train(run))
            time.sleep(chance.uniform(0.1, 0.9) * length_s)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            killed += wait(process) == -signal.SIGKILL
        assert wait(fork(lambda run=run: train(run))) == 0
        if facts(run) != whole:
            wrong[str(trial)] = [name for name in whole if facts(run)[name] != whole[name]]
    return {"killed": killed, "wrong": wrong}


def two_ranks(work: Callable[[Ranks], Any]) -> list[Any]:
    """Run a function in two connected processes and return what each returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [os.pipe() for _ in range(2)]

    def child(rank: int) -> None:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        ranks = Ranks(rank, 2, rank)
        try:
            with joined(ranks, torch.device("cpu")):
                result = work(ranks)
        except LipforgeError as error:
            result = f"{type(error).__name__}: {error}"
        os.write(pipes[rank][1], json.dumps(result).encode())

    processes = [fork(lambda rank=rank: child(rank)) for rank in range(2)]
    codes = [wait(process) for process in processes]
    for _, writing in pipes:
        os.close(writing)
    said = [os.read(reading, 1 << 16) for reading, _ in pipes]
    return [code if code else json.loads(text) for code, text in zip(codes, said, strict=True)]


def weights(run: Path) -> torch.Tensor:
    folder = newest_checkpoint(run)
    assert folder is not None
    learners = load_training_state(folder)["learners"]
    return torch.cat([v.flatten().double() for learner in learners.values() for v in learner["network"].values()])


def two_ranks_equal_one(root: Path) -> dict[str, Any]:
    config = replace(CONFIG, batch_size=8, learning_rate=0.02, warmup_steps=0)
    start = toy.ToyTask(config, plain=True).networks
    begin = torch.cat([value.flatten().double() for net in start.values() for value in net.state_dict().values()])
    train(root / "one", config, plain=True)
    train(root / "parts", replace(config, accumulate=4), plain=True)
    two_ranks(lambda ranks: train(root / "two", config, ranks, plain=True).step)
    two_ranks(lambda ranks: train(root / "two-parts", replace(config, accumulate=2), ranks, plain=True).step)

    def apart(ranks: Ranks) -> int:
        Ranks.average_gradients = lambda self, network, loss: loss  # type: ignore[method-assign]
        return int(train(root / "apart", config, ranks, plain=True).step)

    two_ranks(apart)
    one = weights(root / "one")
    names = ("parts", "two", "two-parts", "apart")
    logs = {
        name: [json.loads(s) for s in (root / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    }
    return {
        "moved": float((one - begin).abs().max()),
        "difference": {name: float((weights(root / name) - one).abs().max()) for name in names},
        "log one": logs["one"],
        "log two": logs["two"],
    }


def two_ranks_resume(root: Path) -> dict[str, Any]:
    """With dropout and batch norm: every rank has random numbers of its own."""
    two_ranks(lambda ranks: train(root / "pair", CONFIG, ranks).step)
    whole = facts(root / "pair")

    def stop(ranks: Ranks) -> Any:
        class Interrupted(toy.ToyTask):  # type: ignore[misc, name-defined]
            seen = 0

            def losses(self, networks: Any, batch: Any) -> Any:
                self.seen += 1
                if self.seen == 4 and ranks.rank == 1:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().losses(networks, batch)

        outcome = train(root / "stopped", CONFIG, ranks, task=Interrupted(CONFIG))
        return [outcome.step, outcome.interrupted]

    stopped = two_ranks(stop)
    two_ranks(lambda ranks: train(root / "stopped", CONFIG, ranks).step)
    again = facts(root / "stopped")
    return {
        "stopped": stopped,
        "different": [name for name in whole if name != "folders" and whole[name] != again[name]],
    }


def two_ranks_meet_a_bad_batch(root: Path) -> dict[str, Any]:
    said = two_ranks(lambda ranks: train(root / "bad", CONFIG, ranks, poison=(3, 3)).step)
    return {"said": said, "files": sorted(path.name for path in (root / "bad").glob("bad-batch*"))}


def two_ranks_share_statistics(root: Path) -> dict[str, Any]:
    def buffers(ranks: Ranks) -> list[str]:
        task = toy.ToyTask(CONFIG)
        train(root / "norms", CONFIG, ranks, task=task)
        return [digest(dict(task.networks["toy"].state_dict())), digest(task.state())]

    return {"states": two_ranks(buffers)}


def two_ranks_cannot_share(root: Path) -> dict[str, Any]:
    config = replace(CONFIG, batch_size=5)
    cut = replace(CONFIG, batch_size=8, accumulate=8)
    return {
        "uneven": two_ranks(lambda ranks: train(root / "uneven", config, ranks).step),
        "parts": two_ranks(lambda ranks: train(root / "uneven", cut, ranks).step),
    }


def main(root: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None  # a killed process loses nothing that was written; power does
    train(root / "whole")  # also imports whatever is imported late
    print(json.dumps({name: globals()[name](root) for name in names}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
