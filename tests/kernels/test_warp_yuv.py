from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite, composite_i420, composite_nv12, reference
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec

SIZE_PX, BORDER_PX, STRENGTH = 24, 6.0, 0.9
SPEC = WarpSpec(BORDER_PX)
YUV_SPECS = [YuvSpec(), YuvSpec("bt709", True, "centre"), YuvSpec("bt709", False, "left")]


@pytest.fixture
def outputs(rng) -> dict[str, np.ndarray]:
    coarse = rng.normal(0.0, 1.0, (6, 5, 5)).astype(np.float32)
    planes = np.stack([cv2.resize(p, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC) for p in coarse])
    return {
        "flow": planes[:2] * 3.0,
        "mask": np.clip(planes[2] * 0.6, 0.0, 1.0),
        "colour": rng.random((3, SIZE_PX, SIZE_PX), dtype=np.float32),
    }


def strided(plane: np.ndarray, extra: int = 13) -> np.ndarray:
    """Copy a plane into the left part of a wider one, as decoders pad their rows."""
    wide = np.full((plane.shape[0], plane.shape[1] + extra, *plane.shape[2:]), 77, np.uint8)
    wide[:, : plane.shape[1]] = plane
    return wide[:, : plane.shape[1]]


def planes_of(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return luma (123, 157) and chroma (62, 79) with padded rows; any smooth content serves."""
    chroma = cv2.resize(photo, ((photo.shape[1] + 1) // 2, (photo.shape[0] + 1) // 2))
    return strided(photo[..., 0]), strided(chroma[..., 1]), strided(chroma[..., 2])


def expected_planes(planes, transform, outputs, spec: YuvSpec, border_px=BORDER_PX) -> list[np.ndarray]:
    matrix, offset = spec.from_rgb()
    painted = (np.einsum("ij,jhw->ihw", matrix, outputs["colour"]) + offset[:, None, None]).astype(np.float32)
    forward, inverse = invert_affine(transform)
    # A chroma sample stands at luma position 2 c + (0 or 0.5, 0.5).
    shift = np.array([0.5 if spec.siting == "centre" else 0.0, 0.5])
    chroma = np.column_stack([2.0 * forward[:, :2], forward[:, :2] @ shift + forward[:, 2]])
    results = []
    for i, plane in enumerate(planes):
        there, back = (forward, inverse) if i == 0 else invert_affine(chroma)
        results.append(
            reference.composite_planes(
                plane[..., None], there, back, outputs["flow"], outputs["mask"], painted[i : i + 1], border_px, STRENGTH
            )[..., 0]
        )
    return results


def as_i420(planes, spec):
    return I420Frame(*(strided(plane) for plane in planes), spec)


def as_nv12(planes, spec):
    return Nv12Frame(strided(planes[0]), strided(np.stack(planes[1:], axis=-1)), spec)


def planes_in(frame) -> tuple[np.ndarray, ...]:
    return (
        (frame.y, frame.uv[..., 0], frame.uv[..., 1]) if isinstance(frame, Nv12Frame) else (frame.y, frame.u, frame.v)
    )


FORMATS = pytest.mark.parametrize(("make", "run"), [(as_i420, composite_i420), (as_nv12, composite_nv12)])


@FORMATS
@pytest.mark.parametrize("spec", YUV_SPECS)
@pytest.mark.parametrize(
    ("scale", "degrees", "centre"),
    [
        (0.25, 0.0, (80, 60)),
        (0.31, 8.0, (150, 3)),
        (1.0, 90.0, (80, 60)),
        (3.0, 200.0, (40, 30)),
        (0.05, 30, (0, 122)),
        (0.012, 180, (80, 60)),
    ],
)
def test_planes_equal_the_reference(photo, make_similarity, outputs, make, run, spec, scale, degrees, centre):
    transform, planes = make_similarity(scale, degrees, centre, SIZE_PX), planes_of(photo)
    frame = make(planes, spec)
    run(frame, WarpScratch(), transform, **outputs, spec=SPEC, strength=STRENGTH)
    for got, expected in zip(planes_in(frame), expected_planes(planes, transform, outputs, spec), strict=True):
        difference = np.abs(got.astype(int) - expected)
        assert difference.max() <= 1
        # Positions and levels are 16-bit fixed point: a value within 0.03 of one half may round to the other side.
        assert (difference > 0).mean() < 4e-2


@FORMATS
def test_bytes_outside_the_square_and_row_padding_stay(photo, make_similarity, outputs, make, run):
    transform, planes = make_similarity(0.5, 33.0, (100.0, 50.0), SIZE_PX), planes_of(photo)
    frame = make(planes, YuvSpec())
    run(frame, WarpScratch(), transform, **outputs, spec=SPEC)
    y, x = np.mgrid[0:123, 0:157]
    crop = np.einsum("ij,jhw->ihw", transform[:, :2], np.stack([x, y])) + transform[:, 2, None, None]
    outside = ((crop < -0.5) | (crop > SIZE_PX - 0.5)).any(axis=0)
    assert (frame.y != planes[0]).any()
    np.testing.assert_array_equal(frame.y[outside], planes[0][outside])
    outside_chroma = ((crop < -3.0) | (crop > SIZE_PX + 2.0)).any(axis=0)[::2, ::2]
    for got, given in zip(planes_in(frame)[1:], planes[1:], strict=True):
        assert (got != given).any()
        np.testing.assert_array_equal(got[outside_chroma], given[outside_chroma])
    assert (frame.y.base[:, 157:] == 77).all()


@FORMATS
def test_zero_flow_and_mask_keep_every_byte(photo, make_similarity, outputs, make, run):
    planes = planes_of(photo)
    frame = make(planes, YuvSpec())
    silent = {"flow": outputs["flow"] * 0, "mask": outputs["mask"] * 0, "colour": outputs["colour"]}
    silent["flow"][0, 15, 12] = 2.0  # not all zero, or nothing would be visited
    transform = make_similarity(0.37, 17.0, (80.0, 60.0), SIZE_PX)
    run(frame, WarpScratch(), transform, **silent, spec=SPEC)
    y, x = np.mgrid[0:123, 0:157]
    crop = np.einsum("ij,jhw->ihw", transform[:, :2], np.stack([x, y])) + transform[:, 2, None, None]
    still = (np.abs(crop - np.array([12, 15])[:, None, None]) >= 1.0).any(axis=0)
    assert (frame.y != planes[0]).any()
    np.testing.assert_array_equal(frame.y[still], planes[0][still])


def test_colours_agree_with_the_bgr_compositor(make_similarity, outputs):
    """Painting a colour into a grey frame in YUV and converting gives what painting into BGR gives."""
    outputs["flow"] *= 0
    outputs["mask"] = np.ones_like(outputs["mask"])
    outputs["colour"] = np.full_like(outputs["colour"], 0.2)
    outputs["colour"][0] = 0.7
    transform = make_similarity(0.25, 0.0, (79.0, 61.0), SIZE_PX)
    image = np.full((122, 156, 3), 128, np.uint8)
    yuv = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    frame = I420Frame(yuv[:122].copy(), yuv[122:].reshape(2, 61, 78)[0].copy(), yuv[122:].reshape(2, 61, 78)[1].copy())
    composite(image, WarpScratch(), transform, **outputs, spec=SPEC)
    composite_i420(frame, WarpScratch(), transform, **outputs, spec=SPEC)
    joined = np.concatenate([frame.y.ravel(), frame.u.ravel(), frame.v.ravel()]).reshape(183, 156)
    got = cv2.cvtColor(joined, cv2.COLOR_YUV2BGR_I420)
    assert np.abs(got[50:70, 70:90].astype(int) - image[50:70, 70:90]).max() <= 3
    assert image[60, 80].tolist() == [51, 51, 179]


@pytest.mark.parametrize("spec", [*YUV_SPECS, YuvSpec("bt601", True)])
def test_conversion_matrices_are_inverse_and_span_their_range(spec):
    (there, offset), (back, back_offset) = spec.from_rgb(), spec.to_rgb()
    rgb = np.array([0.2, 0.9, 0.4])
    np.testing.assert_allclose(back @ (there @ rgb + offset) + back_offset, rgb * 255.0)
    white = there @ np.ones(3) + offset
    np.testing.assert_allclose(white, [255 if spec.full_range else 235, 128, 128])


def test_wrong_planes_are_refused(photo):
    y, u, v = planes_of(photo)
    with pytest.raises(InputError, match=r"u must be a uint8 array of shape \(62, 79\), not uint8 \(61, 79\)"):
        I420Frame(y, u[:-1], v)
    with pytest.raises(InputError, match="next to each other"):
        I420Frame(photo[..., 0], u, v)
    with pytest.raises(InputError, match=r"uv must be a uint8 array of shape \(62, 79, 2\)"):
        Nv12Frame(y, u)
    with pytest.raises(InputError, match=r"y must be a uint8 array of shape \(H, W\)"):
        Nv12Frame(photo, u)
    with pytest.raises(ConfigError, match="matrix must be one of"):
        YuvSpec("bt470")  # type: ignore[arg-type]


def test_read_only_planes_are_refused(photo, make_similarity, outputs):
    planes = planes_of(photo)
    planes[1].flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        composite_i420(I420Frame(*planes), WarpScratch(), make_similarity(0.5, 0, (80, 60), 24), **outputs, spec=SPEC)


@FORMATS
@pytest.mark.parametrize("degrees", [8.0, 90.0])
def test_a_frame_allocates_nothing_of_its_size(make_similarity, outputs, measure_allocation, make, run, degrees):
    planes = [np.full((720, 1280), 90, np.uint8), *(np.full((360, 640), 90, np.uint8) for _ in range(2))]
    frame, scratch = make(planes, YuvSpec()), WarpScratch()
    transform = make_similarity(0.06, degrees, (640.0, 360.0), SIZE_PX)
    assert measure_allocation(lambda: run(frame, scratch, transform, **outputs, spec=SPEC)) < 8_000
