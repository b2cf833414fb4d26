"""Opening of media files that a user named, with errors that say what is wrong in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lipforge.kernels.errors import InputError

if TYPE_CHECKING:
    from av.container import InputContainer

_TEXT_ART = frozenset({"tty", "bin", "xbin", "adf", "idf"})
"""FFmpeg renders any text file as a video of a terminal; nobody who names a face or a voice means that."""


def check_file(path: Path, role: str) -> Path:
    """Return ``path`` if it names a readable file with content.

    Args:
        path: what the user gave.
        role: what it is for, such as ``"--face"``; starts the message.

    Raises:
        InputError: nothing is there, it is no regular file, or it is empty.
    """
    if not path.exists():
        raise InputError(f"{role} {path}: no such file.")
    if not path.is_file():
        raise InputError(f"{role} {path}: is not a file. Give a media file.")
    if path.stat().st_size == 0:
        raise InputError(f"{role} {path}: the file is empty.")
    return path


@contextmanager
def opened(path: Path, role: str) -> Iterator[InputContainer]:
    """Open a media file; FFmpeg's errors while it is open are turned into InputError.

    Raises:
        InputError: the file is missing, is not media, or is damaged.
    """
    import av
    from av.error import FFmpegError

    check_file(path, role)
    try:
        # "file:" keeps names such as "concat:a|b" or "rtsp:x" what they are: names of files.
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            if container.format.name in _TEXT_ART:
                raise InputError(f"{role} {path}: cannot be read as video or sound (it is a text file).")
            yield container
    except FFmpegError as error:
        raise InputError(f"{role} {path}: cannot be read as video or sound ({error.strerror}).") from error
