"""What clients say: JSON objects, checked before anything acts on them. Nothing here trusts its input."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from lipforge.kernels.errors import InputError

Value = TypeVar("Value")


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in ``text``.

    Raises:
        InputError: it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the message is not JSON.") from error
    if not isinstance(value, dict):
        raise InputError('the message is not a JSON object such as {"type": "flush"}.')
    return value


def parse_message(text: str | bytes, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Return a message, a JSON object whose ``type`` is one of ``kinds``.

    Raises:
        InputError: it is none.
    """
    message = parse_object(text)
    if message.get("type") not in kinds:
        raise InputError(f"type is {shown(message.get('type'))}; allowed are {', '.join(kinds)}.")
    return message


def field(message: dict[str, Any], name: str, check: Callable[[Any], Value | None], allowed: str) -> Value:
    """Return a field as ``check`` gives it.

    Args:
        message: holds the field, or not (``check`` then gets None).
        name: of the field.
        check: returns the value to use, or None if the given one is not allowed.
        allowed: for the error, such as ``"whole numbers from 1 to 5"``.

    Raises:
        InputError: the value is not allowed.
    """
    value = check(message.get(name))
    if value is None:
        raise InputError(f"{name} is {shown(message.get(name))}; allowed are {allowed}.")
    return value


def text_up_to(most: int) -> Callable[[Any], str | None]:
    """Return a check for text of at most so many characters."""
    return lambda value: value if isinstance(value, str) and len(value) <= most else None


def one_of(*values: str) -> Callable[[Any], str | None]:
    """Return a check for one of these words; the first is taken where none is given."""
    return lambda value: values[0] if value is None else value if value in values else None


def whole(least: int, most: int, default: int | None = None) -> Callable[[Any], int | None]:
    """Return a check for a whole number."""

    def check(value: Any) -> int | None:
        if value is None:
            return default
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return value if fits else None

    return check


def shown(value: Any) -> str:
    """Return a short form of anything, for an error message."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
