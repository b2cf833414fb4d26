"""Rewrites of a traced graph: each leaves what it computes unchanged, and fewer or simpler nodes."""

from __future__ import annotations

from lipforge.export.graph import Graph
from lipforge.export.passes.batch_norm import fold_batch_norm
from lipforge.export.passes.constant_planes import fold_constant_planes
from lipforge.export.passes.constants import fold_constants, remove_identities


def simplify(graph: Graph) -> None:
    """Apply the rewrites that suit every target, in the order in which they help each other."""
    remove_identities(graph)
    fold_constants(graph)
    fold_batch_norm(graph)
    fold_constant_planes(graph)
    graph.prune()
