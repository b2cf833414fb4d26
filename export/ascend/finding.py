"""What a rule found in a graph: one line that names the place, the reason and the way out."""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass
from typing import Any, Literal

import onnx

Severity = Literal["error", "warning"]
SCOPES = "pkg.torch.onnx.name_scopes"
"""Where the exporter built on torch.export keeps the modules that a node comes from."""


@dataclass(frozen=True)
class Finding:
    """A place that ATC or the NPU would not take as it is.

    Attributes:
        rule: code of the rule, such as ``ASC002``.
        severity: ``error`` stops the export, ``warning`` is told.
        graph: name of the graph.
        node: name of the node, input or tensor; empty for the graph as a whole.
        operator: of the node; empty where there is none.
        module: torch module that the node comes from; empty where that is not known.
        reason: what is wrong.
        fix: what to do.
    """

    rule: str
    severity: Severity
    graph: str
    node: str
    operator: str
    module: str
    reason: str
    fix: str

    def __str__(self) -> str:
        """Return the finding as one line."""
        about = ", ".join([self.operator] * bool(self.operator) + [f"module {self.module}"] * bool(self.module))
        place = f"{self.node}{f' ({about})' if about else ''}: " if self.node else ""
        return f"{self.rule} {self.graph}: {place}{self.reason}. {self.fix}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready values."""
        return asdict(self)


def module_of(node: onnx.NodeProto) -> str:
    """Return the torch module that a node comes from, as ``named_modules`` calls it; empty if the node does not tell.

    Both of torch's exporters are read: one keeps the modules as metadata, the other in the node's name
    (``/network/down.0/down.0.1/conv/Conv``, where a part may repeat the one before it).
    """
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
            except (SyntaxError, ValueError):
                break
            return str(scopes[-2]) if isinstance(scopes, list) and len(scopes) > 1 else ""
    path: list[str] = []
    for part in node.name.split("/")[1:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)
