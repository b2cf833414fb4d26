from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.runtime.faces.similarity import (
    apply_affine,
    compose_affine,
    fit_similarity_2d,
    fit_similarity_3d,
    invert_similarity,
)


def test_plane_similarity_is_recovered() -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(size=(5, 2)) * 30
    true = np.array([[1.2, -0.7, 40.0], [0.7, 1.2, -9.0]])
    np.testing.assert_allclose(fit_similarity_2d(source, apply_affine(true, source)), true, atol=1e-9)


def test_plane_fit_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    rows = np.zeros((12, 4))  # unknowns: a, b, shift x, shift y
    rows[0::2] = np.column_stack([source[:, 0], -source[:, 1], np.ones(6), np.zeros(6)])
    rows[1::2] = np.column_stack([source[:, 1], source[:, 0], np.zeros(6), np.ones(6)])
    a, b, x, y = np.linalg.lstsq(rows, target.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(fit_similarity_2d(source, target), [[a, -b, x], [b, a, y]], atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_space_similarity_is_recovered(noise: float) -> None:
    rng = np.random.default_rng(3)
    source = rng.normal(size=(20, 3)) * 10
    turn = np.asarray(cv2.Rodrigues(np.array([0.3, -0.9, 0.2]))[0])
    target = 2.5 * source @ turn.T + (100.0, -20.0, 3.0) + noise * rng.normal(size=(20, 3))
    rotation, scale, shift = fit_similarity_3d(source, target)
    np.testing.assert_allclose(rotation, turn, atol=1e-9 + noise)
    np.testing.assert_allclose(shift, (100.0, -20.0, 3.0), atol=1e-7 + noise)
    assert scale == pytest.approx(2.5, abs=1e-9 + noise)


def test_mirrored_points_do_not_give_a_mirroring() -> None:
    source = np.random.default_rng(4).normal(size=(10, 3))
    rotation, _, _ = fit_similarity_3d(source, source * (-1.0, 1.0, 1.0))
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_inverse_and_composition() -> None:
    matrix = np.array([[0.4, -0.1, 12.0], [0.1, 0.4, 7.0]])
    np.testing.assert_allclose(compose_affine(matrix, invert_similarity(matrix)), np.eye(2, 3), atol=1e-12)
