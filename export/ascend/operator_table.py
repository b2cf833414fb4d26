"""Which ONNX operators ATC knows, at which opsets: a dated table that can be replaced without a new version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from lipforge.kernels.errors import InputError

SCHEMA = 1
KIND = "lipforge-ascend-operators"


@dataclass(frozen=True)
class OperatorTable:
    """ATC looks every node up by its name and the model's opset; this says what it finds.

    Attributes:
        name: of the table.
        date: when the registrations were read.
        provenance: where from.
        opsets: the first and the last opset that ATC knows.
        operators: the first and the last opset of each operator.
        sha256: of the file, in hex.
    """

    name: str
    date: str
    provenance: tuple[str, ...]
    opsets: tuple[int, int]
    operators: Mapping[str, tuple[int, int]]
    sha256: str

    @classmethod
    def load(cls, path: Path | None = None) -> OperatorTable:
        """Read a table from a file, or the one that ships.

        Raises:
            InputError: the file cannot be read or is no such table.
        """
        source = path if path is not None else files("lipforge.export.ascend") / "operators.json"
        try:
            content = source.read_bytes()
            values = json.loads(content)
            if (values["schema"], values["kind"]) != (SCHEMA, KIND):
                raise ValueError(f"schema and kind are {values['schema']!r} and {values['kind']!r}")
            return cls(
                name=str(values["name"]),
                date=str(values["date"]),
                provenance=tuple(str(line) for line in values["provenance"]),
                opsets=_range(values["opsets"]),
                operators={str(name): _range(span) for name, span in values["operators"].items()},
                sha256=hashlib.sha256(content).hexdigest(),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"--ops-table {source}: cannot be used ({type(error).__name__}: {error}). It must be a JSON object "
                f'with "schema": {SCHEMA}, "kind": "{KIND}", "name", "date", "provenance", "opsets": [first, last] '
                'and "operators": {name: [first, last]}.'
            ) from error

    def knows(self, operator: str, opset: int) -> bool:
        """Tell whether ATC finds an operator in a model of an opset."""
        first, last = self.operators.get(operator, (1, 0))
        return first <= opset <= last

    def describe(self) -> dict[str, str]:
        """Return what a manifest records of the table."""
        return {"name": self.name, "date": self.date, "sha256": self.sha256}


def _range(span: object) -> tuple[int, int]:
    if not isinstance(span, list) or len(span) != 2 or not all(type(opset) is int for opset in span):
        raise ValueError(f"{span!r} is not [first, last]")
    return span[0], span[1]
