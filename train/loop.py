"""The training loop under every trainer: steps, validation, checkpoints, resuming and stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from rich.console import Console
from torch import Tensor

from lipforge.kernels.errors import ConfigError, InputError, LipforgeError
from lipforge.train.checkpoint import (
    delete_old_checkpoints,
    load_checkpoint,
    load_training_state,
    newest_checkpoint,
    on_cpu,
    save_checkpoint,
)
from lipforge.train.device import Device
from lipforge.train.interrupts import InterruptGuard
from lipforge.train.journal import Journal
from lipforge.train.learner import Learner
from lipforge.train.prefetch import Prefetch
from lipforge.train.task import Batch, Loss, Task


@dataclass(frozen=True)
class RunOptions:
    """Where and how long a run goes.

    Attributes:
        out: run folder.
        resume: continue from the newest checkpoint in ``out``.
        minutes: end after that much training time, counted over resumes, and let the learning rate follow the clock;
            None ends at the configured number of steps and is reproducible bit for bit on a CPU.
    """

    out: Path
    resume: bool = False
    minutes: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the last step, its checkpoint, and whether it was interrupted."""

    step: int
    checkpoint: Path
    interrupted: bool


class Loop:
    """Trains the networks of a task until the steps or the minutes are used up.

    Args:
        task: the trainer.
        options: run folder, resuming and time limit.
        device: where to train.
        console: where progress goes; standard error by default.

    Raises:
        ConfigError: nothing to resume, another network than the checkpoint's, or a run folder that is in use.
    """

    def __init__(self, task: Task, options: RunOptions, device: Device, console: Console | None = None) -> None:
        self._task, self._options, self._device = task, options, device
        self._console = console or Console(stderr=True)
        torch.manual_seed(task.loop.seed)
        self._learners = {name: Learner(net, task.loop, device) for name, net in task.networks.items()}
        self._step = 0
        self._seconds = 0.0  # training time of this run, over all resumes
        self._saved_step, self._saved_s = -1, time.monotonic()
        self._validated_step = -1
        self._sums: dict[str, Tensor] = {}
        self._logged_step, self._logged_s = 0, time.monotonic()
        if options.resume:
            self._restore()
        elif newest_checkpoint(options.out) is not None:
            raise ConfigError(f"{options.out}: already holds checkpoints; add --resume or choose another --out.")

    def run(self) -> Outcome:
        """Train; Ctrl-C or SIGTERM finishes the step, saves and returns.

        Raises:
            LipforgeError: a loss or gradient was not finite; the batch is saved in the run folder.
        """
        self._options.out.mkdir(parents=True, exist_ok=True)
        with (
            InterruptGuard() as interrupts,
            Journal(self._options.out, self._console) as journal,
            Prefetch(self._task.batch, self._step) as batches,
        ):
            self._announce(journal)
            while self._progress() < 1.0 and not interrupts.requested:
                started_s = time.monotonic()
                self._train_one_step(batches.next())
                self._seconds += time.monotonic() - started_s
                self._do_what_is_due(journal)
            if self._saved_step != self._step:
                self._save(journal)
            if not interrupts.requested and self._validated_step != self._step:
                self._validate(journal)
        return Outcome(self._step, self._options.out / f"step-{self._step:08d}", interrupts.requested)

    def _train_one_step(self, original: Batch) -> None:
        progress = self._progress()
        networks = {name: learner.network for name, learner in self._learners.items()}
        losses = self._task.losses(networks, {name: self._to_device(value) for name, value in original.items()})
        while (loss := self._next_loss(losses)) is not None:
            learner = self._learners[loss.network]
            if not torch.isfinite(loss.total):
                self._stop_for(original, f"the loss of {loss.network} is not finite")
            norm = learner.step(loss.total, progress)
            if not math.isfinite(norm) and not learner.tolerates_overflow:
                self._stop_for(original, f"the gradient of {loss.network} is not finite")
            for name, value in {**loss.parts, f"{loss.network}_gradient_norm": torch.tensor(norm)}.items():
                self._sums[name] = self._sums.get(name, torch.zeros(())) + value.detach().cpu()
        self._step += 1

    def _next_loss(self, losses: Iterator[Loss]) -> Loss | None:
        with self._device.autocast():  # the forward pass only: the backward pass runs outside
            return next(losses, None)

    def _to_device(self, value: Tensor) -> Tensor:
        if self._device.pins_memory:
            value = value.pin_memory()
        value = value.to(self._device.torch_device, non_blocking=True)
        return value.contiguous(memory_format=self._device.memory_format) if value.ndim == 4 else value

    def _progress(self) -> float:
        share = self._step / self._task.loop.steps
        if self._options.minutes is not None:
            share = max(share, self._seconds / (60.0 * self._options.minutes))
        return min(1.0, share)

    def _do_what_is_due(self, journal: Journal) -> None:
        config = self._task.loop
        if self._step % config.log_every == 0:
            self._log(journal)
        if config.validate_every and self._step % config.validate_every == 0:
            self._validate(journal)
        if config.image_every and self._step % config.image_every == 0:
            with self._learners[self._task.kind].evaluating() as network:
                journal.images(self._step, self._task.images(network, self._device))
        minutes = (time.monotonic() - self._saved_s) / 60.0
        if (config.save_every and self._step % config.save_every == 0) or 0 < config.save_minutes <= minutes:
            self._save(journal)

    def _log(self, journal: Journal) -> None:
        now_s, steps = time.monotonic(), self._step - self._logged_step
        rate = steps * self._task.loop.batch_size / max(1e-9, now_s - self._logged_s)
        means = {name: float(total) / steps for name, total in self._sums.items()}
        self._sums, self._logged_step, self._logged_s = {}, self._step, now_s
        learning_rate = self._learners[self._task.kind].set_rate(self._progress())
        journal.scalars(self._step, "train", {**means, "samples_per_second": rate, "learning_rate": learning_rate})
        facts = "  ".join(f"{name} {value:.4f}" for name, value in means.items() if not name.endswith("norm"))
        journal.progress(self._step, self._progress(), f"{rate:.0f} samples/s  {facts}")

    def _validate(self, journal: Journal) -> None:
        with self._learners[self._task.kind].evaluating() as network:
            metrics = self._task.validate(network, self._device)
        journal.scalars(self._step, "validation", metrics)
        facts = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        journal.say(f"step {self._step}  held-out: {facts}")
        self._validated_step = self._step

    def _announce(self, journal: Journal) -> None:
        parameters = sum(p.numel() for p in self._learners[self._task.kind].network.parameters())
        journal.say(
            f"{self._task.kind}: {parameters / 1e6:.2f} M parameters on {self._device.torch_device}, "
            f"{self._task.dataset.samples} clips, step {self._step} of at most {self._task.loop.steps}"
        )
        for note in self._task.notes:
            journal.say(f"note: {note}")
        self._logged_step, self._logged_s = self._step, time.monotonic()

    def _save(self, journal: Journal) -> None:
        task, dataset = self._task, self._task.dataset
        header = {
            "kind": task.kind,
            "step": self._step,
            "model": task.model_args,
            "specs": {name: spec.to_dict() for name, spec in task.specs.items()},
            "config": task.config,
            "dataset": {"fps": dataset.fps, "samples": dataset.samples, "fingerprint": dataset.fingerprint},
        }
        training = {
            "learners": {name: learner.state() for name, learner in self._learners.items()},
            "random": self._device.random_state(),
            "seconds": self._seconds,
            "task": task.state(),
        }
        folder = save_checkpoint(self._options.out, header, self._learners[task.kind].average.state_dict(), training)
        delete_old_checkpoints(self._options.out, task.loop.keep_last)
        self._saved_step, self._saved_s = self._step, time.monotonic()
        journal.say(f"saved {folder}")

    def _restore(self) -> None:
        folder = newest_checkpoint(self._options.out)
        if folder is None:
            raise ConfigError(f"{self._options.out}: no checkpoint to resume; leave out --resume to start there.")
        checkpoint, training = load_checkpoint(folder), load_training_state(folder)
        self._check_resumable(folder, checkpoint.kind, checkpoint.model_args, checkpoint.dataset)
        try:
            for name, learner in self._learners.items():
                learner.load_state(training["learners"][name])
            self._device.set_random_state(training["random"])
            self._seconds = float(training["seconds"])
            self._task.load_state(training.get("task", {}))
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{folder}: training.pt does not fit this run ({error!r:.200}).") from error
        self._step = self._saved_step = checkpoint.step

    def _check_resumable(self, folder: Path, kind: str, model: dict[str, Any], dataset: dict[str, Any]) -> None:
        task = self._task
        if (kind, model) != (task.kind, task.model_args):
            raise ConfigError(f"{folder}: holds {kind} {model}, this run asks for {task.kind} {task.model_args}.")
        if dataset.get("fingerprint") != task.dataset.fingerprint:
            self._console.print(f"note: {task.dataset.root} is not the dataset that {folder.name} was trained on")

    def _stop_for(self, batch: Batch, reason: str) -> NoReturn:
        path = self._options.out / f"bad-batch-step-{self._step:08d}.pt"
        torch.save(on_cpu(batch), path)
        raise LipforgeError(
            f"step {self._step}: {reason}; the batch is saved as {path}. Lower loop.learning_rate or look at the "
            "batch; --resume continues from the last checkpoint."
        )
