"""Every measure by name: what it says, in which unit, and what is good. docs/evaluate.md explains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """How a measure is shown.

    Attributes:
        title: in a table.
        unit: of its value; empty for shares and correlations.
        better: which way is better; ``none`` for what only explains others.
        good: what a good video has.
        decimals: shown.
    """

    title: str
    unit: str
    better: Literal["high", "low", "zero", "one", "none"]
    good: str
    decimals: int = 2


MEASURES: Mapping[str, Measure] = {
    "lse_d": Measure("expert distance (LSE-D)", "", "low", "as a real clip's", 3),
    "lse_c": Measure("expert confidence (LSE-C)", "", "high", "as a real clip's", 3),
    "offset_ms": Measure("expert offset, + sound late", "ms", "zero", "within 60, a frame", 0),
    "swapped_lse_c": Measure("confidence for other voices", "", "none", "below its own", 3),
    "sound_start_ms": Measure("sound track starts after picture", "ms", "zero", "0", 0),
    "aperture_corr": Measure("lip opening, correlation", "", "high", ">= 0.9 of a true one"),
    "aperture_lag_ms": Measure("lip opening, lag, + late", "ms", "zero", "within 40", 0),
    "width_corr": Measure("mouth width, correlation", "", "high", ">= 0.7 of a true one"),
    "width_lag_ms": Measure("mouth width, lag, + late", "ms", "zero", "within 40", 0),
    "landmark_distance": Measure("lip landmark distance", "eye dist.", "low", "<= 0.025", 4),
    "own_corr": Measure("lips on speech frames, own", "", "high", ">= 0.52 from sound alone"),
    "swapped_corr": Measure("lips on speech frames, swapped", "", "none", "near 0"),
    "shifted_corr": Measure("lips on speech frames, shifted", "", "none", "near 0"),
    "closure_rate": Measure("closures shut within a frame", "", "high", ">= 0.85"),
    "closure_chance": Measure("... at other times, by chance", "", "none", "well below"),
    "closures": Measure("... closures looked at", "", "none", "", 0),
    "rest_motion": Measure("lip speed in pauses", "eye dist./s", "low", "<= 1.2 x reference", 3),
    "rest_motion_ratio": Measure("... over the reference's", "", "low", "<= 1.2"),
    "sharpness": Measure("mouth sharpness over reference", "", "one", ">= 0.9"),
    "eye_sharpness": Measure("... eyes, where nothing changed", "", "none", "1; lower: encoding"),
    "cheek_change": Measure("change of cheeks and neck", "grey levels", "low", "near the next line"),
    "picture_change": Measure("change outside of the face", "grey levels", "low", "encoding alone"),
    "jitter": Measure("lip jitter", "crop px", "low", "< 0.3", 3),
    "jitter_ratio": Measure("... over the reference's", "", "low", "<= 1.2"),
    "seam": Measure("seam visibility", "grey levels", "low", "< 0.5"),
    "face_share": Measure("frames with a face", "", "high", "1"),
}
"""In the order of reports."""
