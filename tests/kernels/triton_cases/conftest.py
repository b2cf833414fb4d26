"""Cases that need a process of their own: Triton's interpreter has to be chosen before triton is imported.

`tests/kernels/test_triton_interpreter.py` starts that process; by hand:
`TRITON_INTERPRET=1 pytest tests/kernels/triton_cases/cases_crop.py`, with `-m ""` for the slow ones too.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

from lipforge.kernels.triton_launch import interpreted


@pytest.fixture(autouse=True)
def _in_the_interpreter() -> None:
    assert interpreted(), "set TRITON_INTERPRET=1"
