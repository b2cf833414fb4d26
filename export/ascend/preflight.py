"""Would ATC take these graphs? Every rule on every graph, before an hour is spent on converting."""

from __future__ import annotations

from collections.abc import Iterable

from lipforge.export.ascend.checked_graph import CheckedGraph
from lipforge.export.ascend.finding import Finding
from lipforge.export.ascend.model_rules import MODEL_RULES
from lipforge.export.ascend.node_rules import NODE_RULES
from lipforge.kernels.errors import ExportError

RULES = (*MODEL_RULES, *NODE_RULES)
SHOWN = 5


def check_graph(graph: CheckedGraph) -> list[Finding]:
    """Apply every rule to a graph."""
    return [finding for rule in RULES for finding in rule(graph)]


def refuse_errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the warnings among findings.

    Raises:
        ExportError: there are errors; the message holds the first few, a line each.
    """
    found = list(findings)
    errors = [finding for finding in found if finding.severity == "error"]
    if not errors:
        return found
    lines = [f"\n  {finding}" for finding in errors[:SHOWN]]
    more = f"\n  and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    raise ExportError(f"not fit for an Ascend NPU; nothing was written.{''.join(lines)}{more}")
