"""Whether a bundle in 8 bits is still in sync: measures in float32 and in 8 bits, and how much may be lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lipforge.export.int8.mouth import Run
from lipforge.kernels.errors import ExportError
from lipforge.runtime.int8_entry import Int8Sync, SyncMeasure
from lipforge.runtime.manifest import Manifest

NOBODY = "none"
"""In place of an expert's name: sync is not judged."""

CLIPS, FRAMES, LEAST_FRAMES = 8, 75, 10
"""Held-out clips that are judged, and the most and the fewest frames of each: three seconds of speech hold a dozen
syllables, and fewer than ten frames offer an expert no shifts worth a look."""


@dataclass(frozen=True)
class Loss:
    """How much of a measure may be lost.

    Attributes:
        better: ``high``, ``low``, or ``same`` if any change is a loss.
        most: the loss that is still none, in the measure's unit.
    """

    better: str
    most: float

    def measure(self, before: float, after: float) -> SyncMeasure:
        """Compare the measure in float32 with that in 8 bits."""
        change = after - before
        lost = {"high": -change, "low": change, "same": abs(change)}[self.better]
        return SyncMeasure(before, after, lost, self.most)


LOSSES: Mapping[str, Loss] = {
    "lse_d": Loss("low", 0.02),
    "lse_c": Loss("high", 0.02),
    "offset_ms": Loss("same", 10.0),
    "aperture_corr": Loss("high", 0.01),
    "aperture_lag_ms": Loss("same", 5.0),
    "landmark_distance": Loss("low", 0.005),
}
"""By the names of ``runtime/evaluate/catalogue.py``. The expert's distances lie between 0 and 2, real clips have a
confidence of a few tenths; a quarter of a frame, and a fifth of what makes a good landmark distance, nobody sees."""

LEAST_CONFIDENCE = 0.1
"""Of the expert in float32: below it the curve over the shifts has no clear valley whose place could move."""


class SyncJudge(Protocol):
    """Judges a generator on held-out clips."""

    @property
    def name(self) -> str:
        """What the manifest calls it."""

    @property
    def clips(self) -> int:
        """How many clips it looks at."""

    @property
    def frames(self) -> int:
        """How many frames they have."""

    def measure(self, graphs: Mapping[str, Run]) -> dict[str, float]:
        """Return measures by name with these graphs; those not given are the bundle's own."""


def open_judges(manifest: Manifest, root: Path, expert: str, own: Mapping[str, Run]) -> Sequence[SyncJudge]:
    """Return who judges a bundle's sync on the held-out clips of a dataset; nobody if that is what was asked for.

    Args:
        manifest: of the bundle.
        root: the dataset.
        expert: name or folder of a sync expert's bundle, or ``NOBODY``.
        own: the bundle's own graphs.

    Raises:
        InputError, ConfigError: the dataset or the expert is not usable.
        ExportError: the expert was not made for such faces or such sound.
        BackendError: the expert cannot be run.
    """
    if expert == NOBODY:
        return ()
    if manifest.generator == "warp":
        from lipforge.export.int8.warp_sync import open_warp_judges

        return open_warp_judges(manifest, root, expert, own)
    from lipforge.export.int8.inpaint_sync import open_expert_judge

    return (open_expert_judge(manifest, root, expert, own),)


def judge_sync(judges: Sequence[SyncJudge], graphs: Mapping[str, Run]) -> Int8Sync:
    """Compare these graphs with the bundle's own."""
    before, after = dict[str, float](), dict[str, float]()
    for judge in judges:
        before |= judge.measure({})
        after |= judge.measure(graphs)
    if before.get("lse_c", 1.0) < LEAST_CONFIDENCE:
        del before["offset_ms"]
    measures = {
        name: LOSSES[name].measure(value, after[name])
        for name, value in before.items()
        if np.isfinite([value, after[name]]).all()
    }
    names = " and ".join(judge.name for judge in judges)
    return Int8Sync(names, min(judge.clips for judge in judges), min(judge.frames for judge in judges), measures)


def check_sync(found: Int8Sync, name: str) -> None:
    """Refuse a bundle that lost sync.

    Raises:
        ExportError: a measure is worse than it may be, or there is none.
    """
    if not found.measures:
        raise ExportError(
            f"{name}: nothing could be measured on {found.frames} held-out frames, so it is not known whether 8 bits "
            "cost sync. Nothing was written. Calibrate with longer clips, or give --expert none to do without."
        )
    worse = [describe(key, one) for key, one in found.measures.items() if not one.loss <= one.most]
    if worse:
        raise ExportError(
            f"{name}: 8 bits cost sync, by {found.judge} on {found.clips} held-out clips: {'; '.join(worse)}. Nothing "
            "was written. Calibrate with data like the model's own, or use another target."
        )


def describe(name: str, one: SyncMeasure) -> str:
    """Return a measure as a person reads it."""
    return f"{name} {one.before:.3f} in float32, {one.after:.3f} in 8 bits (a loss of {one.most:g} is allowed)"


def spread(count: int, most: int) -> Sequence[int]:
    """Return up to ``most`` of so many numbers, evenly spread."""
    return [int(number) for number in np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))]
