"""The published argument and result formats of pyACL's functions, enforced as the C functions enforce them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIGNATURES = json.loads((Path(__file__).parent / "pyacl_signatures.json").read_text())["functions"]


class Code:
    """Error codes that the stand-in returns."""

    INVALID_PARAM = 100000
    UNINITIALIZE = 100001
    REPEAT_INITIALIZE = 100002
    INVALID_FILE = 100003
    INVALID_MODEL_ID = 100011
    PARSE_MODEL = 100013
    INPUT_NOT_MATCH = 100017
    OUTPUT_NOT_MATCH = 100018
    RT_PARAM = 107000
    DEVICE_ID = 107001
    CONTEXT_NULL = 107002
    DATA_SIZE = 145006
    BATCH_INVALID = 145013


def check_arguments(name: str, accepts: str, arguments: tuple[object, ...]) -> None:
    """Refuse what the C function would refuse, with the same kind of exception."""
    required, _, optional = accepts.partition("|")
    if not len(required) <= len(arguments) <= len(required + optional):
        raise TypeError(f"acl.{name}: {len(arguments)} arguments for {accepts!r}")
    ranges = {"i": (-(2**31), 2**31), "I": (0, 2**32), "k": (0, 2**64), "K": (0, 2**64)}
    for letter, argument in zip(required + optional, arguments, strict=False):
        if letter == "s" and type(argument) is not str:
            raise TypeError(f"acl.{name}: must be str, not {type(argument).__name__}")
        if letter in ranges:
            if type(argument) is not int:
                raise TypeError(f"acl.{name}: must be int, not {type(argument).__name__}")
            low, high = ranges[letter]
            if not low <= argument < high:
                raise OverflowError(f"acl.{name}: {argument} does not fit {letter!r}")


def check_result(name: str, returns: str, result: object) -> None:
    """Keep the stand-in itself to what the real functions return."""
    values = result if len(returns) > 1 else (result,)
    assert isinstance(values, tuple), name
    assert len(values) == len(returns), name
    for letter, value in zip(returns, values, strict=True):
        expected = {"s": str, "O": (dict, bytes)}.get(letter, int)
        assert isinstance(value, expected), f"{name} returned {value!r} for {returns!r}"


def failure(returns: str, code: int) -> Any:
    """Return what a failed call returns."""
    if returns in ("k", "s", "O"):
        return {"k": 0, "s": "", "O": b""}[returns]
    nothing = {"k": 0, "I": 0, "O": {}}
    return code if returns == "i" else (nothing[returns[0]], code)
