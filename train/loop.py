"""The training loop under every trainer: steps, validation, checkpoints, resuming and stopping."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from lipforge.kernels.errors import ConfigError
from lipforge.train.device import Device
from lipforge.train.interrupts import InterruptGuard
from lipforge.train.journal import Journal
from lipforge.train.learner import Learner
from lipforge.train.metrics import Estimate
from lipforge.train.prefetch import Prefetch
from lipforge.train.ranks import ALONE, Ranks
from lipforge.train.run_folder import checkpoint_name, newest_checkpoint, run_folder_held
from lipforge.train.run_state import RunKeeper, RunState
from lipforge.train.task import Batch, Task
from lipforge.train.train_step import TrainStep

ECHO_SECONDS = 2.0  # torchrun passes a Ctrl-C on to processes that had it from the terminal already


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
        ranks: who trains along; they have to be connected already.

    Raises:
        ConfigError: nothing to resume, another network than the checkpoint's, a run folder that is in use, a precision
            that a network does not have on the device, or a batch that cannot be shared out.
    """

    def __init__(
        self,
        task: Task,
        options: RunOptions,
        device: Device,
        console: Console | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._task, self._options, self._device, self._ranks = task, options, device, ranks
        self._console = console or Console(stderr=True)
        self._rows = ranks.rows(task.loop.batch_size)
        if (self._rows.stop - self._rows.start) % task.loop.accumulate:
            raise ConfigError(
                f"loop.batch_size={task.loop.batch_size} on {ranks.size} ranks cannot be cut into "
                f"loop.accumulate={task.loop.accumulate} equal parts."
            )
        for name, network in task.networks.items():
            device.refuse_unsuited(name, network)
        torch.manual_seed(task.loop.seed + ranks.rank)  # ranks must not drop out the same units
        learners = {name: Learner(net, task.loop, device, ranks) for name, net in task.networks.items()}
        self._learner = learners[task.kind]
        self._train_step = TrainStep(task, learners, device, ranks, options.out)
        self._keeper = RunKeeper(options.out, task, learners, device, ranks)
        self._state, self._notes = RunState(), list(task.notes)
        self._saved_step, self._saved_s = -1, time.monotonic()
        self._logged_step, self._logged_s = 0, time.monotonic()
        if not options.resume and newest_checkpoint(options.out) is not None:
            raise ConfigError(f"{options.out}: already holds checkpoints; add --resume or choose another --out.")

    def run(self) -> Outcome:
        """Train; Ctrl-C or SIGTERM finishes the step, saves and returns.

        Raises:
            LipforgeError: a loss or gradient was not finite (the batch is saved in the run folder), or a checkpoint
                could not be written.
        """
        with ExitStack() as stack:
            if self._ranks.is_first:
                stack.enter_context(run_folder_held(self._options.out))
            self._ranks.highest([0.0])  # nobody reads before rank 0 has tidied up
            self._restore()
            interrupts = stack.enter_context(InterruptGuard(ECHO_SECONDS if self._ranks.size > 1 else 0.0))
            journal = stack.enter_context(self._journal())
            batches = stack.enter_context(Prefetch(self._make_batch, self._state.step, self._task.loop.data_threads))
            self._announce(journal)
            stop = self._agree(interrupts)
            if not stop and self._is_due(self._task.loop.validate_every) and self._validate(journal):
                self._save(journal)
            while self._progress() < 1.0 and not stop:
                self._advance(batches)
                stop = self._agree(interrupts)
                self._do_what_is_due(journal, stop)
            if self._saved_step != self._state.step:
                self._save(journal)
        return Outcome(self._state.step, self._options.out / checkpoint_name(self._state.step), stop)

    def _advance(self, batches: Prefetch) -> None:
        started_s, clock = time.monotonic(), self._train_step.clock
        clock.begin_step(measured=(self._state.step + 1) % self._task.loop.log_every == 0)
        with clock.stage("data"):
            batch = batches.next()
        self._train_step(batch, self._state.step, self._progress())
        self._state.step += 1
        self._state.seconds += time.monotonic() - started_s

    def _make_batch(self, step: int) -> Batch:
        batch = self._task.batch(step) if self._ranks.size == 1 else self._task.rows_of_batch(step, self._rows)
        if self._device.pins_memory and self._task.loop.pin_memory:
            batch = {name: value.pin_memory() for name, value in batch.items()}
        return batch

    def _agree(self, interrupts: InterruptGuard) -> bool:
        """Decide with all ranks what only one may know: that Ctrl-C was pressed, and what time it is."""
        idle_minutes = (time.monotonic() - self._saved_s) / 60.0
        stop, seconds, self._idle_minutes = self._ranks.highest(
            [float(interrupts.requested), self._state.seconds, idle_minutes]
        )
        self._state.seconds = seconds
        return stop > 0.0

    def _progress(self) -> float:
        share = self._state.step / self._task.loop.steps
        if self._options.minutes is not None:
            share = max(share, self._state.seconds / (60.0 * self._options.minutes))
        return min(1.0, share)

    def _do_what_is_due(self, journal: Journal | None, stop: bool) -> None:
        config = self._task.loop
        if self._state.step % config.log_every == 0:
            self._log(journal)
        if stop:  # whoever pressed Ctrl-C does not want to wait; a resumed run makes up for it
            if journal is not None:
                journal.say(f"interrupted: saving step {self._state.step}; --resume goes on from there")
            return
        is_best = self._is_due(config.validate_every) and self._validate(journal)
        if config.image_every and self._state.step % config.image_every == 0 and journal is not None:
            with self._learner.evaluating() as network:
                journal.images(self._state.step, self._task.images(network, self._device))
        is_time = 0 < config.save_minutes <= self._idle_minutes
        if is_best or is_time or (config.save_every and self._state.step % config.save_every == 0):
            self._save(journal)

    def _is_due(self, validate_every: int) -> bool:
        """Whether this step is to be validated and was not: every so many, and the last one."""
        every = validate_every > 0 and self._state.step > 0 and self._state.step % validate_every == 0
        return (every or self._progress() >= 1.0) and self._state.validated_step != self._state.step

    def _log(self, journal: Journal | None) -> None:
        now_s, step = time.monotonic(), self._state.step
        rate = (step - self._logged_step) * self._task.loop.batch_size / max(1e-9, now_s - self._logged_s)
        means = self._train_step.means.read(self._ranks)
        stages = self._train_step.clock.read()
        self._logged_step, self._logged_s = step, now_s
        learning_rate = self._learner.set_rate(self._progress())
        if journal is None:
            return
        journal.measured(step, "train", {**means, "learning_rate": learning_rate})
        journal.timed(step, "time", {"samples_per_second": rate, **stages})
        facts = "  ".join(f"{name} {value:.4f}" for name, value in means.items() if not name.endswith("norm"))
        journal.progress(step, self._progress(), f"{rate:.0f} samples/s  {facts}")

    def _validate(self, journal: Journal | None) -> bool:
        """Let rank 0 measure the product, tell all ranks, and say whether it is the best so far."""
        found = None
        if journal is not None:
            with self._learner.evaluating() as network:
                metrics = self._task.validate(network, self._device)
            self._state.metrics, self._state.validated_step = metrics, self._state.step
            journal.measured(self._state.step, "validation", metrics)
            facts = "  ".join(f"{name} {_with_interval(value)}" for name, value in metrics.items())
            journal.say(f"step {self._state.step}  held-out: {facts}")
            found = (metrics, self._task.state(), self._keeper.is_best(self._state))
        metrics, task_state, is_best = self._ranks.from_first(found)
        if journal is None:
            self._task.load_state(task_state)
        self._state.metrics, self._state.validated_step = metrics, self._state.step
        return bool(is_best)

    def _announce(self, journal: Journal | None) -> None:
        self._logged_step, self._logged_s = self._state.step, time.monotonic()
        if journal is None:
            return
        parameters = sum(p.numel() for p in self._learner.network.parameters())
        ranks = f" x {self._ranks.size}" if self._ranks.size > 1 else ""
        journal.say(
            f"{self._task.kind}: {parameters / 1e6:.2f} M parameters on {self._device.torch_device}{ranks}, "
            f"{self._task.dataset.samples} clips, step {self._state.step} of at most {self._task.loop.steps}"
        )
        for note in self._notes:
            journal.say(f"note: {note}")

    def _save(self, journal: Journal | None) -> None:
        if journal is not None:
            journal.sync()
        folder = self._keeper.save(self._state, self._train_step.means)
        self._saved_step, self._saved_s = self._state.step, time.monotonic()
        if journal is not None:
            journal.say(f"saved {folder}")

    def _restore(self) -> None:
        if self._options.resume:
            self._state, notes = self._keeper.restore(self._train_step.means)
            self._notes += notes
            self._saved_step = self._state.step

    @contextmanager
    def _journal(self) -> Iterator[Journal | None]:
        """Open the journal of rank 0; the others have none."""
        if not self._ranks.is_first:
            yield None
            return
        with Journal(self._options.out, self._console, self._state.step) as journal:
            yield journal


def _with_interval(value: float) -> str:
    if isinstance(value, Estimate) and value.low == value.low:
        return f"{value:.4f} [{value.low:.4f}, {value.high:.4f}]"
    return f"{value:.4f}"
