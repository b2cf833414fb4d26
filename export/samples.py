"""Seeded inputs on which a graph is compared with torch: typical ones, random ones and extremes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.export.plan import GraphPlan
from lipforge.export.sources import Recipe
from lipforge.kernels.polygon import draw_lips
from lipforge.kernels.spec import LipSpec

Arrays = dict[str, NDArray[np.generic]]
SEED = 20_240_229


def typical(plan: GraphPlan, recipe: Recipe) -> Arrays:
    """Make one sample like those that the runtime feeds: batch 1, the same for every call.

    Args:
        plan: the graph to be fed.
        recipe: the ranges of values.

    Returns:
        Arrays by input name with the dtypes and shapes of the plan.
    """
    rng = np.random.default_rng(SEED)
    if plan.name == "audio2lips":
        return {"mel": _voice(recipe, rng)[None]}
    mouth = recipe.lips, recipe.crop.size_px
    return {
        "reference": _face(recipe.crop.size_px, rng)[None],
        "reference_lips": _mouth(*mouth, opening=0.02)[None],
        "target_lips": _mouth(*mouth, opening=0.09)[None],
    }


def random(plan: GraphPlan, recipe: Recipe, seed: int) -> Arrays:
    """Make one sample of independent values over the whole range of each input: batch 1."""
    rng = np.random.default_rng(seed)
    inputs: Arrays = {}
    for entry in plan.inputs:
        shape = (1, *(int(size) for size in entry.shape[1:]))
        if entry.dtype == "uint8":
            inputs[entry.name] = rng.integers(0, 256, shape, np.uint8)
        else:
            inputs[entry.name] = rng.uniform(-recipe.mel.max_abs, recipe.mel.max_abs, shape).astype(np.float32)
    return inputs


def extreme(plan: GraphPlan, recipe: Recipe) -> Arrays:
    """Make one sample of every input's lowest value - silence, black, no lips - at batch 1."""
    lowest = {"uint8": 0, "float32": -recipe.mel.max_abs}
    return {
        entry.name: np.full((1, *(int(size) for size in entry.shape[1:])), lowest[entry.dtype], np.dtype(entry.dtype))
        for entry in plan.inputs
    }


def batches(plan: GraphPlan, recipe: Recipe) -> list[Arrays]:
    """Return the inputs of the comparison: the typical sample alone, then a batch of three unlike ones."""
    alone = typical(plan, recipe)
    samples = [random(plan, recipe, SEED + 1), alone, extreme(plan, recipe)]
    return [alone, {name: np.concatenate([sample[name] for sample in samples]) for name in alone}]


def _voice(recipe: Recipe, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a log-mel window: three formants that glide over a noisy floor, silence in the first quarter."""
    band = np.arange(recipe.mel.n_mels)[:, None] / recipe.mel.n_mels
    time = np.linspace(0.0, 1.0, recipe.window.columns)[None]
    ridges = [
        np.exp(-(((band - centre - glide * time) / 0.05) ** 2)) for centre, glide in rng.uniform(0.1, 0.4, (3, 2))
    ]
    level = -0.7 + 1.4 * np.max(ridges, axis=0) + rng.normal(0.0, 0.05, (recipe.mel.n_mels, recipe.window.columns))
    level[:, : recipe.window.columns // 4] = -1.0
    return np.asarray(np.clip(level, -1.0, 1.0) * recipe.mel.max_abs, np.float32)


def _face(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a crop in skin colours: smooth shading, grain and a dark red band where the mouth is."""
    y, x = np.mgrid[:size_px, :size_px] / size_px
    shade = 0.75 + 0.25 * np.cos(2.5 * (x - 0.4)) * np.cos(2.0 * (y - 0.3))
    skin = shade[..., None] * np.array([205.0, 160.0, 135.0])
    mouth = np.exp(-(((x - 0.5) / 0.14) ** 2) - ((y - 0.54) / 0.035) ** 2)[..., None]
    image = skin * (1 - mouth) + np.array([140.0, 60.0, 60.0]) * mouth + rng.normal(0.0, 4.0, (size_px, size_px, 1))
    return np.asarray(np.clip(np.round(image), 0, 255), np.uint8)


def _mouth(lips: LipSpec, size_px: int, opening: float) -> NDArray[np.uint8]:
    """Draw lip planes: ellipses, open by a share of the crop's side."""
    rings = []
    for count, width, height in ((lips.outer_points, 0.14, 0.05 + opening / 2), (lips.inner_points, 0.1, opening / 2)):
        angle = 2 * np.pi * np.arange(count) / count
        rings.append(np.stack([0.5 - width * np.cos(angle), 0.55 - height * np.sin(angle)], axis=1))
    return draw_lips((np.concatenate(rings) * size_px).astype(np.float32), lips, size_px)
