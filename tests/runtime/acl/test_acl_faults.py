from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipforge.kernels.errors import BackendError
from lipforge.runtime.acl_engine import AclEngine
from lipforge.runtime.acl_errors import CODES, explain
from lipforge.runtime.acl_module import Acl, load_acl

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


@pytest.mark.parametrize(("name", "at"), [(name, at) for name, calls in OPENING.items() for at in range(1, calls + 1)])
def test_a_fault_while_opening_is_told_and_leaks_nothing(
    tiny: Any, new_acl: Callable[..., Any], om: Path, name: str, at: int
) -> None:
    fake = new_acl()
    fake.fail(name, 207001, at)
    with pytest.raises(BackendError, match=rf"tiny\.om: acl\.{re.escape(name)} (failed with 207001|gave no handle)"):
        tiny.open(fake, om)
    tiny.check_clean(fake)


def test_a_fault_of_init_is_told(tiny: Any, new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl()
    fake.fail("init", 100000)
    with pytest.raises(BackendError, match=r"acl\.init failed with 100000, INVALID_PARAM"):
        tiny.open(fake, om)
    tiny.check_clean(fake)


@pytest.mark.parametrize("name", ["rt.set_context", "rt.memcpy", "mdl.set_dynamic_batch_size", "mdl.execute"])
def test_a_fault_in_a_run_is_told_and_the_next_run_works(
    tiny: Any, new_acl: Callable[..., Any], om: Path, name: str
) -> None:
    fake = new_acl()
    engine = tiny.open(fake, om)
    fake.fail(name, 507011)
    with pytest.raises(BackendError, match=rf"acl\.{re.escape(name)} failed with 507011, CANN, its driver or the NPU"):
        engine.run(tiny.sample(3))
    tiny.check(engine, 3)
    engine.close()
    tiny.check_clean(fake)


@pytest.mark.parametrize("name", CLOSING)
def test_a_fault_while_closing_keeps_nothing_else_from_being_given_back(
    tiny: Any, new_acl: Callable[..., Any], om: Path, name: str
) -> None:
    fake = new_acl()
    engine = tiny.open(fake, om)
    held = fake.live()
    fake.fail(name, 500001)
    with pytest.raises(BackendError, match=rf"acl\.{re.escape(name)} failed with 500001"):
        engine.close()
    assert sum(fake.live().values()) == 1
    assert sum(held.values()) > 10
    engine.close()  # a second call does nothing


def test_cann_s_own_words_are_passed_on(tiny: Any, new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl()
    fake.fail("mdl.load_from_file", 507899)
    with pytest.raises(BackendError, match="CANN says: EZ9999: made-up details line two"):
        tiny.open(fake, om)
    old = new_acl(old=True)
    old.fail("mdl.load_from_file", 507899)
    with pytest.raises(BackendError, match="the NPU's health") as caught:
        tiny.open(old, om)
    assert "\n" not in str(caught.value)
    tiny.check_clean(fake)
    tiny.check_clean(old)


def test_a_missing_or_damaged_om_and_another_chips_are_told(
    tiny: Any, new_acl: Callable[..., Any], om: Path, tmp_path: Path
) -> None:
    fake = new_acl()
    (tmp_path / "bad.om").write_bytes(om.read_bytes()[:50])
    for path, code in ((tmp_path / "none.om", "100003, INVALID_FILE"), (tmp_path / "bad.om", "100013, PARSE_MODEL")):
        with pytest.raises(BackendError, match=code):
            tiny.open(fake, path)
    tiny.check_clean(fake)
    other = new_acl(soc="Ascend910B4")
    with pytest.raises(BackendError, match="500002, GE_FAILURE"):
        tiny.open(other, om)
    tiny.check_clean(other)


def test_no_such_device_is_told(tiny: Any, new_acl: Callable[..., Any], om: Path) -> None:
    fake = new_acl(devices=1)
    with pytest.raises(BackendError, match=r"107001, RT_INVALID_DEVICEID: no such NPU"):
        AclEngine(om, tiny.inputs, tiny.outputs, device=3, acl=Acl(fake.module))
    tiny.check_clean(fake)


def test_the_namesake_from_the_package_index_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acl", type(sys)("acl"))
    with pytest.raises(BackendError, match="not CANN's but another of the same name"):
        load_acl()
    monkeypatch.setitem(sys.modules, "acl", None)
    with pytest.raises(BackendError, match="acl cannot be imported"):
        load_acl()


def test_every_code_is_explained_in_one_line() -> None:
    for code in [*CODES, 107999, 207999, 507999, 999999, 1]:
        text = explain(code)
        assert text
        assert "\n" not in text
        assert not text.endswith(".")
