from __future__ import annotations

import gc
import json
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.acl_engine import AclEngine
from lipforge.runtime.acl_errors import CODES, explain
from lipforge.runtime.acl_module import Acl, load_acl
from lipforge.runtime.acl_process import acl_process
from lipforge.runtime.manifest import TensorEntry

INPUTS = (TensorEntry("picture", "uint8", ("B", 4, 5, 3)), TensorEntry("mel", "float32", ("B", 6)))
OUTPUTS = (TensorEntry("mean", "float32", ("B", 3)), TensorEntry("sum", "float32", ("B", 1)))

# Everything that is called while an engine is made and can fail, and how often.
OPENING = {
    "rt.set_device": 1,
    "rt.create_context": 1,
    "mdl.load_from_file": 1,
    "mdl.create_desc": 1,
    "mdl.get_desc": 1,
    "mdl.create_dataset": 2,
    "mdl.get_input_dims": 3,
    "mdl.get_output_dims": 2,
    "rt.malloc": 5,
    "rt.memset": 4,
    "create_data_buffer": 5,
    "mdl.add_dataset_buffer": 5,
    "mdl.get_dynamic_batch": 1,
}
CLOSING = [
    "destroy_data_buffer",
    "rt.free",
    "mdl.destroy_dataset",
    "mdl.destroy_desc",
    "mdl.unload",
    "rt.destroy_context",
    "rt.reset_device",
]


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


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def om(om_of: Callable[..., Path]) -> Path:
    return om_of("--precision_mode_v2=origin")


def open_engine(fake: Any, om: Path) -> AclEngine:
    return AclEngine(om, INPUTS, OUTPUTS, acl=Acl(fake.module))


def sample(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "picture": rng.integers(0, 256, (batch, 4, 5, 3), np.uint8),
        "mel": rng.normal(size=(batch, 6)).astype(np.float32),
    }


def expected(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"mean": arrays["picture"].mean(axis=(1, 2)) / 255, "sum": arrays["mel"].sum(axis=1, keepdims=True)}


def check(engine: AclEngine, batch: int, seed: int = 0, atol: float = 1e-6) -> None:
    arrays = sample(batch, seed)
    produced = engine.run(arrays)
    for name, truth in expected(arrays).items():
        assert produced[name].dtype == np.float32
        np.testing.assert_allclose(produced[name], truth, rtol=0, atol=atol)


def check_clean(fake: Any) -> None:
    """Nothing is held, nothing forbidden was done, and the end of the process ends acl."""
    assert fake.live() == {}
    acl_process(Acl(fake.module)).shutdown()
    assert fake.violations == []


@pytest.mark.parametrize("old", [False, True])
def test_batches_are_padded_to_the_next_gear(new_acl: Callable[..., Any], om: Path, old: bool) -> None:
    fake = new_acl(old=old)
    engine = open_engine(fake, om)
    assert engine.gears == (1, 4, 8)
    for batch in (8, 3, 1, 5, 4, 1):
        check(engine, batch, seed=batch)
    engine.close()
    assert fake.initialised
    check_clean(fake)
    assert not fake.initialised


def test_a_larger_batch_than_the_largest_gear_is_refused(fake_acl: Any, om: Path) -> None:
    engine = open_engine(fake_acl, om)
    with pytest.raises(ConfigError, match="a batch of 9 is more than the OM's largest gear; it was built for 1, 4, 8"):
        engine.run(sample(9))
    engine.close()
    check_clean(fake_acl)


def test_a_static_model_pads_to_its_batch(fake_acl: Any, om_of: Callable[..., Path]) -> None:
    engine = open_engine(fake_acl, om_of("--precision_mode_v2=origin", gears=""))
    assert engine.gears == (2,)
    check(engine, 2)
    check(engine, 1)
    assert fake_acl.calls["mdl.set_dynamic_batch_size"] == 0
    engine.close()
    check_clean(fake_acl)


