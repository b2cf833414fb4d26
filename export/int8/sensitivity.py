"""Which layers do not bear 8 bits: found by quantising each alone and looking at the mouths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from lipforge.export.int8.mouth import Likeness
from lipforge.export.int8.quantiser import Quantiser

MOST_FLOATS = 0.5
"""Share of a graph's layers that may stay in float32; with more of them it would be 8 bits in name only."""

SHOWN_EVERY = 10
"""Layers; a large network's take seconds each."""

Look = Callable[[onnx.ModelProto], Likeness]


@dataclass(frozen=True)
class Choice:
    """A graph in 8 bits.

    Attributes:
        model: the graph.
        floats: layers left in float32, the most sensitive first.
        likeness: of the mouths that were looked at.
    """

    model: onnx.ModelProto
    floats: tuple[str, ...]
    likeness: Likeness


def choose_layers(quantiser: Quantiser, look: Look, goal_db: float, say: Callable[[str], None]) -> Choice:
    """Leave as few layers in float32 as needed.

    All layers first; if that is not good enough, each layer is quantised alone, and those that do the most harm are
    left in float32, one more at a time.

    Args:
        quantiser: of the graph.
        look: draws mouths with a graph.
        goal_db: PSNR to be reached.
        say: called with what happens.

    Returns:
        The first choice that reaches the goal, or the best one if none does.
    """
    best = _choose(quantiser, look, ())
    if best.likeness.psnr_db >= goal_db:
        return best
    say(f"all in 8 bits gives {best.likeness.psnr_db:.1f} dB, {goal_db:g} are wanted: measuring each layer alone")
    order = rank_layers(quantiser, look, say)
    for count in range(1, int(MOST_FLOATS * len(order)) + 1):
        choice = _choose(quantiser, look, order[:count])
        say(f"with {count} of {len(order)} layers in float32, now {order[count - 1]}: {choice.likeness.psnr_db:.1f} dB")
        if choice.likeness.psnr_db >= goal_db:
            return choice
        best = max(best, choice, key=lambda one: one.likeness.psnr_db)
    return best


def rank_layers(quantiser: Quantiser, look: Look, say: Callable[[str], None]) -> tuple[str, ...]:
    """Return all layers, the one that does the most harm alone first."""
    harm: dict[str, float] = {}
    for layer in quantiser.layers:
        harm[layer] = look(quantiser.only([layer])).psnr_db
        if len(harm) % SHOWN_EVERY == 0:
            say(f"measured {len(harm)} of {len(quantiser.layers)} layers")
    return tuple(sorted(harm, key=lambda layer: harm[layer]))


def _choose(quantiser: Quantiser, look: Look, floats: Sequence[str]) -> Choice:
    model = quantiser.quantised(floats)
    return Choice(model, tuple(floats), look(model))
