"""Progress of a long command: a bar on a terminal, a few plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

PLAIN_STEP_PERCENT = 10

Show = Callable[[int, int], None]
"""Called with what is done and what there is to do; 0 to do means that nobody knows."""


@contextmanager
def progress_shown(title: str) -> Iterator[Show]:
    """Give a function that shows progress on the standard error stream."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainLines(title).show
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=max(done, total) if total else None)


def announce_compiling() -> None:
    """Say from now on when a kernel is compiled: it takes seconds, and happens once for each kind of CPU."""
    import logging

    class Echo(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            click.echo(f"lipforge: {record.getMessage()}", err=True)

    logger = logging.getLogger("lipforge.kernels.machine_code")
    if not logger.handlers:
        logger.addHandler(Echo())
        logger.setLevel(logging.INFO)


class _PlainLines:
    """Writes a line for every tenth of the work."""

    def __init__(self, title: str) -> None:
        self._title, self._next_percent = title, PLAIN_STEP_PERCENT

    def show(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        if percent >= self._next_percent:
            click.echo(f"{self._title} {min(percent, 100)}%", err=True)
            self._next_percent = percent - percent % PLAIN_STEP_PERCENT + PLAIN_STEP_PERCENT
