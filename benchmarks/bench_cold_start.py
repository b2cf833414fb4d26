"""A new process up to its first mel columns and its first crop, on warm disk caches.

Every round starts a Python of its own. What is measured is its CPU time, from its start to its end, because other work
on the machine disturbs that least; on an idle machine the clock on the wall shows about the same. The floors say what
cannot be saved: numpy for everybody, and for whoever calls numba functions, even from numba's disk cache, numba.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest


def seconds_of_children() -> float:
    """CPU time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


pytestmark = pytest.mark.benchmark(group="new process to first mel and crop, CPU time", timer=seconds_of_children)

INPUT = """
import numpy as np
audio = np.sin(np.arange(16_000, dtype=np.float32))
image = np.zeros((720, 1280, 3), np.uint8)
transform = np.array([[0.3, -0.05, -200.0], [0.05, 0.3, -100.0]])
"""

LIPFORGE = f"""{INPUT}
from lipforge.kernels.crop import crop_face
from lipforge.kernels.mel import MelStream
from lipforge.kernels.spec import MelSpec
assert MelStream(MelSpec()).push(audio).shape == (80, 79)
assert crop_face(image, transform, 96).shape == (96, 96, 3)
"""

PUBLISHED = f"""{INPUT}
import cv2, librosa, scipy.signal
filters = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
spectrum = librosa.stft(y=scipy.signal.lfilter([1, -0.97], [1], audio), n_fft=800, hop_length=200, win_length=800)
level_db = 20 * np.log10(np.maximum(1e-5, np.dot(filters, np.abs(spectrum)))) - 20
assert np.clip(8 * ((level_db + 100) / 100) - 4, -4, 4).shape == (80, 81)
assert cv2.warpAffine(image, transform, (96, 96)).shape == (96, 96, 3)
"""

NUMBA_FUNCTION = """
import numba
@numba.njit("float32(float32[::1])", cache=True)
def first(x):
    return x[0]
"""


def new_process(program: str) -> None:
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ.copy(), check=False)
    assert done.returncode == 0, done.stderr


def time_processes(benchmark, program: str) -> None:
    new_process(program)  # fills the caches
    benchmark.pedantic(new_process, (program,), rounds=9)


def test_lipforge(benchmark):
    time_processes(benchmark, LIPFORGE)


def test_peer_published(benchmark):
    """What Wav2Lip does: librosa with scipy's filter for the mel, OpenCV for the crop."""
    for name in ("librosa", "scipy"):
        pytest.importorskip(name, reason=f"{name} is not installed; it is only a peer here")
    time_processes(benchmark, PUBLISHED)


def test_floor_numba(benchmark, tmp_path: Path):
    """The smallest numba function, already compiled and on disk."""
    (tmp_path / "smallest.py").write_text(NUMBA_FUNCTION)
    time_processes(benchmark, f"{INPUT}\nimport sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport smallest\n")


def test_floor_numpy(benchmark):
    time_processes(benchmark, INPUT)
