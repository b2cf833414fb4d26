"""Typed access to the values of a JSON object, with errors that name the file and the key."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn

from lipforge.kernels.errors import ConfigError


@dataclass(frozen=True)
class Reader:
    """A JSON object and where it stands; every method raises ConfigError naming both.

    Attributes:
        values: the object.
        where: the file and the keys that lead to the object, for messages.
    """

    values: dict[str, Any]
    where: str

    @classmethod
    def of(cls, values: Any, where: str) -> Reader:
        """Wrap a parsed value that has to be an object."""
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: must be a JSON object with named values, not {_shown(values)}.")
        return cls(values, where)

    def get(self, key: str) -> Any:
        """Return a value that has to be there."""
        if key not in self.values:
            raise ConfigError(f"{self.where}: the key {key!r} is missing. Export the bundle again.")
        return self.values[key]

    def expect(self, key: str, allowed: int | str) -> None:
        """Check a value that only files of this format and version have."""
        value = self.get(key)
        if value != allowed or isinstance(value, bool):
            raise ConfigError(
                f"{self.where}: {key} is {_shown(value)}, this version of lipforge reads {allowed!r}. "
                "Export again with this version, or use the version that wrote it."
            )

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """Return one of a few words."""
        value = self.get(key)
        if value not in allowed:
            raise ConfigError(f"{self.where}: {key} is {_shown(value)}; this version knows {', '.join(allowed)}.")
        return str(value)

    def text(self, key: str) -> str:
        """Return a string that is not empty."""
        value = self.get(key)
        return value if isinstance(value, str) and value else self._refuse(key, "a text", value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings, which may be empty."""
        value = self.get(key)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            self._refuse(key, "a list of texts", value)
        return tuple(value)

    def file_name(self, key: str) -> str:
        """Return the name of a file inside the folder that the object describes."""
        name = self.text(key)
        if PurePosixPath(name).name != name or "\\" in name:
            raise ConfigError(f"{self.where}: {key}: {name!r} is not a plain file name inside the bundle.")
        return name

    def whole(self, key: str) -> int:
        """Return a whole number above 0."""
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            self._refuse(key, "a whole number above 0", value)
        return int(value)

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.get(key)
        return float(value) if _is_number(value) else self._refuse(key, "a number", value)

    def positive(self, key: str) -> float:
        """Return a finite number above 0."""
        value = self.number(key)
        return value if value > 0 else self._refuse(key, "a number above 0", value)

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object as it is."""
        return self.inner(key).values

    def inner(self, key: str) -> Reader:
        """Return an object wrapped again."""
        return Reader.of(self.get(key), f"{self.where}: {key}")

    def table(self, key: str) -> dict[str, Reader]:
        """Return an object whose values are objects, each wrapped again."""
        inner = self.inner(key)
        return {name: inner.inner(name) for name in inner.values}

    def rows(self, key: str) -> list[Reader]:
        """Return a list of objects, each wrapped again."""
        value = self.get(key)
        if not isinstance(value, list) or not value:
            self._refuse(key, "a list of objects", value)
        return [Reader.of(row, f"{self.where}: {key}[{index}]") for index, row in enumerate(value)]

    def shape(self, key: str) -> tuple[int | str, ...]:
        """Return the sizes of an array: whole numbers above 0, or a name for a size of any length."""
        value = self.get(key)
        valid = isinstance(value, list) and all(
            (isinstance(size, str) and size) or (type(size) is int and size > 0) for size in value
        )
        return tuple(value) if valid else self._refuse(key, 'a list of sizes such as ["B", 80, 32]', value)

    def like(self, key: str, example: Any) -> None:
        """Check that a value has the kind of an example: text, number, whole number, or nested lists of these."""
        value = self.get(key)
        if not _alike(value, example):
            self._refuse(key, f"a value like {_shown(example)}", value)

    def _refuse(self, key: str, wanted: str, value: Any) -> NoReturn:
        raise ConfigError(f"{self.where}: {key} must be {wanted}, not {_shown(value)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _alike(value: Any, example: Any) -> bool:
    if isinstance(example, tuple | list):
        return isinstance(value, tuple | list) and bool(value) and all(_alike(item, example[0]) for item in value)
    if isinstance(example, float):
        return _is_number(value)
    return type(value) is type(example)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
