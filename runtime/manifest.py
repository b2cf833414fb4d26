"""The bundle's ``manifest.json`` as frozen dataclasses: written by ``lipforge export``, obeyed by the runtime.

The file's keys are listed in docs/formats.md section 3. Reading checks everything that can be checked without the
graphs; ``GraphEntry.locate`` checks a graph's file against its hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import AudioWindowSpec, CropSpec, LipSpec, MelSpec, Spec, WarpSpec
from lipforge.runtime.ascend_entry import AscendEntry
from lipforge.runtime.manifest_values import Reader

SCHEMA = 1
KIND = "lipforge-bundle"
FILE_NAME = "manifest.json"
REFERENCE_NAME = "reference.npz"

GRAPHS_OF_GENERATOR: Mapping[str, tuple[str, ...]] = {"warp": ("audio2lips", "warp")}
"""The graphs that a bundle of each kind of generator must hold."""

SpecT = TypeVar("SpecT", bound=Spec)


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


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds and every constant that its runtime has to obey.

    Attributes:
        name: shown to the user.
        generator: the kind of generator, a key of ``GRAPHS_OF_GENERATOR``.
        fps: frames a second that the audio network was trained at.
        mel: recipe of the audio network's input.
        window: which mel columns drive a frame.
        crop: the face crop.
        lips: the lip geometry.
        warp: how flow, mask and colour are applied.
        lookahead_ms: audio that a frame needs beyond its own time.
        graphs: the ONNX files by graph name.
        source: checkpoint kinds and steps, versions of the tools.
        ascend: how the graphs become models of an Ascend NPU; None for a bundle that was not exported for one.
    """

    name: str
    generator: str
    fps: float
    mel: MelSpec
    window: AudioWindowSpec
    crop: CropSpec
    lips: LipSpec
    warp: WarpSpec
    lookahead_ms: float
    graphs: dict[str, GraphEntry]
    source: dict[str, Any]
    ascend: AscendEntry | None = None

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read and check a manifest; ``path`` is the file or the bundle's folder.

        Raises:
            InputError: there is no such file, or it is not JSON.
            ConfigError: another schema or kind, or a value that is missing or not usable; the message names its key.
        """
        file = path / FILE_NAME if path.is_dir() else path
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"{path}: not a bundle, it has no {FILE_NAME}. Give a folder that `lipforge export` wrote."
            ) from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{file}: cannot be read as a bundle's manifest ({error}).") from error
        return cls.from_dict(values, where=str(file))

    @classmethod
    def from_dict(cls, values: Any, where: str = FILE_NAME) -> Manifest:
        """Check a manifest's values; ``where`` starts every error message.

        Keys that this version does not know are ignored, except inside a spec: later versions may add keys under
        the same schema only if old readers can do without them.

        Raises:
            ConfigError: another schema or kind, or a value that is missing or not usable; the message names its key.
        """
        reader = Reader.of(values, where)
        reader.expect("kind", KIND)
        reader.expect("schema", SCHEMA)
        generator = reader.choice("generator", tuple(GRAPHS_OF_GENERATOR))
        manifest = cls(
            name=reader.text("name"),
            generator=generator,
            fps=reader.positive("fps"),
            mel=_spec(reader, "mel", MelSpec),
            window=_spec(reader, "window", AudioWindowSpec),
            crop=_spec(reader, "crop", CropSpec),
            lips=_spec(reader, "lips", LipSpec),
            warp=_spec(reader, "warp", WarpSpec),
            lookahead_ms=reader.positive("lookahead_ms"),
            graphs={name: _graph(entry) for name, entry in reader.table("graphs").items()},
            source=reader.mapping("source"),
            ascend=AscendEntry.read(reader.inner("ascend")) if "ascend" in reader.values else None,
        )
        manifest.validate(where)
        return manifest

    def validate(self, where: str = FILE_NAME) -> None:
        """Check what no single value shows: that the graphs and the look-ahead fit generator and specs.

        Raises:
            ConfigError: a graph is missing, or ``lookahead_ms`` contradicts ``mel`` and ``window``.
        """
        missing = [graph for graph in GRAPHS_OF_GENERATOR[self.generator] if graph not in self.graphs]
        if missing:
            raise ConfigError(
                f"{where}: graphs: a bundle of generator {self.generator!r} needs {missing}, "
                f"it has {list(self.graphs)}. Export it again."
            )
        expected = self.window.lookahead_ms(self.mel)
        if abs(self.lookahead_ms - expected) > 1e-6:
            raise ConfigError(
                f"{where}: lookahead_ms: {self.lookahead_ms} contradicts mel and window, which need {expected} ms."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON-ready values in the order of docs/formats.md."""
        values = {"schema": SCHEMA, "kind": KIND} | asdict(self)
        if self.ascend is None:
            del values["ascend"]
        return values

    def write(self, folder: Path) -> Path:
        """Write ``manifest.json`` into a bundle's folder and return its path; the text is the same for the same values.

        Raises:
            ConfigError: the values contradict each other, see ``validate``.
        """
        self.validate()
        path = folder / FILE_NAME
        path.write_text(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")
        return path


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _spec(reader: Reader, key: str, spec: type[SpecT]) -> SpecT:
    values = reader.mapping(key)
    try:
        built = spec.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{reader.where}: {key}: {error}") from error
    inner, default = Reader(values, f"{reader.where}: {key}"), spec()
    for field in fields(spec):
        inner.like(field.name, getattr(default, field.name))
    return built


def _graph(reader: Reader) -> GraphEntry:
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
