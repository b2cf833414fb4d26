"""Everything that a resumed run needs, and how it goes into checkpoints and comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.train.checkpoint import load_checkpoint, load_training_state, save_checkpoint
from lipforge.train.device import Device
from lipforge.train.learner import Learner
from lipforge.train.metrics import Estimate
from lipforge.train.provenance import versions
from lipforge.train.ranks import Ranks
from lipforge.train.run_folder import (
    Best,
    checkpoint_name,
    delete_old_checkpoints,
    newest_checkpoint,
    point_at_best,
    read_best,
)
from lipforge.train.task import Task
from lipforge.train.train_step import Means


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        step: optimiser steps that are done.
        seconds: training time, over all resumes.
        metrics: of the last validation.
        validated_step: when that was; -1 is never.
    """

    step: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    validated_step: int = -1


class RunKeeper:
    """Saves a run in its folder, and restores it.

    Args:
        run: run folder.
        task: the trainer.
        learners: by name of the network.
        device: where they are.
        ranks: who trains along; rank 0 writes.

    Raises:
        ConfigError: ``loop.best_metric`` is none that the trainer measures.
    """

    def __init__(self, run: Path, task: Task, learners: dict[str, Learner], device: Device, ranks: Ranks) -> None:
        self._run, self._task, self._learners, self._device, self._ranks = run, task, learners, device, ranks
        self._versions = versions() if ranks.is_first else {}
        self._metric, self._direction = _best_metric(task)

    def save(self, state: RunState, means: Means) -> Path:
        """Write a checkpoint, point ``best.json`` at it if it is the best, and delete old ones.

        Raises:
            LipforgeError: it cannot be written; earlier checkpoints are as they were.
        """
        random = self._ranks.gather(self._device.random_state())
        sums = self._ranks.gather({name: value.cpu() for name, value in means.sums.items()})
        folder = self._run / checkpoint_name(state.step)
        if not self._ranks.is_first:
            return folder
        training = {
            "learners": {name: learner.state() for name, learner in self._learners.items()},
            "random": random,
            "seconds": state.seconds,
            "task": self._task.state(),
            "means": {"sums": sums, "steps": means.steps},
            "validated_step": state.validated_step,
        }
        weights = self._learners[self._task.kind].average.state_dict()
        folder = save_checkpoint(self._run, self._header(state), weights, training)
        self._note_best(state)
        delete_old_checkpoints(self._run, self._task.loop.keep_last)
        return folder

    def is_best(self, state: RunState) -> bool:
        """Say whether the validation just made is the best so far."""
        value = state.metrics.get(self._metric, math.nan)
        if state.validated_step != state.step or not math.isfinite(value):
            return False
        best = read_best(self._run)
        if best is None or (best.metric, best.direction) != (self._metric, self._direction):
            return True
        return best.is_beaten_by(value)

    def restore(self, means: Means) -> tuple[RunState, list[str]]:
        """Take up the newest checkpoint of the run folder.

        Returns:
            The state, and what the user should know about differences, one line each.

        Raises:
            ConfigError: there is none, or it holds another network.
            InputError: it is damaged.
        """
        folder = newest_checkpoint(self._run)
        if folder is None:
            raise ConfigError(f"{self._run}: no checkpoint to resume; leave out --resume to start there.")
        checkpoint, training = load_checkpoint(folder), load_training_state(folder)
        task = self._task
        if (checkpoint.kind, checkpoint.model_args) != (task.kind, task.model_args):
            raise ConfigError(
                f"{folder}: holds {checkpoint.kind} {checkpoint.model_args}, this run asks for {task.kind} "
                f"{task.model_args}."
            )
        notes = []
        if checkpoint.dataset.get("fingerprint") != task.dataset.fingerprint:
            notes.append(f"{task.dataset.root} is not the dataset that {folder.name} was trained on")
        try:
            notes += self._restore_training(training, means)
            state = RunState(checkpoint.step, float(training["seconds"]), _as_estimates(checkpoint.metrics))
            state.validated_step = int(training.get("validated_step", -1))
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{folder}: training.pt does not fit this run ({error!r:.200}).") from error
        if self._ranks.is_first:
            self._note_best(state)  # if the process died between the checkpoint and best.json
        return state, notes

    def _restore_training(self, training: dict[str, Any], means: Means) -> list[str]:
        for name, learner in self._learners.items():
            learner.load_state(training["learners"][name])
        self._task.load_state(training.get("task", {}))
        random, kept = training["random"], training.get("means", {"sums": [{}], "steps": 0})
        random = random if isinstance(random, list) else [random]  # one rank only, before schema 2
        notes = []
        if len(random) == self._ranks.size:
            self._device.set_random_state(random[self._ranks.rank])
            means.sums, means.steps = dict(kept["sums"][self._ranks.rank]), int(kept["steps"])
            means.sums = {name: value.to(self._device.torch_device) for name, value in means.sums.items()}
        else:
            notes.append(f"saved by {len(random)} ranks, resumed by {self._ranks.size}: random numbers begin anew")
        return notes

    def _header(self, state: RunState) -> dict[str, Any]:
        task, dataset = self._task, self._task.dataset
        return {
            "kind": task.kind,
            "step": state.step,
            "model": task.model_args,
            "specs": {name: spec.to_dict() for name, spec in task.specs.items()},
            "config": task.config,
            "dataset": {"fps": dataset.fps, "samples": dataset.samples, "fingerprint": dataset.fingerprint},
            "metrics": {name: _as_plain(value) for name, value in state.metrics.items() if math.isfinite(value)},
            "versions": self._versions,
        }

    def _note_best(self, state: RunState) -> None:
        if self.is_best(state):
            best = Best(checkpoint_name(state.step), self._metric, self._direction, float(state.metrics[self._metric]))
            point_at_best(self._run, best)


def _best_metric(task: Task) -> tuple[str, str]:
    name = task.loop.best_metric or next(iter(task.better), "")
    if name and name not in task.better:
        raise ConfigError(f"loop.best_metric={name}; {task.kind} can be judged by {', '.join(task.better) or 'none'}.")
    return name, task.better.get(name, "min")


def _as_plain(value: float) -> dict[str, float]:
    plain = {"value": float(value)}
    if isinstance(value, Estimate) and math.isfinite(value.low):
        plain |= {"low": value.low, "high": value.high}
    return plain


def _as_estimates(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    return {
        name: Estimate(value["value"], value["low"], value["high"]) if "low" in value else value["value"]
        for name, value in metrics.items()
    }
