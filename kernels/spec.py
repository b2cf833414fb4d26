"""The recipes that every stage shares: mel, face crop, lip geometry and the audio window of a frame.

These frozen dataclasses are defaults for *training*. At run time the bundle's manifest rules: a runtime
builds its specs with ``from_dict`` from the manifest and never assumes a default.

Pixel convention, everywhere: integer coordinates are pixel *centres*, x to the right, y down. Resampling by a
factor k maps ``x_big = (x + 0.5) * k - 0.5`` (torch ``align_corners=False``, OpenCV ``resize``). A 2x3 affine
matrix ``M`` maps image pixels to crop pixels: ``crop = M[:, :2] @ image + M[:, 2]``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from fractions import Fraction
from math import floor
from typing import Any, Literal, TypeVar

from lipforge.kernels.errors import ConfigError

SpecT = TypeVar("SpecT", bound="Spec")


@dataclass(frozen=True)
class Spec:
    """Base of the recipes: a frozen dataclass that travels as a plain dict in a manifest."""

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-ready values (tuples become lists when dumped)."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[SpecT], values: dict[str, Any]) -> SpecT:
        """Build a recipe from a manifest's values.

        Raises:
            ConfigError: a key is unknown or missing; the message names it and the allowed keys.
        """
        allowed = [f.name for f in fields(cls)]
        unknown, missing = sorted(set(values) - set(allowed)), sorted(set(allowed) - set(values))
        if unknown or missing:
            raise ConfigError(
                f"{cls.__name__}: unknown keys {unknown}, missing keys {missing}; allowed are {allowed}. "
                "Was the file written by another version of lipforge? Export it again."
            )
        return cls(**{name: _as_tuple(values[name]) for name in allowed})


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class MelSpec(Spec):
    """Log-mel recipe of Wav2Lip (``audio.py`` and ``hparams.py`` of the published code).

    Column k is centred on sample ``k * hop_samples`` and needs ``n_fft / 2`` samples on both sides.
    Values are float32 in [-max_abs, max_abs]; silence is exactly -max_abs.
    """

    sample_rate_hz: int = 16_000
    n_fft: int = 800
    hop_samples: int = 200
    n_mels: int = 80
    fmin_hz: float = 55.0
    fmax_hz: float = 7600.0
    preemphasis: float = 0.97
    amplitude_floor: float = 1e-5
    ref_level_db: float = 20.0
    min_level_db: float = -100.0
    max_abs: float = 4.0
    padding: Literal["reflect", "constant"] = "reflect"

    @property
    def columns_per_second(self) -> float:
        """Mel columns in one second of audio (80 for the default recipe)."""
        return self.sample_rate_hz / self.hop_samples


@dataclass(frozen=True)
class WhisperMelSpec(Spec):
    """Log-mel recipe of Whisper (``audio.py`` of the published code): 80 mel bands, or 128 since large-v3.

    Column k is centred on sample ``k * hop_samples``, the signal reflected at both ends; as published, the last of the
    ``1 + n // hop_samples`` columns is dropped. A value is ``(log10(power) + 4) / 4``, where power is not less than
    ``power_floor``.

    Whisper then raises everything that lies more than ``range_log10`` decades below a maximum. ``clamp`` says which:

    * ``"global"``: the maximum of the whole signal, as published. A stream cannot know it, so ``MelStream`` refuses it.
    * ``"running"``: the maximum of all columns up to and including the column itself. Causal, so that a stream gives
      the same columns as the whole signal at once; from the signal's loudest column on it equals ``"global"``.
    * ``"none"``: no clamp; what the other two are made from.
    """

    sample_rate_hz: int = 16_000
    n_fft: int = 400
    hop_samples: int = 160
    n_mels: int = 80
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0
    power_floor: float = 1e-10
    range_log10: float = 8.0
    clamp: Literal["global", "running", "none"] = "global"

    @property
    def columns_per_second(self) -> float:
        """Mel columns in one second of audio (100 for the default recipe)."""
        return self.sample_rate_hz / self.hop_samples


@dataclass(frozen=True)
class AudioWindowSpec(Spec):
    """Which mel columns drive the video frame shown at time t.

    With ``c = floor(t * columns_per_second)`` the window holds columns ``c - past_columns`` to
    ``c + lookahead_columns``, both included. Columns before the first sample are silence (-max_abs).
    """

    past_columns: int = 23
    lookahead_columns: int = 8

    @property
    def columns(self) -> int:
        """Width of the window in mel columns."""
        return self.past_columns + 1 + self.lookahead_columns

    def first_column(self, time: Fraction, mel: MelSpec) -> int:
        """Return the first column of the window of a frame at ``time`` seconds; negative before the sound begins."""
        return floor(time * Fraction(mel.sample_rate_hz, mel.hop_samples)) - self.past_columns

    def lookahead_ms(self, mel: MelSpec) -> float:
        """Audio after t that a frame at t needs, in ms: the look-ahead columns plus half an FFT window."""
        return 1000.0 * (self.lookahead_columns * mel.hop_samples + mel.n_fft / 2) / mel.sample_rate_hz


@dataclass(frozen=True)
class MelChunkSpec(Spec):
    """Which mel columns drive frame i of a network of the Wav2Lip family.

    The window holds ``columns`` columns from ``floor((i + offset_frames) * columns_per_second / fps)`` on. Columns
    outside of the sound are silence (-max_abs).

    ``offset_frames`` is a property of the weights, not a taste: the published trainer feeds the generator windows that
    start one frame early (-1), while the published inference starts them at the frame itself (0); the expert is trained
    and used with 0. Whoever runs the network obeys what its checkpoint says.
    """

    columns: int = 16
    offset_frames: int = 0

    def first_column(self, frame: int, mel: MelSpec, fps: float) -> int:
        """Return the first column of a frame's window; negative before the sound begins."""
        # Multiplied before it is divided: i / fps * rate can fall just below a whole number.
        return int((frame + self.offset_frames) * mel.columns_per_second // fps)


@dataclass(frozen=True)
class CropSpec(Spec):
    """The face crop: a similarity transform that puts five steady points onto a template.

    ``template`` holds (x, y) in crop pixels of: right eye outer corner, right eye inner corner, left eye inner
    corner, left eye outer corner, nose base. "Right" is the subject's right, so it is on the image's left.
    Lips and chin are not used: jaw motion must not leak into the alignment. The outer eye corners are 40 px apart;
    a closed mouth sits near y = 50 and a wide open jaw still fits.
    """

    size_px: int = 96
    template: tuple[tuple[float, float], ...] = (
        (28.0, 20.0),
        (40.0, 20.6),
        (56.0, 20.6),
        (68.0, 20.0),
        (48.0, 39.4),
    )


@dataclass(frozen=True)
class FaceBoxSpec(Spec):
    """The face box that networks of the Wav2Lip family look at: upright, its two sides stretched to one size.

    ``anchor`` says what the box hangs on:

    * ``"landmarks"``: the smallest upright box around all points of the face mesh, which reaches from the forehead to
      the chin and from cheek to cheek, as the boxes of face detectors do. It breathes with the jaw.
    * ``"alignment"``: the square of ``CropSpec``, turned upright; eyes and nose alone place it.

    ``box`` holds left, top, right and bottom as shares of the anchor, whose own edges are 0 and 1. Then ``pads_px``
    (top, bottom, left, right, in px of the image, as the published inference has them) are added, and the box ends
    where the image does. The published training cut its faces without pads.
    """

    size_px: int = 96
    anchor: Literal["landmarks", "alignment"] = "landmarks"
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    pads_px: tuple[int, int, int, int] = (0, 10, 0, 0)


@dataclass(frozen=True)
class LipSpec(Spec):
    """Lip geometry: two closed contours, and the head frame in which their displacement is measured.

    Order: outer contour first, then the inner one. Each starts at the subject's right mouth corner (image left),
    runs over the upper lip to the left corner and back along the lower lip. Of an inner contour of n points,
    point j of the upper lip (0 < j < n/2) stands above point n - j of the lower lip.

    Head frame: origin between the outer eye corners, x to the subject's left (image right), y down, z away from the
    viewer. Unit: ``eye_distance`` units are the distance of the outer eye corners, so that one unit is one crop
    pixel for a frontal face.

    *Displacement* of the lips is relative to the person's own relaxed, closed mouth (the *neutral*).
    """

    outer_points: int = 20
    inner_points: int = 20
    eye_distance: float = 40.0

    @property
    def points(self) -> int:
        """Number of lip points, outer and inner together."""
        return self.outer_points + self.inner_points


class MouthPart(IntEnum):
    """What a place in the mouth shows: the classes of a dataset's ``parts`` and of the warp network's paint."""

    OUTSIDE = 0
    TEETH = 1
    DARK = 2
    TONGUE = 3


@dataclass(frozen=True)
class WarpSpec(Spec):
    """How the outputs of a warp generator are applied.

    All are given on a grid of F = ``CropSpec.size_px * factor`` px a side over the crop. ``flow`` (px of that grid)
    says where in the reference a pixel's colour comes from: ``out(p) = ref(p + flow(p))``; then
    ``out = (1 - mask) * out + mask * colour``. They are upsampled bilinearly to the picture (pixel-centre convention,
    edges clamped). Towards the crop's border flow and mask are multiplied by a ramp that is 0 at 0 px from the edge and
    1 from ``border_px`` crop px on, so that no seam can show.
    """

    border_px: float = 6.0
    factor: int = 1

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WarpSpec:
        """Build a recipe from a manifest's values; one that is older than ``factor`` has the factor 1.

        Raises:
            ConfigError: a key is unknown or missing, or the factor is no whole number of at least 1.
        """
        spec = super().from_dict({"factor": 1, **values})
        if not isinstance(spec.factor, int) or spec.factor < 1:
            raise ConfigError(f"WarpSpec.factor must be a whole number of at least 1, not {spec.factor!r}.")
        return spec

    @property
    def border_field_px(self) -> float:
        """Width of the ramp in px of the grid."""
        return self.border_px * self.factor
