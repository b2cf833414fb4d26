"""``conversion.json``: which OM files ATC made of a bundle, and for which chip."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.runtime.manifest import sha256_of
from lipforge.runtime.manifest_values import Reader

FILE_NAME = "conversion.json"
SCHEMA = 1
SCRIPT_NAME = "convert.sh"


@dataclass(frozen=True)
class OmFile:
    """An OM in a bundle's folder: its name and its SHA-256 in hex."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Conversion:
    """What ATC made of a bundle: ``conversion.json``, written by the export or by the bundle's ``convert.sh``.

    Attributes:
        soc: the chip that the OMs are for.
        models: the OM of each graph.
    """

    soc: str
    models: dict[str, OmFile]

    @classmethod
    def read(cls, folder: Path) -> Conversion | None:
        """Read a bundle's conversion; None if it has not been converted.

        Raises:
            InputError: the file cannot be read or is not JSON.
            ConfigError: a value is missing or not usable.
        """
        path = folder / FILE_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}). Run {SCRIPT_NAME} again.") from error
        reader = Reader.of(values, str(path))
        reader.expect("schema", SCHEMA)
        models = reader.table("models").items()
        files = {name: OmFile(model.file_name("file"), model.text("sha256")) for name, model in models}
        return cls(soc=reader.text("soc"), models=files)

    def write(self, folder: Path) -> None:
        """Write ``conversion.json`` into a bundle's folder."""
        text = json.dumps({"schema": SCHEMA} | asdict(self), indent=2) + "\n"
        (folder / FILE_NAME).write_text(text, encoding="utf-8", newline="\n")

    def locate(self, folder: Path, graph: str) -> Path:
        """Return the OM of a graph, once its content is what ATC wrote.

        Raises:
            InputError: there is none, the file is missing, or its content is another.
        """
        if graph not in self.models:
            raise InputError(f"{folder / FILE_NAME}: has no OM of graph {graph}. Run {SCRIPT_NAME} again.")
        path = folder / self.models[graph].file
        if not path.is_file():
            raise InputError(f"{path}: the OM is missing. Copy the whole folder again or run {SCRIPT_NAME} again.")
        if sha256_of(path) != self.models[graph].sha256:
            raise InputError(
                f"{path}: the content is not what {FILE_NAME} says. The file is damaged or was changed; copy the "
                f"folder again or run {SCRIPT_NAME} again."
            )
        return path


def om_names(stem: str) -> tuple[str, ...]:
    """Return the patterns of the names that ATC gives an OM: with the host's system and CPU if it holds host code."""
    return f"{stem}.om", f"{stem}_linux_*.om"
