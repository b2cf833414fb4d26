"""A line of the specification: what is promised beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One promise.

    Attributes:
        key: of the JSON.
        what: is promised.
        target: in words.
        measured: in words.
        met: whether it is kept; None where nothing was measured or nothing is promised.
        values: the figures themselves, for the JSON.
    """

    key: str
    what: str
    target: str
    measured: str
    met: bool | None
    values: dict[str, Any]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text in columns."""
    marks = {True: "ok", False: "MISSED", None: "-"}
    lines = [("", "target", "measured", "")]
    lines += [(row.what, row.target, row.measured, marks[row.met]) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)] + [0]
    padded = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(text.ljust(width) for text, width in line).rstrip() for line in padded)


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rows' figures by key."""
    return {row.key: {"target": row.target, "met": row.met, **row.values} for row in rows}
