"""Cases: every Triton kernel against the numba kernel on one core and against what torch's own operators make of it.

Each torch chain is checked against the numba kernel before it is timed. On a GPU inputs and outputs stay there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from figures import Case, Clock, Figure
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, grid_sample

from lipforge.kernels.backend import choose, missing
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.spec import MelSpec, WarpSpec

SECTION, SIZE_PX = "kernels", 96
MEL_CLOSE, LEVELS_CLOSE = 1e-3, 0.6
"""How near torch's chain has to come to the numba kernel: mel units at the most, grey levels on average."""

REACH_PX = 96
"""How far around a region its pixels may come from; to ask the device for the longest flow would make it wait."""


@dataclass(frozen=True)
class Scale:
    """How large the problems are.

    Attributes:
        seconds: of sound.
        frames: images of a batch.
        height: of an image in px.
        width: of an image in px.
        faces: crops of each image.
        face_px: side of a face.
    """

    seconds: int = 600
    frames: int = 16
    height: int = 1080
    width: int = 1920
    faces: int = 4
    face_px: int = 384


TINY = Scale(2, 2, 180, 320, 2, 110)


@dataclass(frozen=True)
class Problem:
    """One op on one batch: its calls for numpy arrays and for tensors, and how results are compared."""

    op: str
    what: str
    batch: int
    unit: str
    host: tuple[Any, ...]
    options: dict[str, Any]
    plain: Callable[..., torch.Tensor]
    close: float


def kernel_cases(device: str, *, tiny: bool) -> Iterator[Case]:
    """Yield numba, Triton and torch for every op."""
    scale = TINY if tiny else Scale()
    for make in (_mel, _crop, _warp):
        problem = functools.cache(functools.partial(make, scale))
        op, what, batch, unit = _title(make, scale)
        for how, measure, obstacle in (
            ("numba, 1 core", _time_numba, ""),
            ("triton", _time_triton, missing("triton")),
            ("triton, arrays of the host", _time_triton_host, missing("triton")),
            ("torch", _time_plain, ""),
        ):
            yield Case(Figure(SECTION, f"{op}: {what}", how, batch, unit), _bound(measure, problem, device), obstacle)


def _bound(measure: Any, problem: Callable[[], Problem], device: str) -> Callable[[Clock], tuple[float, float, str]]:
    return lambda clock: measure(problem(), device, clock)


def _title(make: Any, scale: Scale) -> tuple[str, str, int, str]:
    size = f"{scale.width}x{scale.height}"
    if make is _mel:
        return "mel", f"{scale.seconds} s of sound", scale.seconds, "seconds"
    if make is _crop:
        count = scale.frames * scale.faces
        return "crop", f"{scale.face_px} px to {SIZE_PX}, {scale.frames} frames of {size}", count, "crops"
    return "warp", f"region of {scale.face_px} px, {size}", scale.frames, "frames"


def _time_numba(problem: Problem, device: str, clock: Clock) -> tuple[float, float, str]:
    function = choose(problem.op, "numba").load()
    return (*clock.on_host(lambda: function(*problem.host, **problem.options)), "")


def _time_triton(problem: Problem, device: str, clock: Clock) -> tuple[float, float, str]:
    function, arguments = choose(problem.op, "triton").load(), _uploaded(problem, device)
    note = _checked(problem, function(*arguments, **problem.options))
    return (*clock.on_device(lambda: function(*arguments, **problem.options)), note)


def _time_triton_host(problem: Problem, device: str, clock: Clock) -> tuple[float, float, str]:
    function = choose(problem.op, "triton").load()
    return (*clock.on_host(lambda: function(*problem.host, **problem.options)), "copies included")


def _time_plain(problem: Problem, device: str, clock: Clock) -> tuple[float, float, str]:
    arguments = _uploaded(problem, device)
    with torch.inference_mode():
        note = _checked(problem, problem.plain(*arguments, **problem.options))
        return (*clock.on_device(lambda: problem.plain(*arguments, **problem.options)), note)


