"""A bundle's graphs as the manifest describes them: files, inputs and outputs, and how they compared with torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.runtime.manifest_values import Reader


@dataclass(frozen=True)
class TensorEntry:
    """An input or output of a graph.

    Attributes:
        name: the tensor's name in the graph.
        dtype: numpy's name, such as ``"uint8"`` or ``"float32"``.
        shape: sizes; a batch axis of any length is ``"B"``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class ParityEntry:
    """How well a graph reproduced torch when it was exported.

    Attributes:
        max_abs: largest absolute error by output name, in that output's unit.
        tolerance: what was allowed, by output name.
    """

    max_abs: dict[str, float]
    tolerance: dict[str, float]


@dataclass(frozen=True)
class GraphEntry:
    """One ONNX file of a bundle.

    Attributes:
        file: name inside the bundle's folder.
        sha256: of the file, in hex.
        opset: of the saved file, in ONNX's own domain.
        inputs: in the order of the graph.
        outputs: in the order of the graph.
        ops: how often each operator occurs.
        parity: the comparison with torch that let the export pass.
    """

    file: str
    sha256: str
    opset: int
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    ops: dict[str, int]
    parity: ParityEntry

    def locate(self, folder: Path) -> Path:
        """Return the graph's file in a bundle's folder, once its content is the one that was exported.

        Raises:
            InputError: the file is not there or its sha256 differs.
        """
        path = folder / self.file
        if not path.is_file():
            raise InputError(f"{path}: the bundle's graph is missing. Copy the whole folder again or export it again.")
        found = sha256_of(path)
        if found != self.sha256:
            raise InputError(
                f"{path}: the content is not what was exported (sha256 {found[:12]}..., the manifest says "
                f"{self.sha256[:12]}...). The file is damaged or was changed; copy or export the bundle again."
            )
        return path


def read_graph(reader: Reader) -> GraphEntry:
    """Check and return the entry of one graph.

    Raises:
        ConfigError: a value is missing or not usable; the message names its key.
    """
    file = reader.file_name("file")
    parity = reader.inner("parity")
    return GraphEntry(
        file=file,
        sha256=reader.text("sha256"),
        opset=reader.whole("opset"),
        inputs=tuple(_tensor(entry) for entry in reader.rows("inputs")),
        outputs=tuple(_tensor(entry) for entry in reader.rows("outputs")),
        ops={op: reader.inner("ops").whole(op) for op in reader.mapping("ops")},
        parity=ParityEntry(
            max_abs={name: parity.inner("max_abs").number(name) for name in parity.mapping("max_abs")},
            tolerance={name: parity.inner("tolerance").positive(name) for name in parity.mapping("tolerance")},
        ),
    )


def _tensor(reader: Reader) -> TensorEntry:
    return TensorEntry(name=reader.text("name"), dtype=reader.text("dtype"), shape=reader.shape("shape"))


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