def test_a_model_with_ranges_of_shapes_is_refused(fake_acl: Any, build_om: Callable[..., None], tmp_path: Path) -> None:
    onnx.save_model(network(), str(tmp_path / "tiny.onnx"))
    names = [f"--model={tmp_path / 'tiny.onnx'}", f"--output={tmp_path / 'tiny'}"]
    build_om("--framework=5", "--soc_version=Ascend310P3", *names)
    with pytest.raises(BackendError, match="picture has no fixed size: the OM was built with ranges of shapes"):
        open_engine(fake_acl, tmp_path / "tiny.om")
    check_clean(fake_acl)


def test_a_bound_run_uses_the_callers_arrays_and_allocates_nothing_on_the_device(fake_acl: Any, om: Path) -> None:
    engine = open_engine(fake_acl, om)
    arrays = {**sample(3), "mean": np.zeros((3, 3), np.float32), "sum": np.zeros((3, 1), np.float32)}
    run = engine.bind(arrays)
    assert run.gear == 4
    before = fake_acl.calls["rt.malloc"], fake_acl.calls["mdl.create_dataset"], fake_acl.calls["create_data_buffer"]
    for seed in range(3):
        for name, values in sample(3, seed).items():
            arrays[name][:] = values
        run()
        np.testing.assert_allclose(arrays["mean"], expected(arrays)["mean"], rtol=0, atol=1e-6)
    assert before == (
        fake_acl.calls["rt.malloc"],
        fake_acl.calls["mdl.create_dataset"],
        fake_acl.calls["create_data_buffer"],
    )
    assert fake_acl.calls["mdl.set_dynamic_batch_size"] == 1  # the gear did not change
    engine.close()
    check_clean(fake_acl)


def test_half_precision_and_float_inputs_are_converted_on_the_host(fake_acl: Any, om_of: Callable[..., Path]) -> None:
    engine = open_engine(fake_acl, om_of("--output_type=FP16", bytes_in=False))
    check(engine, 3, atol=4e-3)  # float16 of a sum of a few units
    engine.close()
    check_clean(fake_acl)


