"""A file, whole whenever the stream ends."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.media.audio_reader import AudioInfo
from lipforge.runtime.media.output_file import OutputFile
from lipforge.runtime.media.video_info import VideoInfo
from lipforge.runtime.media.video_writer import EncoderOptions, VideoWriter
from lipforge.runtime.sinks.sink import TIME_BASE, Shape, encodable, video_info


class VideoFileSink:
    """Writes H.264 and AAC to a file that appears under its name when it is whole.

    Args:
        path: .mp4, .m4v, .mov or .mkv.
        fps: frames a second.
        info: of an avatar's pictures; None for a camera's, whose first frame tells.
        inputs: files that must not be overwritten.
        overwrite: whether a file that is there may be replaced.
        paced: whether frames come as time goes by.
        options: of the encoder.

    Raises:
        InputError: the file cannot be written, or is there and may not be replaced.
    """

    def __init__(
        self,
        path: Path,
        fps: Fraction,
        info: VideoInfo | None = None,
        *,
        inputs: tuple[Path, ...] = (),
        overwrite: bool = False,
        paced: bool = False,
        options: EncoderOptions | None = None,
    ) -> None:
        self._fps, self._paced, self._options = fps, paced, options or EncoderOptions()
        self._info = replace(info, time_base=TIME_BASE) if info is not None else None
        self._stack = ExitStack()
        self._output = self._stack.enter_context(OutputFile(path, inputs, overwrite=overwrite))
        self._writer: VideoWriter | None = None
        self._shape = Shape(2, 2)

    @property
    def paced(self) -> bool:
        """Whether frames come as time goes by; a file does not need it, but a camera or microphone gives no others."""
        return self._paced

    def write(self, frame: LiveFrame) -> None:
        """Encode a frame and its audio.

        Raises:
            InputError: the file cannot be written on, for instance because the disk is full.
        """
        if self._writer is None:
            self._shape = Shape.of(frame)
            self._writer = self._begin(frame)
        self._writer.write(encodable(frame, self._shape), frame.pts, frame.audio)

    def close(self) -> None:
        """Finish the file and give it its name; without a frame there is none."""
        if self._writer is None:
            self.abandon()
            return
        try:
            self._writer.close()
        except BaseException:
            self.abandon()
            raise
        self._stack.close()

    def abandon(self) -> None:
        """Leave no file behind."""
        if self._writer is not None:
            self._writer.abandon()
        self._output.part.unlink(missing_ok=True)
        self._stack.pop_all()

    def _begin(self, frame: LiveFrame) -> VideoWriter:
        info = self._info or video_info(self._shape, self._fps)
        audio = AudioInfo(frame.sample_rate_hz, frame.audio.shape[1], 0.0)
        return VideoWriter(self._output.part, self._output.container_format, info, audio, self._options)
