from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lipforge.kernels.compiled as compiled

PROGRAM = """
import importlib.machinery, importlib.util, sys
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location("made", folder + "/made.py")
made = importlib.util.module_from_spec(spec)
sys.modules["made"] = made
import lipforge.kernels.compiled as compiled
compiled.__file__ = folder + "/compiled.py"
spec.loader.exec_module(made)
made.double(3)
print(sum(made.double.stats.cache_hits.values()))
"""

MADE = """
from lipforge.kernels.compiled import compiled
@compiled
def double(x):
    return 2 * x
"""


def cache_hits(folder: Path) -> int:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout)


def test_machine_code_is_kept_until_any_kernel_file_changes(tmp_path):
    (tmp_path / "made.py").write_text(MADE)
    shutil.copy(compiled.__file__, tmp_path / "other.py")
    assert [cache_hits(tmp_path), cache_hits(tmp_path)] == [0, 1]
    with (tmp_path / "other.py").open("a") as other:
        other.write("# changed\n")
    assert [cache_hits(tmp_path), cache_hits(tmp_path)] == [0, 1]
