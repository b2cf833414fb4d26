"""Real inputs from a dataset: one part to calibrate with, another, held out from training, to judge by."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.mouth import MouthSamples, Run
from lipforge.kernels.errors import ConfigError
from lipforge.runtime.manifest import Manifest

if TYPE_CHECKING:
    from lipforge.export.int8.target import Int8Options

SEED = 808
HELD_OUT_SHARE = 0.2
"""Of the clips, where the dataset does not say which ones are held out."""


def open_samples(
    manifest: Manifest, options: Int8Options, own: Mapping[str, Run]
) -> tuple[MouthSamples, MouthSamples, str]:
    """Draw samples for calibration and for judging from a dataset.

    Args:
        manifest: of the bundle, whose recipes say what its graphs are fed.
        options: which dataset, and how many samples.
        own: the bundle's own graphs.

    Returns:
        Both parts, which share no clip, and the dataset's fingerprint.

    Raises:
        InputError: the folder is not a dataset, holds nothing that these graphs take, or is damaged.
        ConfigError: the dataset was made by another recipe.
    """
    assert options.calibration is not None  # ``Int8Options.check`` has seen to it
    counts = options.samples, options.judged
    if manifest.generator == "warp":
        from lipforge.export.int8.warp_samples import open_warp_samples

        return open_warp_samples(manifest, options.calibration, counts, own)
    from lipforge.export.int8.inpaint_samples import open_inpaint_samples

    return open_inpaint_samples(manifest, options.calibration, counts, own)


def check_fps(manifest: Manifest, fps: float, root: Path) -> None:
    """Check that a dataset's frames follow each other as the bundle's do.

    Raises:
        ConfigError: they do not.
    """
    if fps != manifest.fps:
        raise ConfigError(f"{root}: {fps:g} frames a second, the bundle was trained at {manifest.fps:g}.")


def mel_window(spectrogram: NDArray[np.floating], frame: int, manifest: Manifest) -> NDArray[np.float32]:
    """Return a frame's mel window, float32 (1, M, C); what lies outside of the sound is silence."""
    first = manifest.window.first_column(Fraction(frame) / Fraction(manifest.fps).limit_denominator(1000), manifest.mel)
    window = np.full((1, manifest.mel.n_mels, manifest.window.columns), -manifest.mel.max_abs, np.float32)
    start, end = max(0, first), min(spectrogram.shape[1], first + manifest.window.columns)
    if start < end:
        window[0, :, start - first : end - first] = spectrogram[:, start:end]
    return window