def _uploaded(problem: Problem, device: str) -> list[Any]:
    """Put all arrays but the transforms on the device; those are for the host to invert."""
    return [
        torch.from_numpy(value).to(device) if isinstance(value, np.ndarray) and value.shape[-2:] != (2, 3) else value
        for value in problem.host
    ]


def _checked(problem: Problem, result: torch.Tensor) -> str:
    expected = choose(problem.op, "numba").load()(*problem.host, **problem.options)
    apart = np.abs(result.cpu().numpy().astype(np.float64) - expected)
    found = float(apart.max() if problem.op == "mel" else apart.mean())
    if not found <= problem.close:
        raise ArithmeticError(f"{problem.op}: {found:.3g} away from the numba kernel, {problem.close:g} are allowed")
    return f"within {found:.1g} of numba" + ("" if problem.op == "mel" else " levels on average")


def _mel(scale: Scale) -> Problem:
    time = np.arange(scale.seconds * 16_000) / 16_000
    noise = np.random.default_rng(0).normal(size=time.size)
    audio = (0.4 * np.sin(900 * time) * np.sin(9 * time) + 0.05 * noise).astype(np.float32)
    return Problem(*_title(_mel, scale), (audio, MelSpec()), {}, _plain_mel, MEL_CLOSE)


def _plain_mel(audio: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    window, filters = _mel_tables(spec, audio.device)
    emphasised = torch.cat([audio[:1], audio[1:] - spec.preemphasis * audio[:-1]])
    spectrum = torch.stft(emphasised, spec.n_fft, spec.hop_samples, window=window, return_complex=True)
    level = 1.6 * (filters @ spectrum.abs()).clamp_(min=1e-5).log10_() + 2.4
    return level.clamp_(-spec.max_abs, spec.max_abs)


@functools.cache
def _mel_tables(spec: MelSpec, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    filters = torch.from_numpy(slaney_filterbank(spec)).float().to(device)
    return torch.hann_window(spec.n_fft, device=device), filters


def _images(scale: Scale) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).integers(0, 256, (scale.height, scale.width, 3), dtype=np.uint8)
    return np.stack([np.roll(cv2.GaussianBlur(noise, (0, 0), 1.5), 7 * n, 1) for n in range(scale.frames)])


def _to_crop(face_px: int, middle: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    angle, shrink = np.deg2rad(degrees), SIZE_PX / face_px
    linear = shrink * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, np.full(2, (SIZE_PX - 1) / 2) - linear @ middle])


