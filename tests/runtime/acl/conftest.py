"""A tiny network as an OM, and what every test of the acl engine does with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipforge.runtime.acl_engine import AclEngine
from lipforge.runtime.acl_module import Acl
from lipforge.runtime.acl_process import acl_process
from lipforge.runtime.manifest import TensorEntry

INPUTS = (TensorEntry("picture", "uint8", ("B", 4, 5, 3)), TensorEntry("mel", "float32", ("B", 6)))
OUTPUTS = (TensorEntry("mean", "float32", ("B", 3)), TensorEntry("sum", "float32", ("B", 1)))


def network(*, bytes_in: bool = True) -> onnx.ModelProto:
    """mean = mean of the picture / 255 over its pixels, sum = sum of the mel; float values if bytes do not go in."""
    kind = TensorProto.UINT8 if bytes_in else TensorProto.FLOAT
    first = [helper.make_node("Cast", ["picture"], ["floats"], name="cast", to=TensorProto.FLOAT)]
    nodes = [
        *(first if bytes_in else []),
        helper.make_node("Div", ["floats" if bytes_in else "picture", "c255"], ["scaled"], name="scale"),
        helper.make_node("ReduceMean", ["scaled"], ["mean"], name="mean_node", axes=[1, 2], keepdims=0),
        helper.make_node("ReduceSum", ["mel", "axes"], ["sum"], name="sum_node", keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("picture", kind, ["B", 4, 5, 3]),
            helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["B", 6]),
        ],
        [
            helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["B", 3]),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["B", 1]),
        ],
        [numpy_helper.from_array(np.float32(255), "c255"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="session")
def om_of(build_om: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds an OM: ``om_of(gears="1,4,8")``, ``om_of(gears="")`` for a static batch of 2, more options of atc."""

    def build(*words: str, gears: str = "1,4,8", bytes_in: bool = True) -> Path:
        folder = tmp_path_factory.mktemp("om")
        onnx.save_model(network(bytes_in=bytes_in), str(folder / "tiny.onnx"))
        batch = "-1" if gears else "2"
        build_om(
            "--framework=5",
            f"--model={folder / 'tiny.onnx'}",
            f"--output={folder / 'tiny'}",
            "--soc_version=Ascend310P3",
            "--input_format=ND",
            f"--input_shape=picture:{batch},4,5,3;mel:{batch},6",
            *([f"--dynamic_batch_size={gears}"] if gears else []),
            *words,
        )
        return folder / "tiny.om"

    return build


@pytest.fixture(scope="session")
def om(om_of: Callable[..., Path]) -> Path:
    return om_of("--precision_mode_v2=origin")


class Tiny:
    """The network's contract, inputs for it, and what it computes."""

    inputs, outputs = INPUTS, OUTPUTS
    network = staticmethod(network)

    def open(self, fake: Any, om: Path) -> AclEngine:
        return AclEngine(om, INPUTS, OUTPUTS, acl=Acl(fake.module))

    def sample(self, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {
            "picture": rng.integers(0, 256, (batch, 4, 5, 3), np.uint8),
            "mel": rng.normal(size=(batch, 6)).astype(np.float32),
        }

    def expected(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"mean": arrays["picture"].mean(axis=(1, 2)) / 255, "sum": arrays["mel"].sum(axis=1, keepdims=True)}

    def check(self, engine: AclEngine, batch: int, seed: int = 0, atol: float = 1e-6) -> None:
        """Run a batch and compare."""
        arrays = self.sample(batch, seed)
        produced = engine.run(arrays)
        for name, truth in self.expected(arrays).items():
            assert produced[name].dtype == np.float32
            np.testing.assert_allclose(produced[name], truth, rtol=0, atol=atol)

    def check_clean(self, fake: Any) -> None:
        """Nothing is held, nothing forbidden was done, and the end of the process ends acl."""
        assert fake.live() == {}
        acl_process(Acl(fake.module)).shutdown()
        assert fake.violations == []


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return Tiny()
