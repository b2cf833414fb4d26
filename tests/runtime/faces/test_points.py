from __future__ import annotations

import pytest

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.runtime.faces import points


def test_contours_fit_the_spec() -> None:
    lips = LipSpec()
    assert len(points.lip_indices(lips)) == lips.points == len(set(points.lip_indices(lips)))
    assert len(points.ALIGNMENT) == len(CropSpec().template)


def test_other_numbers_of_points_are_refused() -> None:
    with pytest.raises(ConfigError, match="12 outer and 20 inner"):
        points.lip_indices(LipSpec(outer_points=12))


def test_rigid_points_move_with_the_skull_only() -> None:
    jaw_and_lips = {*points.OUTER, *points.INNER, 152, 148, 377, 176, 400, 199, 200, 175, 18}
    assert not jaw_and_lips & set(points.RIGID)


def test_mirroring_twice_is_nothing() -> None:
    partner = dict(zip(points.RIGID, points.RIGID_MIRRORED, strict=True))
    assert len(partner) == len(points.RIGID)
    assert all(partner[partner[index]] == index for index in points.RIGID)
