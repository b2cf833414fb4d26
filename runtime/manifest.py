"""The bundle's ``manifest.json`` as frozen dataclasses: written by ``lipforge export``, obeyed by the runtime.

The file's keys are listed in docs/formats.md section 3. Reading checks everything that can be checked without the
graphs; ``GraphEntry.locate`` checks a graph's file against its hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import (
    AudioWindowSpec,
    CropSpec,
    FaceBoxSpec,
    LipSpec,
    MelChunkSpec,
    MelSpec,
    Spec,
    WarpSpec,
)
from lipforge.runtime.ascend_entry import AscendEntry
from lipforge.runtime.frame_window import ChunkWindow, FrameWindow
from lipforge.runtime.int8_entry import Int8Entry
from lipforge.runtime.manifest_graphs import GraphEntry, ParityEntry, TensorEntry, read_graph, sha256_of
from lipforge.runtime.manifest_values import Reader

__all__ = [
    "CONTENTS",
    "FILE_NAME",
    "NO_GENERATOR",
    "REFERENCE_NAME",
    "SPECS",
    "Contents",
    "GraphEntry",
    "Manifest",
    "ParityEntry",
    "TensorEntry",
    "sha256_of",
]

SCHEMA = 1
KIND = "lipforge-bundle"
FILE_NAME = "manifest.json"
REFERENCE_NAME = "reference.npz"

PRECISIONS = FP32, FP16, INT8 = "fp32", "fp16", "int8"

SPECS: Mapping[str, type[Spec]] = {
    "mel": MelSpec,
    "window": AudioWindowSpec,
    "mel_chunk": MelChunkSpec,
    "crop": CropSpec,
    "face_box": FaceBoxSpec,
    "lips": LipSpec,
    "warp": WarpSpec,
}
"""The recipes that a manifest may hold, by key and in its order."""


@dataclass(frozen=True)
class Contents:
    """What a bundle of one kind of generator holds: ``graphs`` and ``specs`` that it must, ``optional`` specs."""

    graphs: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


NO_GENERATOR = "none"
CONTENTS: Mapping[str, Contents] = {
    "warp": Contents(("audio2lips", "warp"), ("mel", "window", "crop", "lips", "warp")),
    "inpaint": Contents(("wav2lip",), ("mel", "mel_chunk", "crop", "lips"), ("face_box",)),
    NO_GENERATOR: Contents(optional=tuple(SPECS)),
}
"""By kind of generator. A bundle without one holds networks that judge, such as the sync expert."""

SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds and every constant that its runtime has to obey.

    Attributes:
        name: shown to the user.
        generator: the kind of generator, a key of ``CONTENTS``.
        fps: frames a second of the video that the audio network was trained on.
        specs: the recipes by key of ``SPECS``; those that ``CONTENTS`` asks for.
        graphs: the ONNX files by graph name.
        source: checkpoint kinds and steps, versions of the tools.
        ascend: how the graphs become models of an Ascend NPU; None for a bundle that was not exported for one.
        int8: how the graphs were quantised; None for a bundle that was not.
        precision: what the graphs compute in, one of ``PRECISIONS``.
        openvino: version of OpenVINO that the graphs were made for and verified with; None for another bundle.
    """

    name: str
    generator: str
    fps: float
    specs: dict[str, Spec]
    graphs: dict[str, GraphEntry]
    source: dict[str, Any]
    ascend: AscendEntry | None = None
    int8: Int8Entry | None = None
    precision: str = FP32
    openvino: str | None = None

    @property
    def mel(self) -> MelSpec:
        """Recipe of the audio network's input."""
        return self.spec("mel", MelSpec)

    @property
    def window(self) -> FrameWindow:
        """Which mel columns drive a frame: ``window`` of the file, or ``mel_chunk``."""
        if "mel_chunk" in self.specs:
            return ChunkWindow(self.spec("mel_chunk", MelChunkSpec), self.fps)
        return self.spec("window", AudioWindowSpec)

    @property
    def lookahead_ms(self) -> float:
        """Audio that a frame needs beyond its own time; 0 without a generator."""
        return 0.0 if self.generator == NO_GENERATOR else self.window.lookahead_ms(self.mel)

    @property
    def crop(self) -> CropSpec:
        """The aligned face: what the tracker steadies it by, and what a generator cuts out unless it has a box."""
        return self.spec("crop", CropSpec)

    @property
    def face_box(self) -> FaceBoxSpec | None:
        """The box that the generator cuts out, or None if it cuts out ``crop``."""
        return self.spec("face_box", FaceBoxSpec) if "face_box" in self.specs else None

    @property
    def lips(self) -> LipSpec:
        """The lip geometry."""
        return self.spec("lips", LipSpec)

    @property
    def warp(self) -> WarpSpec:
        """How flow, mask and colour are applied."""
        return self.spec("warp", WarpSpec)

    def spec(self, key: str, kind: type[SpecT]) -> SpecT:
        """Return a recipe that this bundle has to have for what it is used for.

        Raises:
            ConfigError: it has none.
        """
        found = self.specs.get(key)
        if not isinstance(found, kind):
            raise ConfigError(
                f"bundle {self.name}: has no {key!r}; it holds {', '.join(self.graphs)} and generator "
                f"{self.generator!r}. Use one whose generator is {' or '.join(_generators_with(key))}."
            )
        return found

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
        generator = reader.choice("generator", tuple(CONTENTS))
        contents = CONTENTS[generator]
        present = [*contents.specs, *(key for key in contents.optional if key in reader.values)]
        manifest = cls(
            name=reader.text("name"),
            generator=generator,
            fps=reader.positive("fps"),
            specs={key: _spec(reader, key, kind) for key, kind in SPECS.items() if key in present},
            graphs={name: read_graph(entry) for name, entry in reader.table("graphs").items()},
            source=reader.mapping("source"),
            ascend=AscendEntry.read(reader.inner("ascend")) if "ascend" in reader.values else None,
            int8=Int8Entry.read(reader.inner("int8")) if "int8" in reader.values else None,
            precision=reader.choice("precision", PRECISIONS) if "precision" in reader.values else FP32,
            openvino=reader.text("openvino") if "openvino" in reader.values else None,
        )
        manifest.validate(where)
        said = reader.number("lookahead_ms")
        if abs(said - manifest.lookahead_ms) > 1e-6:
            raise ConfigError(
                f"{where}: lookahead_ms: {said} contradicts mel and window, which need {manifest.lookahead_ms} ms."
            )
        return manifest

    def validate(self, where: str = FILE_NAME) -> None:
        """Check what no single value shows: that graphs and specs fit the generator.

        Raises:
            ConfigError: one is missing.
        """
        contents = CONTENTS[self.generator]
        for what, needed, present in (
            ("graphs", contents.graphs, list(self.graphs)),
            ("specs", contents.specs, list(self.specs)),
        ):
            if missing := [name for name in needed if name not in present]:
                raise ConfigError(
                    f"{where}: {what}: a bundle of generator {self.generator!r} needs {missing}, "
                    f"it has {present}. Export it again."
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON-ready values in the order of docs/formats.md."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "name": self.name,
            "generator": self.generator,
            "fps": self.fps,
            **{key: self.specs[key].to_dict() for key in SPECS if key in self.specs},
            "lookahead_ms": self.lookahead_ms,
            "graphs": {name: asdict(graph) for name, graph in self.graphs.items()},
            "source": self.source,
            **({} if self.ascend is None else {"ascend": asdict(self.ascend)}),
            **({} if self.int8 is None else {"int8": asdict(self.int8)}),
            **({} if self.precision == FP32 else {"precision": self.precision}),
            **({} if self.openvino is None else {"openvino": self.openvino}),
        }

    def write(self, folder: Path) -> Path:
        """Write ``manifest.json`` into a bundle's folder and return its path; the text is the same for the same values.

        Raises:
            ConfigError: something is missing, see ``validate``.
        """
        self.validate()
        path = folder / FILE_NAME
        path.write_text(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")
        return path


def _generators_with(key: str) -> list[str]:
    return [kind for kind, contents in CONTENTS.items() if key in contents.specs]


def _spec(reader: Reader, key: str, spec: type[SpecT]) -> SpecT:
    values = reader.mapping(key)
    try:
        built = spec.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{reader.where}: {key}: {error}") from error
    # A recipe may have younger keys than the file: it knows what older ones meant.
    inner, default = Reader({**built.to_dict(), **values}, f"{reader.where}: {key}"), spec()
    for field in fields(spec):
        inner.like(field.name, getattr(default, field.name))
    return built
