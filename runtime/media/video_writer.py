"""Encoding of pictures and the sound that belongs to them into one file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.audio_reader import AudioInfo
from lipforge.runtime.media.video_info import VideoInfo

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

AAC_BITS_A_SAMPLE = 4
AAC_LIMIT_BITS_A_SECOND = 128_000
"""Per channel; beyond it AAC has nothing to gain for speech."""


@dataclass(frozen=True)
class EncoderOptions:
    """How the picture is encoded.

    Attributes:
        crf: constant rate factor of H.264, 0 (lossless) to 51; 17 is hard to tell from the source.
        preset: speed of libx264; slower ones took twice the time for the same size on real clips.
        lookahead_frames: frames that libx264 holds back to plan its bits; the bulk of its memory.
    """

    crf: int = 17
    preset: str = "veryfast"
    lookahead_frames: int = 10


class VideoWriter:
    """Writes H.264 and AAC; the picture keeps its size, times, pixel aspect and colour tags.

    Even sizes are 4:2:0. An odd width or height cannot be told in 4:2:0, so such a picture is written as 4:4:4, which
    keeps its size.

    Raises:
        InputError: the file cannot be created.
    """

    def __init__(
        self, path: Path, container_format: str, video: VideoInfo, audio: AudioInfo, options: EncoderOptions
    ) -> None:
        import av
        from av.error import FFmpegError
        from av.video.reformatter import VideoReformatter

        self._path, self._video, self._audio = path, video, audio
        self.pixel_format = "yuv444p" if video.width % 2 or video.height % 2 else "yuv420p"
        self._reformatter, self._samples = VideoReformatter(), 0
        flags = {"movflags": "+faststart"} if container_format != "matroska" else {}
        try:
            self._container = av.open(f"file:{path}", "w", format=container_format, options=flags)
            self._picture = self._add_picture(options)
            self._sound = self._add_sound()
            self._container.start_encoding()
        except (FFmpegError, OSError) as error:
            raise InputError(f"-o {path}: cannot be written ({error.strerror}).") from error

    def write(self, picture: NDArray[np.uint8] | VideoFrame, time: Fraction, sound: NDArray[np.float32]) -> None:
        """Encode one picture and the sound that begins with it.

        Args:
            picture: uint8 (H, W, 3) BGR, contiguous; or a frame, whose bytes reach the encoder as they are if it is
                4:2:0 and its size even. Its memory may be used again after the call.
            time: seconds since the video's start, increasing.
            sound: float32 (n, channels) in [-1, 1], follows on from the last call's; n may be 0.

        Raises:
            InputError: the file cannot be written on, for instance because the disk is full.
        """
        self._encode(self._picture, self._picture_frame(picture, time))
        if len(sound):
            self._encode(self._sound, self._sound_frame(sound))

    def close(self) -> None:
        """Finish the file.

        Raises:
            InputError: the file cannot be written.
        """
        from av.error import FFmpegError

        self._encode(self._picture, None)
        self._encode(self._sound, None)
        try:
            self._container.close()
        except (FFmpegError, OSError) as error:
            raise InputError(f"-o {self._path}: cannot be written ({error.strerror}).") from error

    def abandon(self) -> None:
        """Close the file without finishing it."""
        from av.error import FFmpegError

        try:
            self._container.close()
        except (FFmpegError, OSError):
            return

    def _add_picture(self, options: EncoderOptions) -> VideoStream:
        video = self._video
        x264 = {
            "crf": str(options.crf),
            "preset": options.preset,
            "x264-params": f"rc-lookahead={options.lookahead_frames}",
        }
        stream = self._container.add_stream("libx264", rate=video.fps, options=x264)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = video.width, video.height, self.pixel_format
        context.time_base = stream.time_base = video.time_base
        context.sample_aspect_ratio = video.pixel_aspect
        colours = video.colours
        context.colorspace, context.color_primaries = colours.matrix, colours.primaries
        context.color_trc, context.color_range = colours.transfer, colours.range
        return stream

    def _add_sound(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=self._audio.sample_rate_hz)
        stream.codec_context.layout = "mono" if self._audio.channels == 1 else "stereo"
        per_channel = min(AAC_LIMIT_BITS_A_SECOND, AAC_BITS_A_SAMPLE * self._audio.sample_rate_hz)
        stream.codec_context.bit_rate = per_channel * self._audio.channels
        return stream

    def _picture_frame(self, picture: NDArray[np.uint8] | VideoFrame, time: Fraction) -> VideoFrame:
        from av.video.frame import VideoFrame as Frame

        frame = Frame.from_numpy_buffer(picture, format="bgr24") if isinstance(picture, np.ndarray) else picture
        if frame.format.name != self.pixel_format:
            frame = self._converted(frame)
        frame.time_base = self._video.time_base
        frame.pts = round(time / self._video.time_base)
        frame.duration = round(1 / self._video.fps / self._video.time_base)
        frame.pict_type = 0  # the encoder chooses; a decoder's choice must not be forced upon it
        return frame

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        colours = self._video.colours
        return self._reformatter.reformat(
            frame,
            format=self.pixel_format,
            src_colorspace=colours.conversion_matrix,
            dst_colorspace=colours.conversion_matrix,
            src_color_range=2 if frame.format.is_rgb else colours.conversion_range,
            dst_color_range=colours.conversion_range,
        )

    def _sound_frame(self, sound: NDArray[np.float32]) -> object:
        from av.audio.frame import AudioFrame

        planes = np.ascontiguousarray(sound.T, dtype=np.float32)
        frame = AudioFrame.from_ndarray(planes, format="fltp", layout="mono" if len(planes) == 1 else "stereo")
        frame.sample_rate = self._audio.sample_rate_hz
        frame.time_base = Fraction(1, self._audio.sample_rate_hz)
        frame.pts = self._samples
        self._samples += len(sound)
        return frame

    def _encode(self, stream: VideoStream | AudioStream, frame: object) -> None:
        from av.error import FFmpegError

        try:
            self._container.mux(stream.encode(frame))  # type: ignore[arg-type]  # a frame of the stream's own kind
        except (FFmpegError, OSError) as error:
            raise InputError(f"-o {self._path}: cannot be written ({error.strerror}).") from error
