"""A result that appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from lipforge.kernels.errors import InputError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


class OutputFile:
    """Context manager: write to ``part``; a clean exit renames it to ``path``, any other removes it.

    ``part`` stands in the same folder, so the rename cannot be half done. Nothing is created before ``part`` is opened
    by its user.

    Args:
        path: where the result goes.
        inputs: files that must not be overwritten by it.
        overwrite: whether a file that is there may be replaced (only at the very end).

    Raises:
        InputError: the name's ending is not known, the folder is missing or not writable, the file is there and
            ``overwrite`` was not given, or it is one of the inputs.
    """

    def __init__(self, path: Path, inputs: tuple[Path, ...] = (), *, overwrite: bool = False) -> None:
        self.path, self._overwrite = path, overwrite
        if path.suffix.lower() not in CONTAINERS:
            raise InputError(f"-o {path}: the name must end in {', '.join(CONTAINERS)}.")
        self.container_format = CONTAINERS[path.suffix.lower()]
        self._target = Path(os.path.realpath(path))
        self._check_target(inputs)
        self.part = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.part")

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            with contextlib.suppress(FileNotFoundError):
                self.part.unlink()

    def _check_target(self, inputs: tuple[Path, ...]) -> None:
        folder = self._target.parent
        if not folder.is_dir():
            raise InputError(f"-o {self.path}: the folder {folder} is missing. Make it first.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"-o {self.path}: the folder {folder} is not writable.")
        if not self._target.exists():
            return
        if any(given.exists() and given.samefile(self._target) for given in inputs):
            raise InputError(f"-o {self.path}: is one of the inputs. Give another name.")
        if not self._target.is_file():
            raise InputError(f"-o {self.path}: is not a file. Give the name of a video.")
        if not self._overwrite:
            raise InputError(f"-o {self.path}: is there already. Add --overwrite to replace it.")

    def _publish(self) -> None:
        if self._overwrite:
            self.part.replace(self._target)
            return
        try:
            # Unlike a rename, a link fails if the name was taken in the meantime.
            os.link(self.part, self._target)
        except FileExistsError:
            raise InputError(f"-o {self.path}: appeared while the video was made. Nothing was replaced.") from None
        except OSError:
            self._publish_without_links()

    def _publish_without_links(self) -> None:
        if self._target.exists():
            raise InputError(f"-o {self.path}: appeared while the video was made. Nothing was replaced.")
        self.part.replace(self._target)
