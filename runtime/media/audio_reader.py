"""Decoding of any sound file, in bounded blocks, by the ffmpeg program that a wheel brings along."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.container import opened

BLOCK_SECONDS = 0.25

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Sample rates that MPEG-4 audio can carry (ISO/IEC 14496-3, table of sampling frequencies) and players play."""

OTHER_RATE_HZ = 48_000
"""What a file of any other rate is resampled to."""


@dataclass(frozen=True)
class AudioInfo:
    """How a sound file is decoded.

    Attributes:
        sample_rate_hz: the file's own rate if MPEG-4 audio knows it, else 48 kHz.
        channels: 1 or 2; more are mixed down to 2.
        duration_s: expected length; 0 if the file does not say.
    """

    sample_rate_hz: int
    channels: int
    duration_s: float


def probe_audio(path: Path, role: str = "--audio") -> AudioInfo:
    """Describe the first sound track of a sound or video file.

    Raises:
        InputError: the file is missing, is not media or has no sound.
    """
    with opened(path, role) as container:
        if not container.streams.audio:
            raise InputError(f"{role} {path}: has no sound track. Give a sound file, or a video with sound.")
        stream = container.streams.audio[0]
        rate_hz = stream.codec_context.sample_rate
        ticks = stream.duration
        seconds = float(ticks * stream.time_base) if ticks and stream.time_base else (container.duration or 0) / 1e6
        return AudioInfo(
            sample_rate_hz=rate_hz if rate_hz in AAC_RATES_HZ else OTHER_RATE_HZ,
            channels=1 if stream.codec_context.channels == 1 else 2,
            duration_s=max(0.0, seconds),
        )


class AudioReader:
    """Decodes the first sound track of a file, block by block; memory does not depend on its length.

    Use it in a ``with`` statement: it owns a child process.

    Raises:
        InputError: the file is missing, is not media or has no sound.
    """

    def __init__(self, path: Path, role: str = "--audio") -> None:
        self.path, self._role = path, role
        self.info = probe_audio(path, role)
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the reader
        self._process = self._start()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield float32 (n, channels) blocks in [-1, 1] at ``info.sample_rate_hz``, in order, none empty.

        Raises:
            InputError: the sound cannot be decoded, or there is not one sample.
        """
        pipe = self._process.stdout
        if pipe is None:
            raise InputError(f"{self._role} {self.path}: the sound was read already.")
        frame_bytes = 4 * self.info.channels
        block_bytes = frame_bytes * max(1, round(BLOCK_SECONDS * self.info.sample_rate_hz))
        empty = True
        while data := _read_whole(pipe, block_bytes):
            samples = np.frombuffer(data[: len(data) // frame_bytes * frame_bytes], dtype="<f4")
            empty = False
            yield np.nan_to_num(samples.astype(np.float32)).reshape(-1, self.info.channels)
        self._check_end(empty=empty)

    def close(self) -> None:
        """End the child process, if it still runs, and free what it used."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._messages.close()

    def _start(self) -> subprocess.Popen[bytes]:
        import ffmpeg
        import imageio_ffmpeg

        # first_pts=0: sound that starts later than its file's picture keeps its place; gaps are filled with silence.
        track = ffmpeg.input(f"file:{self.path}")["a:0"].filter("aresample", **{"async": 1, "first_pts": 0})
        output = track.output(
            "pipe:",
            format="f32le",
            acodec="pcm_f32le",
            ac=self.info.channels,
            ar=self.info.sample_rate_hz,
        ).global_args("-nostdin", "-loglevel", "error")
        command: list[str] = output.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._messages, start_new_session=True
        )

    def _check_end(self, *, empty: bool) -> None:
        if self._process.wait() != 0:
            self._messages.seek(0)
            lines = self._messages.read().decode(errors="replace").strip().splitlines()
            raise InputError(
                f"{self._role} {self.path}: the sound cannot be decoded ({lines[-1] if lines else 'ffmpeg failed'})."
            )
        if empty:
            raise InputError(f"{self._role} {self.path}: has no audio samples.")


def _read_whole(pipe: IO[bytes], size: int) -> bytes:
    return pipe.read(size)
