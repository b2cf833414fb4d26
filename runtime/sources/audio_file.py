"""Audio of a sound file, or of a video's sound."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from lipforge.runtime.media.audio_reader import AudioReader
from lipforge.runtime.sources.source import PushAudio, Say


class AudioFileSource:
    """A sound file, decoded block by block as it is taken.

    Args:
        path: any sound file, or a video with sound.

    Raises:
        InputError: it is missing, is not media or has no sound.
    """

    def __init__(self, path: Path) -> None:
        self._reader = AudioReader(path)

    @property
    def sample_rate_hz(self) -> int:
        """The file's own rate, or 48 kHz if MPEG-4 audio does not know that."""
        return self._reader.info.sample_rate_hz

    @property
    def paced(self) -> bool:
        """False: it gives audio as fast as it is taken."""
        return False

    def run(self, push: PushAudio, stop: Event, say: Say) -> None:
        """Push the whole file, or until ``stop`` is set.

        Raises:
            InputError: it cannot be decoded.
        """
        del say
        with self._reader as reader:
            for block in reader.blocks():
                if stop.is_set():
                    return
                push(block, reader.info.sample_rate_hz)

    def close(self) -> None:
        """Let the file go, if ``run`` was never called."""
        self._reader.close()
