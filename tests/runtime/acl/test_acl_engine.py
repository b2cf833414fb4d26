from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.acl_engine import AclEngine
from lipforge.runtime.acl_module import Acl
from lipforge.runtime.acl_process import acl_process
from lipforge.runtime.manifest import TensorEntry

INPUTS = (TensorEntry("picture", "uint8", ("B", 4, 5, 3)), TensorEntry("mel", "float32", ("B", 6)))
OUTPUTS = (TensorEntry("mean", "float32", ("B", 3)), TensorEntry("sum", "float32", ("B", 1)))


@pytest.mark.parametrize("old", [False, True])
def test_batches_are_padded_to_the_next_gear(tiny: Any, new_acl: Callable[..., Any], om: Path, old: bool) -> None:
    fake = new_acl(old=old)
    engine = tiny.open(fake, om)
    assert engine.gears == (1, 4, 8)
    for batch in (8, 3, 1, 5, 4, 1):
        tiny.check(engine, batch, seed=batch)
    engine.close()
    assert fake.initialised
    tiny.check_clean(fake)
    assert not fake.initialised


def test_a_larger_batch_than_the_largest_gear_is_refused(tiny: Any, fake_acl: Any, om: Path) -> None:
    engine = tiny.open(fake_acl, om)
    with pytest.raises(ConfigError, match="a batch of 9 is more than the OM's largest gear; it was built for 1, 4, 8"):
        engine.run(tiny.sample(9))
    engine.close()
    tiny.check_clean(fake_acl)


def test_a_static_model_pads_to_its_batch(tiny: Any, fake_acl: Any, om_of: Callable[..., Path]) -> None:
    engine = tiny.open(fake_acl, om_of("--precision_mode_v2=origin", gears=""))
    assert engine.gears == (2,)
    tiny.check(engine, 2)
    tiny.check(engine, 1)
    assert fake_acl.calls["mdl.set_dynamic_batch_size"] == 0
    engine.close()
    tiny.check_clean(fake_acl)


def test_a_model_with_ranges_of_shapes_is_refused(
    tiny: Any, fake_acl: Any, build_om: Callable[..., None], tmp_path: Path
) -> None:
    onnx.save_model(tiny.network(), str(tmp_path / "tiny.onnx"))
    names = [f"--model={tmp_path / 'tiny.onnx'}", f"--output={tmp_path / 'tiny'}"]
    build_om("--framework=5", "--soc_version=Ascend310P3", *names)
    with pytest.raises(BackendError, match="picture has no fixed size: the OM was built with ranges of shapes"):
        tiny.open(fake_acl, tmp_path / "tiny.om")
    tiny.check_clean(fake_acl)


def test_a_bound_run_uses_the_callers_arrays_and_allocates_nothing_on_the_device(
    tiny: Any, fake_acl: Any, om: Path
) -> None:
    engine = tiny.open(fake_acl, om)
    arrays = {**tiny.sample(3), "mean": np.zeros((3, 3), np.float32), "sum": np.zeros((3, 1), np.float32)}
    run = engine.bind(arrays)
    assert run.gear == 4
    before = fake_acl.calls["rt.malloc"], fake_acl.calls["mdl.create_dataset"], fake_acl.calls["create_data_buffer"]
    for seed in range(3):
        for name, values in tiny.sample(3, seed).items():
            arrays[name][:] = values
        run()
        np.testing.assert_allclose(arrays["mean"], tiny.expected(arrays)["mean"], rtol=0, atol=1e-6)
    assert before == (
        fake_acl.calls["rt.malloc"],
        fake_acl.calls["mdl.create_dataset"],
        fake_acl.calls["create_data_buffer"],
    )
    assert fake_acl.calls["mdl.set_dynamic_batch_size"] == 1  # the gear did not change
    engine.close()
    tiny.check_clean(fake_acl)