@pytest.mark.parametrize(
    "arrays",
    [
        {"picture": np.zeros((1, 4, 5, 3), np.float32), "mel": np.zeros((1, 6), np.float32)},
        {"picture": np.zeros((1, 4, 5, 3), np.uint8), "mel": np.zeros((2, 6), np.float32)},
        {"picture": np.zeros((0, 4, 5, 3), np.uint8), "mel": np.zeros((0, 6), np.float32)},
        {"mel": np.zeros((1, 6), np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(fake_acl: Any, om: Path, arrays: dict[str, np.ndarray]) -> None:
    engine = open_engine(fake_acl, om)
    with pytest.raises(ConfigError):
        engine.run(arrays)
    assert fake_acl.calls["mdl.execute"] == 0
    engine.close()
    check_clean(fake_acl)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (INPUTS[:1], OUTPUTS, "the OM's inputs are picture, mel, the manifest says picture"),
        ((INPUTS[0], TensorEntry("mel", "float32", ("B", 7))), OUTPUTS, r"input mel is float32\[-1, 6\]"),
        ((INPUTS[0], TensorEntry("mel", "uint8", ("B", 7))), OUTPUTS, r"the manifest says uint8\['B', 7\]"),
        (INPUTS, OUTPUTS[:1], "the OM's outputs are mean, sum, the manifest says mean"),
        (INPUTS, (TensorEntry("mean", "int64", ("B", 3)), OUTPUTS[1]), r"output mean is float32\[8, 3\]"),
    ],
)
def test_an_om_that_is_not_the_manifests_is_refused(
    fake_acl: Any, om: Path, inputs: Any, outputs: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        AclEngine(om, inputs, outputs)
    check_clean(fake_acl)


def test_outputs_without_names_are_taken_in_order(fake_acl: Any, om: Path) -> None:
    outputs = (TensorEntry("first", "float32", ("B", 3)), TensorEntry("second", "float32", ("B", 1)))
    engine = AclEngine(om, INPUTS, outputs)
    produced = engine.run(sample(1))
    np.testing.assert_allclose(produced["first"], expected(sample(1))["mean"], rtol=0, atol=1e-6)
    engine.close()
    check_clean(fake_acl)


@pytest.mark.parametrize(("name", "at"), [(name, at) for name, calls in OPENING.items() for at in range(1, calls + 1)])
def test_a_fault_while_opening_is_told_and_leaks_nothing(
    new_acl: Callable[..., Any], om: Path, name: str, at: int
) -> None:
    fake = new_acl()
    fake.fail(name, 207001, at)
    with pytest.raises(BackendError, match=rf"tiny\.om: acl\.{re.escape(name)} (failed with 207001|gave no handle)"):
        open_engine(fake, om)
    check_clean(fake)


def test_a_fault_of_init_is_told(new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl()
    fake.fail("init", 100000)
    with pytest.raises(BackendError, match=r"acl\.init failed with 100000, INVALID_PARAM"):
        open_engine(fake, om)
    check_clean(fake)


@pytest.mark.parametrize("name", ["rt.set_context", "rt.memcpy", "mdl.set_dynamic_batch_size", "mdl.execute"])
def test_a_fault_in_a_run_is_told_and_the_next_run_works(new_acl: Callable[..., Any], om: Path, name: str) -> None:
    fake = new_acl()
    engine = open_engine(fake, om)
    fake.fail(name, 507011)
    with pytest.raises(BackendError, match=rf"acl\.{re.escape(name)} failed with 507011, CANN, its driver or the NPU"):
        engine.run(sample(3))
    check(engine, 3)
    engine.close()
    check_clean(fake)


@pytest.mark.parametrize("name", CLOSING)
def test_a_fault_while_closing_keeps_nothing_else_from_being_given_back(
    new_acl: Callable[..., Any], om: Path, name: str
) -> None:
    fake = new_acl()
    engine = open_engine(fake, om)
    held = fake.live()
    fake.fail(name, 500001)
    with pytest.raises(BackendError, match=rf"acl\.{re.escape(name)} failed with 500001"):
        engine.close()
    assert sum(fake.live().values()) == 1
    assert sum(held.values()) > 10
    engine.close()  # a second call does nothing


def test_cann_s_own_words_are_passed_on(new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl()
    fake.fail("mdl.load_from_file", 507899)
    with pytest.raises(BackendError, match="CANN says: EZ9999: made-up details line two"):
        open_engine(fake, om)
    old = new_acl(old=True)
    old.fail("mdl.load_from_file", 507899)
    with pytest.raises(BackendError, match="the NPU's health") as caught:
        open_engine(old, om)
    assert "\n" not in str(caught.value)
    check_clean(fake)
    check_clean(old)


def test_a_missing_or_damaged_om_and_another_chips_are_told(
    new_acl: Callable[..., Any], om: Path, tmp_path: Path
) -> None:
    fake = new_acl()
    (tmp_path / "bad.om").write_bytes(om.read_bytes()[:50])
    for path, code in ((tmp_path / "none.om", "100003, INVALID_FILE"), (tmp_path / "bad.om", "100013, PARSE_MODEL")):
        with pytest.raises(BackendError, match=code):
            open_engine(fake, path)
    check_clean(fake)
    other = new_acl(soc="Ascend910B4")
    with pytest.raises(BackendError, match="500002, GE_FAILURE"):
        open_engine(other, om)
    check_clean(other)


def test_no_such_device_is_told(new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl(devices=1)
    with pytest.raises(BackendError, match=r"107001, RT_INVALID_DEVICEID: no such NPU"):
        AclEngine(om, INPUTS, OUTPUTS, device=3, acl=Acl(fake.module))
    check_clean(fake)


def test_runs_may_come_from_any_thread_and_from_many(new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl()
    engine = open_engine(fake, om)
    faults: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for batch in (1, 5, 3):
                check(engine, batch, seed)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join()
    check_clean(fake)


def test_a_closed_engine_says_so(fake_acl: Any, om: Path) -> None:
    engine = open_engine(fake_acl, om)
    engine.close()
    with pytest.raises(BackendError, match="the engine was closed"):
        engine.run(sample(1))
    check_clean(fake_acl)


def test_an_engine_that_is_forgotten_gives_everything_back(fake_acl: Any, om: Path) -> None:
    engine = open_engine(fake_acl, om)
    run = engine.bind({**sample(1), "mean": np.zeros((1, 3), np.float32), "sum": np.zeros((1, 1), np.float32)})
    del engine
    gc.collect()
    run()  # a bound run keeps its model
    del run
    gc.collect()
    check_clean(fake_acl)


def test_engines_share_the_device(fake_acl: Any, om: Path) -> None:
    first, second = open_engine(fake_acl, om), open_engine(fake_acl, om)
    assert fake_acl.calls["rt.set_device"] == fake_acl.calls["init"] == 1
    first.close()
    assert fake_acl.calls["rt.reset_device"] == 0
    check(second, 4)
    second.close()
    check_clean(fake_acl)
    third = open_engine(fake_acl, om)
    check(third, 1)
    third.close()
    check_clean(fake_acl)


def test_what_another_library_initialised_is_left_to_it(new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl(elsewhere=True)
    engine = open_engine(fake, om)
    assert fake.current_context() == fake.foreign_context
    check(engine, 2)
    assert fake.current_context() == fake.foreign_context
    engine.close()
    assert fake.current_context() == fake.foreign_context
    process = acl_process(Acl(fake.module))
    assert not process.owner
    process.shutdown()
    assert fake.initialised
    assert fake.calls["finalize"] == fake.calls["rt.reset_device"] == 0
    assert fake.violations == []


def test_the_namesake_from_the_package_index_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acl", type(sys)("acl"))
    with pytest.raises(BackendError, match="not CANN's but another of the same name"):
        load_acl()
    monkeypatch.setitem(sys.modules, "acl", None)
    with pytest.raises(BackendError, match="acl cannot be imported"):
        load_acl()


def test_every_function_that_is_called_is_in_the_published_contract(new_acl: Callable[..., Any]) -> None:
    published = json.loads((Path(__file__).parents[1] / "fakes" / "pyacl_signatures.json").read_text())["functions"]
    runtime = Path(sys.modules[AclEngine.__module__].__file__ or "").parent
    text = "".join(file.read_text() for file in runtime.glob("acl_*.py"))
    called = set(re.findall(r'(?:do|get|ask|make|code|callback)\((?:self\.)?(?:_?acl\.\w+, )?f?"([\w.{}]+)"', text))
    called |= set(re.findall(r'finalize\(self, self\.acl\.code, "(\w+)"', text)) | {"rt.get_context"}
    expanded = {name.replace("{role}", role) for name in called for role in ("input", "output")}
    assert expanded <= set(published), expanded - set(published)
    never = {"util.bytes_to_ptr", "util.ptr_to_bytes", "util.numpy_to_ptr", "get_recent_err_msg"}
    assert set(published) - expanded == never


def test_the_stand_in_is_as_strict_as_the_c_functions(new_acl: Callable[..., Any]) -> None:
    fake = new_acl()
    acl = fake.module
    with pytest.raises(TypeError):
        acl.init(path="x")
    with pytest.raises(TypeError):
        acl.mdl.load_from_file(Path("x.om"))
    with pytest.raises(TypeError):
        acl.rt.set_device(np.int64(0))
    assert acl.rt.malloc(16, 0) == (0, 100001)
    acl.init()
    assert acl.rt.malloc(16, 0) == (0, 107002)
    acl.rt.set_device(0)
    acl.rt.create_context(0)
    pointer, _ = acl.rt.malloc(16, 0)
    host = np.zeros(32, np.uint8)
    assert acl.rt.memcpy(pointer, 16, host.ctypes.data, 32, 1) == 107000
    assert acl.rt.memcpy(pointer, 32, host.ctypes.data, 32, 1) == 107000
    assert acl.rt.memcpy(host.ctypes.data, 32, pointer, 16, 1) == 107000
    assert acl.rt.memcpy(host.ctypes.data, 32, pointer, 16, 2) == 0
    assert acl.rt.free(pointer) == 0
    assert acl.rt.free(pointer) == 107000
    assert len(fake.violations) == 6


def test_every_code_is_explained_in_one_line() -> None:
    for code in [*CODES, 107999, 207999, 507999, 999999, 1]:
        text = explain(code)
        assert text
        assert "\n" not in text
        assert not text.endswith(".")
