"""One TFLite network, read and run by OpenCV; no TensorFlow is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


class Network(Protocol):
    """A network that takes one square BGR image and gives several arrays."""

    def __call__(self, image: U8) -> list[F32]:
        """Run on uint8 (size, size, 3) BGR; the outputs are in the order they were asked for."""


class TfliteNetwork:
    """A TFLite file run by OpenCV on ``image * scale - offset`` in RGB order.

    Args:
        path: the ``.tflite`` file.
        outputs: names of the wanted outputs.
        mean: subtracted from every channel of the 0..255 image.
        scale: multiplied after that.

    Raises:
        InputError: the file is missing or OpenCV cannot read it.
    """

    def __init__(self, path: Path, outputs: Sequence[str], mean: float, scale: float) -> None:
        if not path.is_file():
            raise InputError(f"{path}: the face model is missing. Run `lipforge models fetch faces`.")
        # OpenCV 5's new engine exposes one output only and then refuses to run networks with several;
        # 4.x has the classic engine alone and no name for it.
        engine: tuple[Any, ...] = (cv2.dnn.ENGINE_CLASSIC,) if hasattr(cv2.dnn, "ENGINE_CLASSIC") else ()
        try:
            self._net = cv2.dnn.readNetFromTFLite(str(path), *engine)
        except cv2.error as error:
            raise InputError(f"{path}: OpenCV cannot read this face model ({error.err}).") from error
        self._outputs = list(outputs)
        self._mean, self._scale = (mean, mean, mean), scale

    def __call__(self, image: U8) -> list[F32]:
        """Run on uint8 (size, size, 3) BGR; float32 arrays in the order of ``outputs``."""
        height, width = image.shape[:2]
        blob = cv2.dnn.blobFromImage(image, self._scale, (width, height), self._mean, swapRB=True)
        self._net.setInput(blob)
        return [np.asarray(out, np.float32) for out in self._net.forward(self._outputs)]
