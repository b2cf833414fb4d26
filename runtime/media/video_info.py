"""What there is to know of a video before it is decoded: size, rate, upright rotation, colour tags."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lipforge.kernels.errors import InputError
from lipforge.kernels.yuv import YuvSpec
from lipforge.runtime.media.container import opened

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FALLBACK_FPS = Fraction(25)

_CENTRED_CODECS = frozenset({"mpeg1video", "mjpeg", "h261", "h263", "h263p", "flv1"})
"""Codecs whose chroma samples lie midway between two columns of luma; all others put them on the even column."""


@dataclass(frozen=True)
class ColourTags:
    """Colour description as FFmpeg numbers it (ITU-T H.273); 2 is "unspecified", range 1 limited and 2 full."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0

    @property
    def conversion_matrix(self) -> int:
        """The matrix that pixels are converted with, both ways, as swscale numbers it.

        Unspecified means BT.601, as FFmpeg takes it; what counts is that both ways agree.
        """
        return {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}.get(self.matrix, 5)

    @property
    def conversion_range(self) -> int:
        """The range that pixels are converted with: full (2) if tagged so, else limited (1)."""
        return 2 if self.range == 2 else 1

    def yuv_spec(self, siting: Literal["left", "centre"]) -> YuvSpec:
        """Return the same description as the kernels take it."""
        matrices: dict[int, Literal["bt601", "bt709", "fcc", "smpte240m", "bt2020"]] = {
            1: "bt709",
            4: "fcc",
            5: "bt601",
            7: "smpte240m",
            9: "bt2020",
        }
        return YuvSpec(matrices[self.conversion_matrix], self.conversion_range == 2, siting)


PICTURE_COLOURS = ColourTags(matrix=1, primaries=1, transfer=1, range=1)
"""Tags of a video made from RGB pictures: BT.709, limited range."""


@dataclass(frozen=True)
class VideoInfo:
    """The properties of a source that its synced copy keeps.

    Attributes:
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        fps: mean frame rate; the frames' own times rule.
        time_base: seconds that one tick of the source's timestamps lasts.
        pixel_aspect: width to height of one pixel of the upright picture.
        colours: tags of the source, kept in the output.
        siting: where a chroma sample of the upright picture lies across, see ``YuvSpec``.
        quarter_turns: counter-clockwise quarter turns that make a decoded frame upright.
        frames: expected number of frames; 0 if unknown or without end.
    """

    width: int
    height: int
    fps: Fraction
    time_base: Fraction
    pixel_aspect: Fraction
    colours: ColourTags
    siting: Literal["left", "centre"]
    quarter_turns: int
    frames: int

    @property
    def yuv_spec(self) -> YuvSpec:
        """What the numbers of the upright planes mean."""
        return self.colours.yuv_spec(self.siting)


def probe_video(path: Path, role: str = "--face") -> VideoInfo:
    """Open a video, decode its first frame and describe it.

    Raises:
        InputError: the file is missing, is not a video, or holds no frame that can be decoded.
    """
    with opened(path, role) as container:
        stream = picture_stream(container.streams.video)
        frame = next(container.decode(stream), None) if stream is not None else None
        if stream is None or frame is None:
            raise InputError(f"{role} {path}: has no picture that can be decoded. Give a video or an image.")
        return _describe(stream, frame, container.duration)


def picture_stream(streams: tuple[VideoStream, ...]) -> VideoStream | None:
    """Return the first moving picture; cover art of a sound file does not count."""
    from av.stream import Disposition

    return next((s for s in streams if not s.disposition & Disposition.attached_pic), None)


def _describe(stream: VideoStream, frame: VideoFrame, duration_us: int | None) -> VideoInfo:
    fps = stream.average_rate or stream.base_rate or FALLBACK_FPS
    turns = round(frame.rotation / 90) % 4
    width, height = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if aspect <= 0:
        aspect = Fraction(1)
    return VideoInfo(
        width=width,
        height=height,
        fps=fps,
        time_base=stream.time_base or 1 / fps,
        pixel_aspect=1 / aspect if turns % 2 else aspect,
        colours=_colours(frame),
        siting="left" if _left_sited(frame, stream.codec_context.name) and not turns else "centre",
        quarter_turns=turns,
        frames=stream.frames or round((duration_us or 0) * fps / 1_000_000),
    )


def _colours(frame: VideoFrame) -> ColourTags:
    if frame.format.is_rgb or frame.format.has_palette:
        return PICTURE_COLOURS
    full = frame.format.name.startswith("yuvj")
    return ColourTags(
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        range=2 if full else int(frame.color_range),
    )


def _left_sited(frame: VideoFrame, codec: str) -> bool:
    """Whether chroma lies on the even columns; what the converter makes of full chroma or RGB lies between columns."""
    return frame.format.chroma_width() != frame.width and not frame.format.is_rgb and codec not in _CENTRED_CODECS