def _crop(scale: Scale) -> Problem:
    random, count = np.random.default_rng(2), scale.frames * scale.faces
    half = 0.6 * scale.face_px
    high = np.array([scale.width - half, scale.height - half])
    middles = random.uniform(half, high, (count, 2))
    transforms = np.stack([_to_crop(scale.face_px, middle, 8.0) for middle in middles])
    options = {"frames": np.arange(count) // scale.faces, "as_float": False}
    return Problem(*_title(_crop, scale), (_images(scale), transforms, SIZE_PX), options, _plain_crop, LEVELS_CLOSE)


def _plain_crop(
    images: torch.Tensor, transforms: NDArray[np.float64], size_px: int, *, frames: NDArray[np.int64], as_float: bool
) -> torch.Tensor:
    """Sample all crops of an image at once, as often a pixel as the kernels do, and average; no crop aliases."""
    count, height, width, _ = images.shape
    inverse = np.stack([_inverted(transform) for transform in transforms])
    taps = taps_per_axis(inverse[0])
    line = (torch.arange(size_px * taps, device=images.device, dtype=torch.float32) + 0.5) / taps - 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    matrices = torch.from_numpy(inverse).to(images.device, torch.float32)
    places = matrices[:, None, None] @ torch.stack([x, y, torch.ones_like(x)], -1)[..., None]
    grid = _grid(places[..., 0], height, width).reshape(count, -1, size_px * taps, 2)
    drawn = grid_sample(images.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False)
    crops = avg_pool2d(drawn.unflatten(2, (-1, size_px * taps)).transpose(1, 2).flatten(0, 1), taps)
    return (crops + 0.5).to(torch.uint8)


def _inverted(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def _grid(places: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return positions in px, (..., 2), as ``grid_sample`` wants them."""
    return (2.0 * places + 1.0) / torch.tensor([width, height], device=places.device) - 1.0


def _warp(scale: Scale) -> Problem:
    random = np.random.default_rng(3)
    coarse = random.normal(size=(6 * scale.frames, 7, 7)).astype(np.float32)
    planes = np.stack([cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC) for plane in coarse])
    planes = planes.reshape(scale.frames, 6, SIZE_PX, SIZE_PX)
    flow, mask = np.ascontiguousarray(4 * planes[:, :2]), np.ascontiguousarray(np.clip(planes[:, 2], 0, 1))
    colour = np.ascontiguousarray(np.clip(planes[:, 3:], 0, 1))
    transform = _to_crop(scale.face_px, np.array([scale.width / 2, scale.height / 2]), 0.0)
    transforms = np.repeat(transform[None], scale.frames, 0)
    host = (_images(scale), transforms, flow, mask, colour, WarpSpec())
    return Problem(*_title(_warp, scale), host, {}, _plain_warp, LEVELS_CLOSE)


def _plain_warp(
    images: torch.Tensor,
    transforms: NDArray[np.float64],
    flow: torch.Tensor,
    mask: torch.Tensor,
    colour: torch.Tensor,
    spec: WarpSpec,
) -> torch.Tensor:
    """Composite upright faces that are at the same place in every image, which is the easiest case for slices."""
    to_crop, size_px = transforms[0], mask.shape[-1]
    to_image = _inverted(to_crop)
    low = np.ceil(to_image[:, :2] @ np.full(2, -0.5) + to_image[:, 2]).astype(int)
    high = np.floor(to_image[:, :2] @ np.full(2, size_px - 0.5) + to_image[:, 2]).astype(int) + 1
    region = (slice(None), slice(low[1], high[1]), slice(low[0], high[0]))
    x = torch.arange(low[0], high[0], device=images.device, dtype=torch.float32)
    y = torch.arange(low[1], high[1], device=images.device, dtype=torch.float32)
    at_y, at_x = torch.meshgrid(y * to_crop[1, 1] + to_crop[1, 2], x * to_crop[0, 0] + to_crop[0, 2], indexing="ij")
    last = size_px - 1
    edge = torch.minimum(torch.minimum(at_x, last - at_x), torch.minimum(at_y, last - at_y)) + 0.5
    gain = (edge / spec.border_px).clamp(0.0, 1.0)
    planes = torch.cat([flow, mask[:, None], colour], 1)
    grid = _grid(torch.stack([at_x, at_y], -1), size_px, size_px).expand(len(images), -1, -1, -1)
    wide = grid_sample(planes, grid, padding_mode="border", align_corners=False)
    moved = gain * wide[:, :2] * to_image[0, 0]
    places = torch.stack([x + moved[:, 0], y[:, None] + moved[:, 1]], -1)
    out = images.clone()
    top, left = max(low[1] - REACH_PX, 0), max(low[0] - REACH_PX, 0)
    near = images[:, top : high[1] + REACH_PX, left : high[0] + REACH_PX].permute(0, 3, 1, 2).float()
    corner = torch.tensor([left, top], device=images.device)
    warped = grid_sample(near, _grid(places - corner, *near.shape[2:]), padding_mode="border", align_corners=False)
    weight = gain * wide[:, 2:3]
    blended = warped + weight * (255.0 * wide[:, 3:].flip(1) - warped)
    out[region] = (blended.clamp(0.0, 255.0) + 0.5).to(torch.uint8).permute(0, 2, 3, 1)
    return out
