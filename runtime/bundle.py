"""A model bundle on disk: found by name or path, checked, and ready to be run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from lipforge.kernels.errors import BackendError, ConfigError, InputError
from lipforge.runtime.acl_engine import AclEngine
from lipforge.runtime.backends import ACL, AUTO, OPENVINO, PROVIDERS, Choice, choose_backend
from lipforge.runtime.engine import Engine
from lipforge.runtime.manifest import FILE_NAME, GraphEntry, Manifest
from lipforge.runtime.om_conversion import Conversion
from lipforge.runtime.onnx_engine import OnnxEngine

DEFAULT_BUNDLE = "synth-warp"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest was read and whose files were compared with their hashes.

    Attributes:
        folder: where it stands.
        manifest: every constant that the runtime obeys.
        paths: the ONNX file of each graph.
        choice: the backend that runs it.
    """

    folder: Path
    manifest: Manifest
    paths: dict[str, Path]
    choice: Choice = field(default_factory=Choice)
    _shared: dict[tuple[str, int], Engine] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path_or_name: str | Path = DEFAULT_BUNDLE, backend: str = AUTO, *, option: str = "--model") -> Bundle:
        """Load the bundle that ships under a name, or the one in a folder.

        A bare word is a shipped bundle's name if there is one, else a path; write ``./word`` for the folder.

        Args:
            path_or_name: the bundle.
            backend: what shall run it, one of ``backends.BACKENDS``.
            option: what the user named it with; starts the messages.

        Raises:
            InputError: there is no such bundle, it is not a bundle, or a file is missing or damaged.
            ConfigError: it was written by another version, its manifest is not usable, or there is no such backend.
            BackendError: the backend that was named cannot run this bundle here.
        """
        folder = _find(path_or_name, option)
        manifest = Manifest.read(folder)
        paths = {name: graph.locate(folder) for name, graph in manifest.graphs.items()}
        return cls(folder, manifest, paths, choose_backend(backend, folder, manifest))

    def sharing(self) -> Bundle:
        """Return this bundle such that its graphs are loaded once, however many streams use it.

        onnxruntime runs one loaded graph in several threads at once. An OM's buffers are its engine's own, so streams
        on an NPU still load one each.
        """
        return self if self.choice.backend == ACL else replace(self, _shared={})

    def graph(self, name: str) -> GraphEntry:
        """Return the manifest's entry of a graph.

        Raises:
            ConfigError: the bundle has no such graph.
        """
        if name not in self.manifest.graphs:
            raise ConfigError(f"{self.folder}: has no graph {name!r}; it has {', '.join(self.manifest.graphs)}.")
        return self.manifest.graphs[name]

    def engine(self, name: str, threads: int = 1) -> Engine:
        """Load a graph for running on the bundle's backend and compare its inputs and outputs with the manifest.

        Raises:
            ConfigError: the bundle has no such graph, or the graph is not what the manifest says.
            BackendError: the backend cannot load it, or its package is missing.
            InputError: the bundle has no OM of it although the NPU was chosen.
        """
        if self._shared is None:
            return self._load_engine(name, threads)
        if (name, threads) not in self._shared:
            self._shared[name, threads] = self._load_engine(name, threads)
        return self._shared[name, threads]

    def _load_engine(self, name: str, threads: int) -> Engine:
        entry = self.graph(name)
        if self.choice.backend == ACL:
            conversion = Conversion.read(self.folder)
            if conversion is None:
                raise BackendError(f"{self.folder}: holds no OM; it vanished after the bundle was loaded.")
            return AclEngine(conversion.locate(self.folder, name), entry.inputs, entry.outputs)
        engine: Engine
        if self.choice.backend == OPENVINO:
            from lipforge.runtime.openvino_engine import OpenVinoEngine

            engine = OpenVinoEngine(self.paths[name], threads)
        else:
            engine = OnnxEngine(self.paths[name], threads, PROVIDERS[self.choice.backend])
        for role, said, found in (
            ("inputs", entry.inputs, engine.inputs),
            ("outputs", entry.outputs, engine.outputs),
        ):
            if said != found:
                raise ConfigError(
                    f"{self.paths[name]}: its {role} are {_listed(found)}, the manifest says {_listed(said)}. "
                    "Export the bundle again."
                )
        return engine


def shipped_bundles() -> list[str]:
    """Return the names of the bundles that the package brings along."""
    folder = _shipped_folder()
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if (entry / FILE_NAME).is_file())


def _shipped_folder() -> Path:
    return Path(str(files("lipforge.runtime") / "bundles"))


def _find(path_or_name: str | Path, option: str) -> Path:
    if str(path_or_name) in shipped_bundles():
        return _shipped_folder() / str(path_or_name)
    path = Path(path_or_name)
    if path.is_dir():
        return path
    shipped = ", ".join(shipped_bundles()) or "none"
    if path.exists():
        raise InputError(
            f"{option} {path}: is a file; a bundle is a folder with a {FILE_NAME}. "
            f"Give a folder that `lipforge export` wrote, or a shipped bundle's name ({shipped})."
        )
    raise InputError(
        f"{option} {path}: no such bundle. Give a folder that `lipforge export` wrote, or a shipped bundle's name "
        f"({shipped})."
    )


def _listed(tensors: tuple[object, ...]) -> str:
    return ", ".join(f"{getattr(t, 'name', t)} {getattr(t, 'dtype', '')}{getattr(t, 'shape', '')}" for t in tensors)
