"""Questions that are asked in a child process, so that a package that crashes does not take doctor with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

TIMEOUT_S = 120.0

TORCH_QUESTION = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__,
    "cuda_build": torch.version.cuda,
    "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
}))
"""

NPU_QUESTION = """
import json, torch, torch_npu
names = [torch.npu.get_device_name(i) for i in range(torch.npu.device_count())] if torch.npu.is_available() else []
print(json.dumps({"devices": names}))
"""

# A firewall tool on PyPI has the same import name; only CANN's has these attributes.
ACL_QUESTION = """
import json, acl
print(json.dumps({"is_cann": hasattr(acl, "mdl") and hasattr(acl, "rt")}))
"""


def ask_python(program: str, timeout_s: float = TIMEOUT_S) -> tuple[dict[str, Any] | None, str]:
    """Run a program whose last line is a JSON object; return (object, "") or (None, what went wrong in one line)."""
    # Safe path: a folder of the current directory must not be taken for a package of the same name.
    output, error = run([sys.executable, "-c", program], timeout_s, {**os.environ, "PYTHONSAFEPATH": "1"})
    if output is None:
        return None, error
    try:
        answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None, "gave no answer"
    return answer, ""


def run(arguments: Sequence[str], timeout_s: float, environ: dict[str, str] | None = None) -> tuple[str | None, str]:
    """Run a program; return (its output, "") or (None, the last line that it wrote to stderr)."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout_s, env=environ, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {timeout_s:g} s"
    except OSError as error:
        return None, str(error)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return None, lines[-1] if lines else f"ended with code {done.returncode}"
    return done.stdout, ""
