"""Mel windows of clips, cut from whole spectrograms that stay in memory up to a limit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import MelSpec
from lipforge.train.face_clips import FaceClip

MEMORY_BYTES = 2**30  # 23 hours of sound; a clip beyond it costs one small file to read


class ClipMels:
    """Spectrograms of clips, read when first asked for; the one that was not asked for longest is forgotten first.

    Several threads may ask at the same time.
    """

    def __init__(self, clips: Sequence[FaceClip], mel: MelSpec, memory_bytes: int = MEMORY_BYTES) -> None:
        self._clips, self._mel, self._limit = clips, mel, memory_bytes
        self._kept: OrderedDict[int, npt.NDArray[np.float16]] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def window(self, clip: int, first_column: int, out: npt.NDArray[np.float32]) -> None:
        """Fill float32 (M, columns) with a clip's columns from one on; what lies outside of the sound is silence."""
        whole, columns = self._whole(clip), out.shape[1]
        first, last = max(0, first_column), min(whole.shape[1], first_column + columns)
        if last - first < columns:
            out.fill(-self._mel.max_abs)
        if first < last:
            out[:, first - first_column : last - first_column] = whole[:, first:last]

    def _whole(self, clip: int) -> npt.NDArray[np.float16]:
        with self._lock:
            kept = self._kept.get(clip)
            if kept is not None:
                self._kept.move_to_end(clip)
                return kept
        made = self._clips[clip].read_mel(self._mel)
        with self._lock:
            if clip not in self._kept:
                self._bytes += made.nbytes
                self._kept[clip] = made
            while self._bytes > self._limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return made
