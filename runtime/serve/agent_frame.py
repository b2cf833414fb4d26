"""A frame and its audio as one binary message, see docs/serve.md for the layout."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2

from lipforge.runtime.live import LiveFrame
from lipforge.runtime.picture import Picture
from lipforge.runtime.sample_queue import as_int16

MAGIC = b"LFF1"
HEADER = struct.Struct("<4sBBHIIIIQd")
"""Magic, flags, channels, 0, sample rate, bytes of audio, bytes of the picture, epoch, first sample's number, pts."""

DRIVEN = 1
"""Flag: the lips follow the voice."""


@dataclass(frozen=True)
class PictureOptions:
    """How pictures are sent.

    Attributes:
        width: in px; a wider one is made smaller. None keeps it.
        quality: of the JPEG, 1 to 100.
    """

    width: int | None = None
    quality: int = 85


def packed(frame: LiveFrame, options: PictureOptions | None) -> bytes:
    """Return a frame as a message.

    Args:
        frame: with its audio.
        options: for the picture; None leaves it out.
    """
    image = b"" if options is None else _jpeg(frame, options)
    samples = as_int16(frame.audio).astype("<i2", copy=False)
    header = HEADER.pack(
        MAGIC,
        DRIVEN if frame.stats.driven else 0,
        samples.shape[1],
        0,
        frame.sample_rate_hz,
        samples.nbytes,
        len(image),
        frame.epoch,
        frame.audio_start,
        float(frame.pts),
    )
    return b"".join((header, samples.tobytes(), image))


def _jpeg(frame: LiveFrame, options: PictureOptions) -> bytes:
    picture = Picture.of(frame.image)
    width = min(picture.width, options.width or picture.width)
    height = max(1, round(picture.height * width / picture.width))
    image = picture.resized(picture.whole, width, height)
    _, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, options.quality))
    return encoded.tobytes()
