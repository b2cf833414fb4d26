"""Warp and paste between forbidden pages: one byte too far ends the process, so they run in one of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, mmap
import numpy as np
from lipforge.kernels.buffers import Buffer
from lipforge.kernels.paste import PasteScratch, paste_face, paste_face_i420, paste_face_nv12
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite, composite_i420, composite_nv12
from lipforge.kernels.yuv import I420Frame, Nv12Frame

PAGE, protect, rooms = mmap.PAGESIZE, ctypes.CDLL(None).mprotect, {}

def fenced(key, shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // PAGE)
    if (key, pages) not in rooms:
        memory = np.frombuffer(mmap.mmap(-1, (pages + 2) * PAGE), np.uint8)
        for page in (0, pages + 1):
            assert protect(ctypes.c_void_p(memory.ctypes.data + page * PAGE), ctypes.c_size_t(PAGE), 0) == 0
        rooms[key, pages] = memory
    end = (pages + 1) * PAGE
    return rooms[key, pages][end - size : end].view(dtype).reshape(shape)

Buffer.room = lambda self, *shape: fenced(id(self), shape, self.dtype)
rng = np.random.default_rng(0)
bgr, y = fenced("bgr", (61, 83, 3), np.uint8), fenced("y", (61, 83), np.uint8)
u, v, uv = (fenced(name, (31, 42, *more), np.uint8) for name, more in (("u", ()), ("v", ()), ("uv", (2,))))
i420, nv12 = I420Frame(y, u, v), Nv12Frame(y, uv)
warp_scratch, paste_scratch = WarpScratch(), PasteScratch()
for _ in range(300):
    size = int(rng.choice([1, 2, 3, 8, 16, 24, 33]))
    angle, scale = rng.uniform(0, 6.3), np.exp(rng.uniform(-4, 2))
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = np.column_stack([linear, size / 2 - linear @ rng.uniform([-20, -20], [103, 81])])
    flow = rng.normal(0, rng.choice([0.1, 3, 50]), (2, size, size)).astype(np.float32)
    mask, colour = rng.random((size, size), np.float32), rng.random((3, size, size), np.float32)
    crop = fenced(size, (size, size, 3), np.uint8)
    for run, target in ((composite, bgr), (composite_i420, i420), (composite_nv12, nv12)):
        run(target, warp_scratch, transform, flow, mask, colour, WarpSpec(2.0))
    for run, target in ((paste_face, bgr), (paste_face_i420, i420), (paste_face_nv12, nv12)):
        run(target, paste_scratch, transform, crop, mask)
print("stayed inside")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forbids memory with Linux's mprotect")
def test_nothing_outside_images_and_working_memory_is_touched():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.returncode) == ("stayed inside\n", 0), done.stderr
