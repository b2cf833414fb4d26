"""What a run tells: TensorBoard scalars and images, a log of metrics, and a progress line."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from lipforge.train.metrics_log import MetricsLog, with_ends

BAR_UNITS = 1000.0
PLAIN_LINE_SECONDS = 20.0  # without a terminal: one line that often, so that a log file stays readable


class Journal:
    """Writes scalars and images below ``run`` and shows progress; use as a context manager.

    Args:
        run: run folder.
        console: where progress goes.
        step: optimiser steps that are done; what was written of later ones is dropped.
    """

    def __init__(self, run: Path, console: Console, step: int) -> None:
        self._writer = SummaryWriter(str(run / "tensorboard"), flush_secs=30, purge_step=step + 1 if step else None)
        self._log = MetricsLog(run, step)
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=BAR_UNITS, facts="")
        self._last_line_s = 0.0

    def __enter__(self) -> Journal:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._writer.close()
        self._log.close()

    def progress(self, step: int, share: float, facts: str) -> None:
        """Show how far the run is; ``share`` in [0, 1]."""
        self._bar.update(self._task, completed=share * BAR_UNITS, description=f"step {step}", facts=facts)
        now_s = time.monotonic()
        if not self.console.is_terminal and now_s - self._last_line_s >= PLAIN_LINE_SECONDS:
            self._last_line_s = now_s
            self.say(f"step {step}  {share:6.1%}  {facts}")

    def say(self, text: str) -> None:
        """Print one line above the progress bar."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def measured(self, step: int, group: str, values: dict[str, float]) -> None:
        """Record numbers that depend on seed, data and step under ``group/name``, with the ends of their intervals."""
        spread = with_ends(values)
        self._log.write(step, group, spread)
        self.timed(step, group, spread)

    def timed(self, step: int, group: str, values: dict[str, float]) -> None:
        """Record numbers that depend on the machine: for TensorBoard alone."""
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def images(self, step: int, images: dict[str, Tensor]) -> None:
        """Record RGB images, float32 (3, H, W) in [0, 1]."""
        for name, image in images.items():
            self._writer.add_image(name, image, step)

    def sync(self) -> None:
        """Wait until the log of metrics is on the disk."""
        self._log.sync()
