"""Seeded inputs on which a graph is compared with torch: typical ones, random ones and extremes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.export.plan import Arrays, GraphPlan
from lipforge.kernels.polygon import draw_lips
from lipforge.kernels.spec import LipSpec, MelSpec

SEED = 20_240_229


def random(plan: GraphPlan, seed: int) -> Arrays:
    """Make one sample of independent values over the whole range of each input: batch 1."""
    rng = np.random.default_rng(seed)
    inputs: Arrays = {}
    for entry in plan.inputs:
        shape = (1, *(int(size) for size in entry.shape[1:]))
        if entry.dtype == "uint8":
            inputs[entry.name] = rng.integers(0, 256, shape, np.uint8)
        else:
            inputs[entry.name] = rng.uniform(-plan.float_limit, plan.float_limit, shape).astype(np.float32)
    return inputs


def extreme(plan: GraphPlan) -> Arrays:
    """Make one sample of every input's lowest value - silence, black, no lips - at batch 1."""
    lowest = {"uint8": 0.0, "float32": -plan.float_limit}
    return {
        entry.name: np.full((1, *(int(size) for size in entry.shape[1:])), lowest[entry.dtype], np.dtype(entry.dtype))
        for entry in plan.inputs
    }


def batches(plan: GraphPlan) -> list[Arrays]:
    """Return the inputs of the comparison: the typical sample alone, then a batch of three unlike ones."""
    samples = [random(plan, SEED + 1), plan.typical, extreme(plan)]
    return [plan.typical, {name: np.concatenate([sample[name] for sample in samples]) for name in plan.typical}]


def draw_voice(mel: MelSpec, columns: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a log-mel window (n_mels, columns): three formants that glide over a noisy floor, first a silent quarter."""
    band = np.arange(mel.n_mels)[:, None] / mel.n_mels
    time = np.linspace(0.0, 1.0, columns)[None]
    ridges = [
        np.exp(-(((band - centre - glide * time) / 0.05) ** 2)) for centre, glide in rng.uniform(0.1, 0.4, (3, 2))
    ]
    level = -0.7 + 1.4 * np.max(ridges, axis=0) + rng.normal(0.0, 0.05, (mel.n_mels, columns))
    level[:, : columns // 4] = -1.0
    return np.asarray(np.clip(level, -1.0, 1.0) * mel.max_abs, np.float32)


def draw_face(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a crop, uint8 (S, S, 3), in skin colours: smooth shading, grain and a dark red band where the mouth is."""
    y, x = np.mgrid[:size_px, :size_px] / size_px
    shade = 0.75 + 0.25 * np.cos(2.5 * (x - 0.4)) * np.cos(2.0 * (y - 0.3))
    skin = shade[..., None] * np.array([205.0, 160.0, 135.0])
    mouth = np.exp(-(((x - 0.5) / 0.14) ** 2) - ((y - 0.54) / 0.035) ** 2)[..., None]
    image = skin * (1 - mouth) + np.array([140.0, 60.0, 60.0]) * mouth + rng.normal(0.0, 4.0, (size_px, size_px, 1))
    return np.asarray(np.clip(np.round(image), 0, 255), np.uint8)


def draw_mouth(lips: LipSpec, size_px: int, opening: float) -> NDArray[np.uint8]:
    """Draw lip planes, uint8 (2, S, S): ellipses, open by a share of the crop's side."""
    rings = []
    for count, width, height in ((lips.outer_points, 0.14, 0.05 + opening / 2), (lips.inner_points, 0.1, opening / 2)):
        angle = 2 * np.pi * np.arange(count) / count
        rings.append(np.stack([0.5 - width * np.cos(angle), 0.55 - height * np.sin(angle)], axis=1))
    return draw_lips((np.concatenate(rings) * size_px).astype(np.float32), lips, size_px)
