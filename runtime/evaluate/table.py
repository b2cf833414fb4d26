"""The report as a table on the terminal."""

from __future__ import annotations

from lipforge.runtime.evaluate.catalogue import MEASURES
from lipforge.runtime.evaluate.report import Report, shown, shown_interval

WIDE_COLUMNS = 4  # videos that stand beside each other; more go one a row


def print_report(report: Report) -> None:
    """Print each measure of each video, the means over several videos, and why measures are absent."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    if len(report.judgements) == 1:
        _print_one(report, console.print)
    elif report.judgements:
        _print_many(report, console.print)
    console.print(f"expert: {report.expert or 'none'}", markup=False)
    for line in absences(report):
        console.print(line, markup=False)
    for video, fault in report.faults.items():
        console.print(f"not judged: {video}: {fault}", markup=False)


def absences(report: Report) -> list[str]:
    """Return one line a reason: which measures no video has, and why."""
    by_reason: dict[str, list[str]] = {}
    for name in MEASURES:
        reasons = {found.absent[name] for found in report.judgements if name in found.absent}
        if reasons and not any(name in found.values for found in report.judgements):
            by_reason.setdefault("; ".join(sorted(reasons)), []).append(name)
    return [f"absent: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _print_one(report: Report, say: object) -> None:
    from rich.console import Console
    from rich.table import Table

    found = report.judgements[0]
    table = Table(title=str(found.observation.path), title_justify="left")
    for heading, justify in (("measure", "left"), ("value", "right"), ("95 % interval", "right"), ("unit", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("good")
    for name, measure in MEASURES.items():
        if name in found.values:
            value = found.values[name]
            cells = (measure.title, shown(name, value), shown_interval(name, value), measure.unit, measure.good)
            table.add_row(*cells)
    Console(highlight=False).print(table)


def _print_many(report: Report, say: object) -> None:
    from rich.console import Console
    from rich.table import Table

    means = report.means()
    table = Table(title=f"{len(report.judgements)} videos", title_justify="left")
    table.add_column("measure")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("lowest and highest", justify="right")
    table.add_column("videos", justify="right")
    table.add_column("unit")
    table.add_column("good")
    for name, measure in MEASURES.items():
        having = [found for found in report.judgements if name in found.values]
        if not having:
            continue
        ends = sorted(having, key=lambda found: found.values[name].value)
        low, high = (shown(name, found.values[name]) for found in (ends[0], ends[-1]))
        cells = (measure.title, shown(name, means[name]), shown_interval(name, means[name]), f"{low} .. {high}")
        table.add_row(*cells, str(len(having)), measure.unit, measure.good)
    Console(highlight=False).print(table)
