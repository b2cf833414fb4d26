from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnx.defs
import pytest

from lipforge.export.ascend.operator_table import OperatorTable
from lipforge.kernels.errors import InputError


def test_the_table_that_ships_says_where_it_comes_from() -> None:
    table = OperatorTable.load()
    assert table.opsets == (11, 18)
    assert len(table.operators) == 162
    assert any("hicann" in line for line in table.provenance)
    assert table.date >= "2026-08"
    assert set(table.describe()) == {"name", "date", "sha256"}


@pytest.mark.parametrize(
    ("operator", "opsets"),
    [
        ("Conv", {11, 17, 18}),
        ("ReduceL2", {11, 17}),
        ("Mish", {18}),
        ("LayerNormalization", {17, 18}),
        ("HardSwish", {17, 18}),
        ("Gelu", set()),
        ("GroupNormalization", set()),
        ("QuantizeLinear", set()),
        ("STFT", set()),
    ],
)
def test_operators_are_known_at_their_opsets(operator: str, opsets: set[int]) -> None:
    table = OperatorTable.load()
    assert {opset for opset in (10, 11, 17, 18, 19) if table.knows(operator, opset)} == opsets


def test_no_operator_is_said_to_be_older_than_onnx_has_it() -> None:
    born: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            born[schema.name] = min(born.get(schema.name, 99), schema.since_version)
    beyond_18 = {"AffineGrid"}  # registered for opsets at which ONNX itself does not have it
    for name, (first, last) in OperatorTable.load().operators.items():
        assert 11 <= first <= last <= 18, name
        assert name in beyond_18 or first >= min(born[name], 18), name


def test_another_table_can_be_given(tmp_path: Path) -> None:
    values = json.loads((files("lipforge.export.ascend") / "operators.json").read_text())
    values["operators"]["Gelu"] = [20, 20]
    values["opsets"] = [11, 20]
    path = tmp_path / "table.json"
    path.write_text(json.dumps(values))
    table = OperatorTable.load(path)
    assert table.knows("Gelu", 20)
    assert table.sha256 != OperatorTable.load().sha256


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema": 2, "kind": "lipforge-ascend-operators"}', b"\xff\xfe", '{"schema": 1}'],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match="cannot be used"):
        OperatorTable.load(path)
    with pytest.raises(InputError, match="--ops-table"):
        OperatorTable.load(tmp_path / "missing.json")
