from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipforge.runtime.acl_engine import AclEngine


def test_every_function_that_is_called_is_in_the_published_contract(new_acl: Callable[..., Any]) -> None:
    published = json.loads((Path(__file__).parents[2] / "fakes" / "pyacl_signatures.json").read_text())["functions"]
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
