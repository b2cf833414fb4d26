"""The judgement of several videos as JSON-ready values and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from lipforge.runtime.evaluate.catalogue import MEASURES
from lipforge.runtime.evaluate.interval import Estimate, mean_of_videos
from lipforge.runtime.evaluate.judgement import Judgement

SCHEMA = 1


@dataclass(frozen=True)
class Report:
    """What was judged, and by what.

    Attributes:
        judgements: one a video.
        expert: name of the sync expert and where its weights come from; empty without one.
        faults: videos that could not be judged, with the reason.
    """

    judgements: Sequence[Judgement]
    expert: str
    faults: dict[str, str]

    def means(self) -> dict[str, Estimate]:
        """Return each measure's mean over the videos that have it, with its interval over videos."""
        found = {}
        for name in MEASURES:
            values = [judgement.values[name] for judgement in self.judgements if name in judgement.values]
            if values:
                found[name] = mean_of_videos(values)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as docs/evaluate.md describes it."""
        return {
            "schema": SCHEMA,
            "kind": "lipforge-evaluation",
            "version": metadata.version("lipforge"),
            "expert": self.expert,
            "units": {name: measure.unit for name, measure in MEASURES.items()},
            "videos": [_video(judgement) for judgement in self.judgements],
            "mean": {name: _values(estimate) for name, estimate in self.means().items()},
            "faults": self.faults,
        }


def shown(name: str, estimate: Estimate) -> str:
    """Return a value as tables have it."""
    decimals = MEASURES[name].decimals
    return f"{float(estimate):.{decimals}f}"


def shown_interval(name: str, estimate: Estimate) -> str:
    """Return a value's interval as tables have it; empty if there is none."""
    if not np.isfinite([estimate.low, estimate.high]).all():
        return ""
    decimals = MEASURES[name].decimals
    return f"{estimate.low:.{decimals}f} to {estimate.high:.{decimals}f}"


def compared_frames(found: Judgement) -> int:
    """Return in how many frames both the video and its reference show a face."""
    true = found.curves.get("true_opening")
    return 0 if true is None else int((np.isfinite(true) & np.isfinite(found.curves["opening"])).sum())


def _video(found: Judgement) -> dict[str, Any]:
    seen = found.observation
    return {
        "video": str(seen.path),
        "reference": None if seen.reference_path is None else str(seen.reference_path),
        "frames": len(seen.video.times),
        "compared_frames": compared_frames(found),
        "fps": seen.video.fps,
        "measures": {name: _values(found.values[name]) for name in MEASURES if name in found.values},
        "absent": {name: found.absent[name] for name in MEASURES if name in found.absent and name not in found.values},
        "closures_from": found.closure_source,
        "expert_curve": _curve(found),
    }


def _curve(found: Judgement) -> dict[str, float]:
    if found.verdict is None:
        return {}
    pairs = zip(found.verdict.shifts, found.verdict.distances, strict=True)
    return {str(int(shift)): float(distance) for shift, distance in pairs if np.isfinite(distance)}


def _values(estimate: Estimate) -> dict[str, float | None]:
    ends = {"low": estimate.low, "high": estimate.high}
    return {"value": float(estimate), **{end: value if np.isfinite(value) else None for end, value in ends.items()}}
