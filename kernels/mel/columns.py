"""From padded samples to finished columns: the one call that offline and streaming share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.numba_mel import mel_columns
from lipforge.kernels.mel.plan import plan_for
from lipforge.kernels.spec import MelSpec


def finished_columns(padded: NDArray[np.float64], columns: int, spec: MelSpec) -> NDArray[np.float32]:
    """Return the first columns of a padded signal.

    Args:
        padded: float64 (samples,), pre-emphasised; column k starts at ``k * hop_samples`` and is n_fft long.
        columns: how many; ``padded`` must hold all their samples.
        spec: the recipe.

    Returns:
        float32 (n_mels, columns), in [-max_abs, max_abs].
    """
    plan = plan_for(spec)
    out = np.empty((spec.n_mels, columns), np.float32)
    mel_columns(
        padded,
        spec.hop_samples,
        plan.window,
        plan.cosine,
        plan.sine,
        plan.radices,
        plan.first_bin,
        plan.first_weight,
        plan.weights,
        (spec.amplitude_floor, plan.scale, plan.offset, spec.max_abs),
        out,
    )
    return out
