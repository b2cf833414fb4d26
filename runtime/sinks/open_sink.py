"""The one place that knows what ``--output`` may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.video_info import VideoInfo
from lipforge.runtime.media.video_writer import EncoderOptions
from lipforge.runtime.sinks.network_stream import NetworkStreamSink, is_address
from lipforge.runtime.sinks.sink import Sink
from lipforge.runtime.sinks.video_file import VideoFileSink
from lipforge.runtime.sinks.virtual_camera import VirtualCameraSink

WINDOW, VIRTUAL_CAMERA, WEBRTC = "window", "virtualcam", "webrtc"


@dataclass(frozen=True)
class OutputRequest:
    """Where frames shall go.

    Attributes:
        output: ``window``, ``virtualcam``, ``virtualcam:DEVICE``, ``webrtc``, ``webrtc:PORT``, an address, or a file.
        fps: frames a second.
        info: of an avatar's pictures; None for a camera's.
        inputs: files that must not be overwritten.
        overwrite: whether a file that is there may be replaced.
        paced: whether frames come as time goes by whatever the output.
        crf: H.264 quality of a file.
        bitrate: of the picture sent to an address, in bits a second.
        say: told where a browser finds the stream.
    """

    output: str
    fps: Fraction
    info: VideoInfo | None = None
    inputs: tuple[Path, ...] = ()
    overwrite: bool = False
    paced: bool = False
    crf: int = 17
    bitrate: int = 2_500_000
    say: Callable[[str], None] = lambda _: None


def open_sink(request: OutputRequest) -> Sink:
    """Open what the user named.

    Raises:
        InputError: it is not known or cannot be written.
        MissingPackageError: it needs an optional package.
    """
    output = request.output
    if output == WINDOW:
        from lipforge.runtime.sinks.window import WindowSink

        return WindowSink()
    if output.partition(":")[0] == VIRTUAL_CAMERA:
        return VirtualCameraSink(request.fps, output.partition(":")[2] or None)
    if output.partition(":")[0] == WEBRTC:
        from lipforge.runtime.sinks.browser import BrowserSink, browser_port

        browser = BrowserSink(browser_port(output), request.say)
        browser.wait_for_viewer()
        return browser
    if is_address(output):
        return NetworkStreamSink(output, request.fps, request.info, request.bitrate)
    if "://" in output:
        raise InputError(f"--output {output}: allowed are rtmp://, rtmps://, udp://, srt://, tcp:// and files.")
    return VideoFileSink(
        Path(output),
        request.fps,
        request.info,
        inputs=request.inputs,
        overwrite=request.overwrite,
        paced=request.paced,
        options=EncoderOptions(crf=request.crf),
    )
