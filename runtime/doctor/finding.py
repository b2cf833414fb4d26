"""One row of the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "missing", "problem", "optional"]


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes:
        section: heading that it stands under.
        name: what was looked at.
        status: ``ok``; ``missing``: not there; ``problem``: there, but not as it should be; ``optional``: not there,
            and nothing but the feature that is named in ``fix`` misses it.
        detail: what was found.
        fix: what to do; empty if there is nothing to do.
        required: whether ``lipforge sync`` cannot work unless the status is ``ok``.
    """

    section: str
    name: str
    status: Status
    detail: str
    fix: str = ""
    required: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON-ready values."""
        return asdict(self)


def healthy(findings: Iterable[Finding]) -> bool:
    """Tell whether everything that is required is there and in order."""
    return all(row.status == "ok" for row in findings if row.required)
