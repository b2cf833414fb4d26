"""FFmpeg, as a library (PyAV) and as a program (imageio-ffmpeg)."""

from __future__ import annotations

import subprocess
from typing import Literal

from lipforge.runtime.doctor.finding import Finding

SECTION = "video and sound"
DECODERS = ("h264", "hevc", "vp9", "aac", "mp3", "opus")
ENCODERS = ("libx264", "aac")
TIMEOUT_S = 20.0


def media_findings() -> list[Finding]:
    """Look at the codecs that reading and writing need, and at the ffmpeg program."""
    return [_codecs(), _program()]


def _codecs() -> Finding:
    name = "codecs (PyAV)"
    try:
        import av
        from av.codec import Codec
        from av.codec.codec import UnknownCodecError
    except ImportError as error:
        return Finding(SECTION, name, "missing", f"PyAV cannot be imported: {error}", "pip install av", required=True)

    def lacks(codec: str, mode: Literal["r", "w"]) -> bool:
        try:
            Codec(codec, mode)
        except UnknownCodecError:
            return True
        return False

    absent = [f"{codec} decoder" for codec in DECODERS if lacks(codec, "r")]
    absent += [f"{codec} encoder" for codec in ENCODERS if lacks(codec, "w")]
    if absent:
        fix = "pip install --force-reinstall --only-binary :all: av  (its wheels bring a full FFmpeg)"
        return Finding(SECTION, name, "problem", f"no {', '.join(absent)}", fix, required=True)
    detail = f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}: {', '.join((*DECODERS, *ENCODERS))}"
    return Finding(SECTION, name, "ok", detail, required=True)


def _program() -> Finding:
    name = "ffmpeg program"
    fix = "pip install --force-reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to an ffmpeg program"
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        path = get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        return Finding(SECTION, name, "missing", str(error).splitlines()[0], fix, required=True)
    try:
        shown = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(SECTION, name, "problem", f"{path} does not run: {error}", fix, required=True)
    words = shown.split()
    return Finding(SECTION, name, "ok", f"{words[2] if len(words) > 2 else 'unknown version'}, {path}", required=True)
