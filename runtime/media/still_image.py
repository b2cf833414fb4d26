"""An image as a video that never ends."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.kernels.yuv import YuvSpec
from lipforge.runtime.media.container import check_file
from lipforge.runtime.media.frame_pool import FramePool, Planes
from lipforge.runtime.media.video_info import PICTURE_COLOURS, VideoInfo
from lipforge.runtime.media.video_reader import SourceFrame

IMAGE_FPS = Fraction(25)
TICKS_PER_SECOND = 12_800

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")


def is_image(path: Path) -> bool:
    """Tell by its first bytes whether a file is a JPEG, PNG, BMP, TIFF or WebP image."""
    with path.open("rb") as file:
        head = file.read(16)
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


class StillImage:
    """One image, shown 25 times a second without end.

    Orientation marks of cameras are obeyed. An odd width or height gets one more column or row (the last one again),
    because H.264 players want even sizes.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """

    def __init__(self, path: Path, role: str = "--face") -> None:
        image = _decode(check_file(path, role), role)
        height, width, _ = image.shape
        self.info = VideoInfo(
            width=width,
            height=height,
            fps=IMAGE_FPS,
            time_base=Fraction(1, TICKS_PER_SECOND),
            pixel_aspect=Fraction(1),
            colours=PICTURE_COLOURS,
            siting="left",
            quarter_turns=0,
            frames=0,
        )
        self._planes = _planes(image, self.info.yuv_spec)
        self._pool = FramePool(width, height, self.info.yuv_spec)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield copies of the image at 25 frames a second."""
        index = 0
        while True:
            frame = self._pool.take()
            frame.fill(self._planes)
            yield SourceFrame(frame, index / IMAGE_FPS, first_pass=False)
            index += 1

    def reuse(self, frame: SourceFrame) -> None:
        """Take back a frame that nobody needs any more; its memory becomes that of a later one."""
        self._pool.give_back(frame.frame)


def _decode(path: Path, role: str) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InputError(f"{role} {path}: the image cannot be decoded ({error.err}).") from error
    if image is None:
        raise InputError(f"{role} {path}: the image cannot be decoded. It is damaged or of a kind that is not known.")
    height, width, _ = image.shape
    padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(padded, dtype=np.uint8)


def _planes(image: NDArray[np.uint8], spec: YuvSpec) -> Planes:
    """Convert BGR of even size to 4:2:0 with chroma on the even columns, where H.264 players look for it.

    Done once for the whole stream, so it need not be fast; FFmpeg's converter gives grey a tinge of green.
    """
    matrix, offset = spec.from_rgb()
    to_yuv = np.column_stack([matrix[:, ::-1] / 255.0, offset])
    across, down = np.array([0.25, 0.5, 0.25]), np.array([0.0, 0.5, 0.5])
    smooth = cv2.sepFilter2D(image, cv2.CV_8U, across, down, borderType=cv2.BORDER_REPLICATE)
    u, v = cv2.split(cv2.transform(np.ascontiguousarray(smooth[::2, ::2]), to_yuv[1:]))
    y = cv2.transform(image, to_yuv[:1])
    return np.asarray(y, np.uint8), np.asarray(u, np.uint8), np.asarray(v, np.uint8)
