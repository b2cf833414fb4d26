"""The sound of a video as one hears it with the picture: mono, 16 kHz, from the moment of the first frame on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.audio_reader import AudioReader
from lipforge.runtime.media.container import opened
from lipforge.runtime.media.video_info import picture_stream
from lipforge.runtime.mono_resampler import MonoResampler


@dataclass(frozen=True)
class StreamStarts:
    """When picture and sound of a file begin, in seconds of the file; ``sound_s`` is None without sound."""

    file_s: float
    picture_s: float
    sound_s: float | None

    @property
    def sound_after_picture_s(self) -> float:
        """By how much the sound track begins after the picture; nan without sound."""
        return float("nan") if self.sound_s is None else self.sound_s - self.picture_s


def stream_starts(path: Path, role: str) -> StreamStarts:
    """Read when the streams of a file begin.

    Raises:
        InputError: the file is missing or is no video.
    """
    with opened(path, role) as container:
        picture = picture_stream(container.streams.video)
        if picture is None:
            raise InputError(f"{role} {path}: has no picture. Give a video.")
        sounds = container.streams.audio
        picture_s = float((picture.start_time or 0) * (picture.time_base or 0))
        sound_s = float((sounds[0].start_time or 0) * (sounds[0].time_base or 0)) if sounds else None
        file_s = container.start_time / 1e6 if container.start_time is not None else min(picture_s, sound_s or 0.0)
        return StreamStarts(file_s, picture_s, sound_s)


def read_sound(path: Path, starts: StreamStarts, sample_rate_hz: int, role: str) -> NDArray[np.float32]:
    """Return the sound, float32 (n,), mono; its first sample is heard with the video's first frame.

    Raises:
        InputError: the sound cannot be decoded.
    """
    with AudioReader(path, role) as reader:
        resampler = MonoResampler(reader.info.sample_rate_hz, sample_rate_hz)
        parts = [resampler.push(block) for block in reader.blocks()]
        parts.append(resampler.flush())
    # The decoder counts from the start of the file; what sounds before the first frame is not of interest.
    early = round((starts.picture_s - starts.file_s) * sample_rate_hz)
    return np.concatenate(parts)[max(early, 0) :]