def test_half_precision_and_float_inputs_are_converted_on_the_host(
    tiny: Any, fake_acl: Any, om_of: Callable[..., Path]
) -> None:
    engine = tiny.open(fake_acl, om_of("--output_type=FP16", bytes_in=False))
    tiny.check(engine, 3, atol=4e-3)  # float16 of a sum of a few units
    engine.close()
    tiny.check_clean(fake_acl)


@pytest.mark.parametrize(
    "arrays",
    [
        {"picture": np.zeros((1, 4, 5, 3), np.float32), "mel": np.zeros((1, 6), np.float32)},
        {"picture": np.zeros((1, 4, 5, 3), np.uint8), "mel": np.zeros((2, 6), np.float32)},
        {"picture": np.zeros((0, 4, 5, 3), np.uint8), "mel": np.zeros((0, 6), np.float32)},
        {"mel": np.zeros((1, 6), np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tiny: Any, fake_acl: Any, om: Path, arrays: dict[str, np.ndarray]) -> None:
    engine = tiny.open(fake_acl, om)
    with pytest.raises(ConfigError):
        engine.run(arrays)
    assert fake_acl.calls["mdl.execute"] == 0
    engine.close()
    tiny.check_clean(fake_acl)


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
    tiny: Any, fake_acl: Any, om: Path, inputs: Any, outputs: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        AclEngine(om, inputs, outputs)
    tiny.check_clean(fake_acl)


def test_outputs_without_names_are_taken_in_order(tiny: Any, fake_acl: Any, om: Path) -> None:
    outputs = (TensorEntry("first", "float32", ("B", 3)), TensorEntry("second", "float32", ("B", 1)))
    engine = AclEngine(om, INPUTS, outputs)
    produced = engine.run(tiny.sample(1))
    np.testing.assert_allclose(produced["first"], tiny.expected(tiny.sample(1))["mean"], rtol=0, atol=1e-6)
    engine.close()
    tiny.check_clean(fake_acl)


def test_runs_may_come_from_any_thread_and_from_many(tiny: Any, new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl()
    engine = tiny.open(fake, om)
    faults: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for batch in (1, 5, 3):
                tiny.check(engine, batch, seed)
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
    tiny.check_clean(fake)


def test_a_closed_engine_says_so(tiny: Any, fake_acl: Any, om: Path) -> None:
    engine = tiny.open(fake_acl, om)
    engine.close()
    with pytest.raises(BackendError, match="the engine was closed"):
        engine.run(tiny.sample(1))
    tiny.check_clean(fake_acl)


def test_an_engine_that_is_forgotten_gives_everything_back(tiny: Any, fake_acl: Any, om: Path) -> None:
    engine = tiny.open(fake_acl, om)
    run = engine.bind({**tiny.sample(1), "mean": np.zeros((1, 3), np.float32), "sum": np.zeros((1, 1), np.float32)})
    del engine
    gc.collect()
    run()  # a bound run keeps its model
    del run
    gc.collect()
    tiny.check_clean(fake_acl)


def test_engines_share_the_device(tiny: Any, fake_acl: Any, om: Path) -> None:
    first, second = tiny.open(fake_acl, om), tiny.open(fake_acl, om)
    assert fake_acl.calls["rt.set_device"] == fake_acl.calls["init"] == 1
    first.close()
    assert fake_acl.calls["rt.reset_device"] == 0
    tiny.check(second, 4)
    second.close()
    tiny.check_clean(fake_acl)
    third = tiny.open(fake_acl, om)
    tiny.check(third, 1)
    third.close()
    tiny.check_clean(fake_acl)


def test_what_another_library_initialised_is_left_to_it(tiny: Any, new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl(elsewhere=True)
    engine = tiny.open(fake, om)
    assert fake.current_context() == fake.foreign_context
    tiny.check(engine, 2)
    assert fake.current_context() == fake.foreign_context
    engine.close()
    assert fake.current_context() == fake.foreign_context
    process = acl_process(Acl(fake.module))
    assert not process.owner
    process.shutdown()
    assert fake.initialised
    assert fake.calls["finalize"] == fake.calls["rt.reset_device"] == 0
    assert fake.violations == []
