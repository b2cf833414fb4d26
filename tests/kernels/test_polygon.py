from __future__ import annotations

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.kernels.polygon import draw_lips, reference
from lipforge.kernels.polygon.numba_polygon import fill_contour
from lipforge.kernels.spec import LipSpec

LIPS = LipSpec()


def mouth(gap_px: float, centre=(48.0, 50.0), width_px=28.0, degrees=0.0, lips=LIPS) -> np.ndarray:
    """A mouth in LipSpec order; a negative gap crosses the lips."""

    def ring(count, rx, ry):
        turn = np.arange(count) / count * 2 * np.pi
        return np.stack([-rx * np.cos(turn), -ry * np.sin(turn)], axis=1)

    half = width_px / 2
    points = np.concatenate(
        [ring(lips.outer_points, half, 5 + abs(gap_px) / 2), ring(lips.inner_points, 0.8 * half, gap_px / 2)]
    )
    angle = np.deg2rad(degrees)
    turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (turned + centre).astype(np.float32)


def areas(planes: np.ndarray) -> list[float]:
    return [float(plane.sum()) / 255 for plane in planes]


@pytest.mark.parametrize("size_px", [1, 2, 7, 31, 96])
@pytest.mark.parametrize("snapped", [False, True])
def test_fast_fill_equals_reference(rng, size_px, snapped):
    for corners in (1, 2, 3, 5, 20):
        contour = rng.uniform(-0.5 * size_px, 1.5 * size_px, (corners, 2))
        contour = np.round(contour * 2) / 2 if snapped else contour
        expected, plane = np.empty((2, size_px, size_px), np.uint8)
        reference.fill_contour(contour, expected)
        fill_contour(contour, plane)
        np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("degrees", [0, 33, 90, 180])
def test_area_is_the_polygons_area(degrees):
    points = mouth(8.0, degrees=degrees)
    for plane_area, contour in zip(areas(draw_lips(points, LIPS, 96)), (points[:20], points[20:]), strict=True):
        x, y = contour.T.astype(float)
        shoelace = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        assert plane_area == pytest.approx(shoelace, rel=0.01)


def test_whole_square_covers_pixel_centres_plus_half():
    square = np.array([[-0.5, 2.5], [-0.5, -0.5], [2.5, -0.5], [2.5, 2.5]])  # up, right, down: LipSpec's direction
    plane = np.empty((5, 5), np.uint8)
    fill_contour(square, plane)
    expected = np.zeros((5, 5), np.uint8)
    expected[:3, :3] = 255
    np.testing.assert_array_equal(plane, expected)


def test_half_covered_pixel_is_half_bright():
    plane = np.empty((1, 1), np.uint8)
    fill_contour(np.array([[-0.5, 0.5], [-0.5, -0.5], [0.0, -0.5], [0.0, 0.5]]), plane)
    assert plane[0, 0] == 128


@pytest.mark.parametrize("gap_px", [0.0, -0.5, -3.0])
def test_closed_or_crossed_lips_leave_the_inner_plane_empty(gap_px):
    outer, inner = draw_lips(mouth(gap_px), LIPS, 96)
    assert inner.max() == 0
    assert outer.max() == 255


def test_partly_crossed_lips_keep_only_the_open_part():
    points = mouth(6.0)
    lower = slice(31, 40)  # inner lower lip, from the left mouth corner back to the right one
    points[lower, 1] -= np.linspace(0.0, 12.0, 9).astype(np.float32)
    inner = draw_lips(points, LIPS, 96)[1]
    assert inner[:, 49:].max() == 255
    assert inner[:, :40].max() == 0


def test_points_outside_the_crop_fill_to_its_edge():
    plane = draw_lips(mouth(300.0, width_px=500.0), LIPS, 96)[1]
    assert plane.min() == 255
    far = mouth(8.0, centre=(1e30, -1e30))
    assert draw_lips(far, LIPS, 96).max() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_gives_empty_planes(bad):
    points = mouth(8.0)
    points[3, 1] = bad
    out = np.full((2, 96, 96), 7, np.uint8)
    assert draw_lips(points, LIPS, 96, out) is out
    assert out.max() == 0


def test_out_is_overwritten_and_other_counts_work():
    lips = LipSpec(outer_points=11, inner_points=6)
    points = mouth(5.0, centre=(10.0, 9.0), width_px=12.0, lips=lips).astype(np.float64)
    out = np.full((2, 21, 21), 99, np.uint8)
    draw_lips(points, lips, 21, out)
    np.testing.assert_array_equal(out, draw_lips(points, lips, 21))


@pytest.mark.parametrize(
    ("points", "size_px", "out", "message"),
    [
        (np.zeros((39, 2), np.float32), 96, None, r"points must be .*\(40, 2\), not float32 \(39, 2\)"),
        (np.zeros((40, 2), np.int32), 96, None, "not int32"),
        ([[0.0, 0.0]] * 40, 96, None, "not list"),
        (np.zeros((40, 2)), 0, None, "size_px must be a whole number of at least 1, not 0"),
        (np.zeros((40, 2)), 96, np.zeros((2, 96, 95), np.uint8), r"out must be .*\(2, 96, 96\)"),
        (np.zeros((40, 2)), 96, np.zeros((2, 96, 192), np.uint8)[:, :, ::2], "not contiguous"),
    ],
)
def test_wrong_arguments_are_refused(points, size_px, out, message):
    with pytest.raises(InputError, match=message):
        draw_lips(points, LIPS, size_px, out)
