"""A stream to a server or player: RTMP, UDP, SRT, TCP, through FFmpeg's own protocols."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.media.video_info import VideoInfo
from lipforge.runtime.sinks.sink import TIME_BASE, Shape, encodable, video_info

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

FORMATS = {"rtmp": "flv", "rtmps": "flv", "udp": "mpegts", "srt": "mpegts", "tcp": "mpegts"}
"""Protocol of an address -> the container that its servers and players expect."""

AUDIO_RATE_HZ = 48_000
"""RTMP servers take no other rates than 44.1 and 48 kHz for granted."""

OPEN_TIMEOUT_S = 10.0


def is_address(output: str) -> bool:
    """Tell whether an output is a network address that this sink knows."""
    return output.partition("://")[0] in FORMATS and "://" in output


class NetworkStreamSink:
    """Sends H.264 without reordering and AAC, a key frame every 2 s.

    Args:
        address: ``rtmp://``, ``rtmps://``, ``udp://``, ``srt://`` or ``tcp://``.
        fps: frames a second.
        info: of an avatar's pictures; None for a camera's.
        bitrate: of the picture, in bits a second.

    Raises:
        InputError: the address is of no known kind.
    """

    def __init__(self, address: str, fps: Fraction, info: VideoInfo | None = None, bitrate: int = 2_500_000) -> None:
        if not is_address(address):
            raise InputError(f"--output {address}: allowed are {', '.join(f'{kind}://' for kind in FORMATS)}.")
        self._address, self._fps, self._info, self._bitrate = address, fps, info, bitrate
        self._container: OutputContainer | None = None

    @property
    def paced(self) -> bool:
        """True: somebody watches."""
        return True

    def write(self, frame: LiveFrame) -> None:
        """Send a frame and its audio; the first one connects.

        Raises:
            InputError: there is no connection, or it was lost.
        """
        if self._container is None:
            self._connect(frame)
        picture = self._picture(frame)
        self._send(self._video, picture)
        if len(frame.audio):
            for piece in self._resampler.resample(self._sound(frame)):
                self._send(self._audio, piece)

    def close(self) -> None:
        """Send what the encoders still hold and hang up; a connection that is gone already is no fault."""
        from av.error import FFmpegError

        if self._container is None:
            return
        try:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
            self._container.close()
        except (FFmpegError, OSError):
            return

    def _connect(self, frame: LiveFrame) -> None:
        import av
        from av.audio.resampler import AudioResampler
        from av.error import FFmpegError
        from av.video.reformatter import VideoReformatter

        kind = FORMATS[self._address.partition("://")[0]]
        self._shape = Shape.of(frame)
        layout = "mono" if frame.audio.shape[1] == 1 else "stereo"
        self._resampler = AudioResampler(format="fltp", layout=layout, rate=AUDIO_RATE_HZ)
        self._reformatter, self._samples = VideoReformatter(), 0
        try:
            container = av.open(self._address, "w", format=kind, timeout=OPEN_TIMEOUT_S)
            self._video = self._add_video(container)
            self._audio = container.add_stream("aac", rate=AUDIO_RATE_HZ, layout=layout)
            container.start_encoding()
        except (FFmpegError, OSError) as error:
            raise InputError(
                f"--output {self._address}: no connection ({error.strerror}). Does the server run and listen there?"
            ) from error
        self._container = container

    def _add_video(self, container: OutputContainer) -> VideoStream:
        options = {"preset": "veryfast", "tune": "zerolatency"}
        stream = container.add_stream("libx264", rate=self._fps, options=options)
        info = self._info or video_info(self._shape, self._fps)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self._shape.width, self._shape.height, "yuv420p"
        context.time_base, context.bit_rate = TIME_BASE, self._bitrate
        context.gop_size = max(1, round(2 * self._fps))
        context.colorspace, context.color_primaries = info.colours.matrix, info.colours.primaries
        context.color_trc, context.color_range = info.colours.transfer, info.colours.range
        self._colours = info.colours
        return stream

    def _picture(self, frame: LiveFrame) -> object:
        from av.video.frame import VideoFrame

        given = encodable(frame, self._shape)
        picture = given
        if isinstance(given, np.ndarray):
            picture = self._reformatter.reformat(
                VideoFrame.from_numpy_buffer(given, format="bgr24"),
                format="yuv420p",
                src_color_range=2,
                dst_colorspace=self._colours.conversion_matrix,
                dst_color_range=self._colours.conversion_range,
            )
        assert isinstance(picture, VideoFrame)
        picture.time_base, picture.pts, picture.pict_type = TIME_BASE, round(frame.pts / TIME_BASE), 0
        return picture

    def _sound(self, frame: LiveFrame) -> AudioFrame:
        from av.audio.frame import AudioFrame as Frame

        planes = np.ascontiguousarray(frame.audio.T)
        sound = Frame.from_ndarray(planes, format="fltp", layout="mono" if len(planes) == 1 else "stereo")
        sound.sample_rate, sound.time_base = frame.sample_rate_hz, Fraction(1, frame.sample_rate_hz)
        sound.pts = frame.audio_start
        return sound

    def _send(self, stream: VideoStream | AudioStream, frame: object) -> None:
        from av.error import FFmpegError

        assert self._container is not None
        try:
            self._container.mux(stream.encode(frame))  # type: ignore[arg-type]  # a frame of the stream's own kind
        except (FFmpegError, OSError) as error:
            raise InputError(
                f"--output {self._address}: the connection was lost ({error.strerror}). Start again when it is back."
            ) from error
