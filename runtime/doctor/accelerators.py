"""torch, CUDA, triton, torch_npu with CANN, atc and acl: all optional, all for training or special hardware."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from lipforge.runtime.doctor.child import ACL_QUESTION, NPU_QUESTION, TORCH_QUESTION, ask_python, run
from lipforge.runtime.doctor.finding import Finding
from lipforge.runtime.doctor.npu_pairing import find_cann, judge, load_table
from lipforge.runtime.doctor.runtime_packages import installed_version

SECTION = "accelerators and training"
DRIVER_TIMEOUT_S = 20.0
SET_ENV = "Source the set_env.sh in CANN's folder."


def accelerator_findings() -> list[Finding]:
    """Look at everything that speeds up training or runs a model elsewhere than on the CPU."""
    rows = _torch_and_cuda()
    return [*rows, _triton(), *_npu(), _atc(), _acl()]


def _torch_and_cuda() -> list[Finding]:
    driver, _ = run_nvidia_smi()
    version = installed_version("torch")
    if version is None:
        fix = "For training and export: pip install 'lipforge[train,export]'"
        return [Finding(SECTION, "torch", "optional", "not installed", fix), _cuda_without_torch(driver)]
    answer, error = ask_python(TORCH_QUESTION)
    if answer is None:
        fix = f"{SET_ENV} Or: pip uninstall torch_npu" if installed_version("torch_npu") else "Install torch again."
        problem = Finding(SECTION, "torch", "problem", f"{version} cannot be imported: {error}", fix)
        return [problem, _cuda_without_torch(driver)]
    build = f"CUDA {answer['cuda_build']} build" if answer["cuda_build"] else "CPU build"
    torch = Finding(SECTION, "torch", "ok", f"{answer['version']}, {build}")
    return [torch, _cuda(driver, answer["cuda_build"], answer["devices"])]


def run_nvidia_smi() -> tuple[str | None, str]:
    """Return "name, driver version, memory" of each NVIDIA device in one line, or None and why there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None, "no nvidia-smi"
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    output, error = run(query, DRIVER_TIMEOUT_S)
    return (None, error) if output is None else ("; ".join(output.strip().splitlines()) or None, "no device")


def _cuda_without_torch(driver: str | None) -> Finding:
    if driver is None:
        return Finding(SECTION, "CUDA", "optional", "no NVIDIA driver", "Only needed to train on a GPU.")
    fix = "To train on it: pip install 'lipforge[train]' with a CUDA build of torch"
    return Finding(SECTION, "CUDA", "optional", f"{driver}; not usable without torch", fix)


def _cuda(driver: str | None, build: str | None, devices: list[str]) -> Finding:
    if devices:
        return Finding(SECTION, "CUDA", "ok", f"{', '.join(devices)} ({driver or 'no nvidia-smi'})")
    if driver is None:
        return Finding(SECTION, "CUDA", "optional", "no NVIDIA driver", "Only needed to train on a GPU.")
    if build is None:
        return Finding(
            SECTION, "CUDA", "problem", f"{driver}, but torch is a CPU build", "Install a CUDA build of torch."
        )
    fix = f"Update the driver to one that supports CUDA {build}."
    return Finding(SECTION, "CUDA", "problem", f"{driver}, but torch (CUDA {build}) sees no device", fix)


def _triton() -> Finding:
    community, ascend = installed_version("triton"), installed_version("triton-ascend")
    if community and ascend:
        fix = "They share one folder: pip uninstall -y triton triton-ascend, then install the one you need."
        return Finding(SECTION, "triton", "problem", f"triton {community} beside triton-ascend {ascend}", fix)
    if community or ascend:
        return Finding(SECTION, "triton", "ok", community or f"triton-ascend {ascend}")
    return Finding(SECTION, "triton", "optional", "not installed", "For GPU kernels: pip install 'lipforge[gpu]'")


def _npu() -> list[Finding]:
    home, cann = find_cann()
    where = "not found" if home is None else f"{cann or 'unknown version'}, {home}"
    toolkit = Finding(SECTION, "CANN", "optional", where, "Only needed for Ascend NPUs.")
    if home is not None:
        toolkit = Finding(SECTION, "CANN", "ok", where)
    torch_npu = installed_version("torch_npu")
    if torch_npu is None:
        fix = "For training on an Ascend NPU: pip install 'lipforge[npu]'"
        return [toolkit, Finding(SECTION, "torch_npu", "optional", "not installed", fix)]
    # A CANN whose version cannot be read is there all the same; it then counts as an unknown pairing.
    version = cann or (None if home is None else "of unknown version")
    verdict = judge(installed_version("torch"), torch_npu, version, load_table())
    if verdict.status != "ok":
        return [toolkit, Finding(SECTION, "torch_npu", verdict.status, verdict.detail, verdict.fix)]
    answer, error = ask_python(NPU_QUESTION)
    if answer is None:
        return [toolkit, Finding(SECTION, "torch_npu", "problem", f"{verdict.detail}; cannot start: {error}", SET_ENV)]
    if not answer["devices"]:
        fix = "Check the driver with npu-smi info, and that /dev/davinci* is visible here."
        return [toolkit, Finding(SECTION, "torch_npu", "problem", f"{verdict.detail}; no NPU", fix)]
    return [toolkit, Finding(SECTION, "torch_npu", "ok", f"{verdict.detail}: {', '.join(answer['devices'])}")]


def _atc() -> Finding:
    program = shutil.which("atc")
    if program is None:
        fix = f"Only needed to convert models for Ascend: install CANN. {SET_ENV}"
        return Finding(SECTION, "atc", "optional", "not on PATH", fix)
    return Finding(SECTION, "atc", "ok", program)


def _acl() -> Finding:
    if find_spec("acl") is None:
        fix = f"Only needed to run models on an Ascend NPU: install CANN. {SET_ENV}"
        return Finding(SECTION, "acl", "optional", "not importable", fix)
    answer, error = ask_python(ACL_QUESTION)
    if answer is None:
        return Finding(SECTION, "acl", "problem", f"cannot be imported: {error}", SET_ENV)
    if not answer["is_cann"]:
        fix = f"pip uninstall acl. {SET_ENV}"
        return Finding(SECTION, "acl", "problem", "another package of the same name, not CANN's", fix)
    return Finding(SECTION, "acl", "ok", "CANN's Python interface")
