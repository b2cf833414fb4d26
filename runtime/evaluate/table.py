"""The report as lines of text: a table that reads the same on a terminal and in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lipforge.runtime.evaluate.catalogue import MEASURES
from lipforge.runtime.evaluate.report import Report, shown, shown_interval

GAP = "  "
Row = Sequence[str]


def lines_of(report: Report) -> Iterator[str]:
    """Yield the table of one video, or of the means over several, then what is absent and why."""
    if len(report.judgements) == 1:
        found = report.judgements[0]
        yield str(found.observation.path)
        yield from _aligned(("measure", "value", "95 % interval", "unit", "good"), _rows_of_one(report), "lrrll")
    else:
        yield f"{len(report.judgements)} videos"
        headings = ("measure", "mean", "95 % interval", "lowest", "highest", "videos", "unit", "good")
        yield from _aligned(headings, _rows_of_many(report), "lrrrrrll")
    yield f"expert: {report.expert or 'none'}"
    sources = sorted({found.closure_source for found in report.judgements if found.closure_source})
    if sources:
        yield f"closures from: {', '.join(sources)}"
    yield from absences(report)
    yield from (f"not judged: {video}: {fault}" for video, fault in report.faults.items())


def absences(report: Report) -> list[str]:
    """Return one line a reason: which measures no video has, and why."""
    by_reason: dict[str, list[str]] = {}
    for name in MEASURES:
        if any(name in found.values for found in report.judgements):
            continue
        if reasons := {found.absent[name] for found in report.judgements if name in found.absent}:
            by_reason.setdefault("; ".join(sorted(reasons)), []).append(name)
    return [f"absent: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _rows_of_one(report: Report) -> list[Row]:
    values = report.judgements[0].values
    return [
        (measure.title, shown(name, values[name]), shown_interval(name, values[name]), measure.unit, measure.good)
        for name, measure in MEASURES.items()
        if name in values
    ]


def _rows_of_many(report: Report) -> list[Row]:
    rows: list[Row] = []
    means = report.means()
    for name, mean in means.items():
        known = sorted(found.values[name] for found in report.judgements if name in found.values)
        ends = shown(name, known[0]), shown(name, known[-1])
        measure = MEASURES[name]
        row = (shown(name, mean), shown_interval(name, mean), *ends, str(len(known)), measure.unit, measure.good)
        rows.append((measure.title, *row))
    return rows


def _aligned(headings: Row, rows: Sequence[Row], sides: str) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        )
        yield (GAP + GAP.join(cells)).rstrip()
