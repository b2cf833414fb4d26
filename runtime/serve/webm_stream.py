"""Frames and their audio as one WebM stream (VP8, Opus), piece by piece, for players and ``MediaSource``."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.audio.frame import AudioFrame

from lipforge.runtime.live import LiveFrame
from lipforge.runtime.picture import Picture
from lipforge.runtime.serve.opus import OPUS_HZ, OpusPieces
from lipforge.runtime.serve.playout import Heard
from lipforge.runtime.serve.video_frames import copied

VIDEO_TICKS = 90_000
BIT_RATE = 2_000_000
KEY_FRAME_S = 2
VP8_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1"}

CLUSTER_MS = "100"
"""A player can show a cluster once it is whole; so much is added to the delay."""


class WebmStream:
    """Encodes one stream; not for several threads at once.

    Args:
        fps: of its frames.
    """

    def __init__(self, fps: Fraction) -> None:
        self._fps = fps
        self._sink = _Sink()
        self._container: Any = None
        self._pieces = OpusPieces()

    def add(self, frame: LiveFrame, pictured: bool) -> bytes:
        """Append a frame and return what of the stream is ready, often nothing.

        Args:
            frame: with its audio.
            pictured: whether its picture is wanted; its audio always is.
        """
        if self._container is None:
            self._open(Picture.of(frame.image))
        if pictured:
            picture = copied(frame.image)
            picture.pts, picture.time_base = round(frame.pts * VIDEO_TICKS), Fraction(1, VIDEO_TICKS)
            self._container.mux(self._video.encode(picture))
        if len(frame.audio):
            self._pieces.add(Heard(frame.audio_start, frame.audio, frame.sample_rate_hz))
        while (piece := self._pieces.take()) is not None:
            start, samples = piece
            sound = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = OPUS_HZ, start, Fraction(1, OPUS_HZ)
            self._container.mux(self._audio.encode(sound))
        return self._sink.take()

    def close(self) -> bytes:
        """Return the rest of the stream."""
        if self._container is not None:
            for stream in (self._video, self._audio):
                self._container.mux(stream.encode(None))
            self._container.close()
            self._container = None
        return self._sink.take()

    def _open(self, picture: Picture) -> None:
        import av

        options = {"live": "1", "cluster_time_limit": CLUSTER_MS, "flush_packets": "1"}
        self._container = av.open(self._sink, "w", format="webm", options=options)
        self._video = self._container.add_stream("libvpx", rate=self._fps, options=VP8_OPTIONS)
        self._video.width, self._video.height, self._video.pix_fmt = picture.width, picture.height, "yuv420p"
        self._video.bit_rate = BIT_RATE
        self._video.codec_context.gop_size = round(KEY_FRAME_S * self._fps)
        self._video.codec_context.time_base = Fraction(1, VIDEO_TICKS)
        self._audio = self._container.add_stream("libopus", rate=OPUS_HZ, layout="stereo")


class _Sink:
    """A file that is only written to; what was written can be taken out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Append data."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data
