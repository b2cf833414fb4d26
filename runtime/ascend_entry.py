"""The manifest's part about Ascend NPUs: how each graph of a bundle becomes an OM."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lipforge.kernels.errors import ConfigError
from lipforge.runtime.manifest_values import Reader


@dataclass(frozen=True)
class AscendModel:
    """How one graph becomes an OM.

    Attributes:
        onnx: the file that ATC reads; the graph's own unless inputs had to change.
        om: name of the OM without its suffix; ATC may add the host's system and CPU to it.
        float_inputs: inputs that the OM takes as float32 where the graph takes bytes.
        aipp: file that tells ATC to prepare an image input on the NPU; empty if there is none.
        aipp_inputs: inputs that it prepares.
        arguments: ATC's options, with names relative to the bundle's folder.
        fp16_error: largest absolute error of each output when every value is rounded to float16, in its own unit.
        budget: what was allowed, by output name; an OM is judged by it.
        largest_activation: largest absolute value inside the graph, in float32; float16 ends at 65504.
    """

    onnx: str
    om: str
    float_inputs: tuple[str, ...]
    aipp: str
    aipp_inputs: tuple[str, ...]
    arguments: tuple[str, ...]
    fp16_error: dict[str, float]
    budget: dict[str, float]
    largest_activation: float

    @classmethod
    def read(cls, reader: Reader) -> AscendModel:
        """Check the values of one model.

        Raises:
            ConfigError: a value is missing or not usable; the message names its key.
        """
        return cls(
            onnx=reader.file_name("onnx"),
            om=reader.file_name("om"),
            float_inputs=reader.texts("float_inputs"),
            aipp=reader.file_name("aipp") if reader.get("aipp") else "",
            aipp_inputs=reader.texts("aipp_inputs"),
            arguments=reader.texts("arguments"),
            fp16_error={name: reader.inner("fp16_error").number(name) for name in reader.mapping("fp16_error")},
            budget={name: reader.inner("budget").positive(name) for name in reader.mapping("budget")},
            largest_activation=reader.number("largest_activation"),
        )


@dataclass(frozen=True)
class AscendEntry:
    """How a bundle's graphs become OMs.

    Attributes:
        soc: the chip that the bundle was exported for, as ATC's ``--soc_version``.
        precision: ``fp16``, ``mixed`` or ``origin``.
        gears: batch sizes that the OMs take, rising; one means a static batch.
        operator_table: ``name``, ``date`` and ``sha256`` of the table that the graphs were checked against.
        models: by graph name.
    """

    soc: str
    precision: str
    gears: tuple[int, ...]
    operator_table: dict[str, str]
    models: dict[str, AscendModel]

    @classmethod
    def read(cls, reader: Reader) -> AscendEntry:
        """Check the manifest's values.

        Raises:
            ConfigError: a value is missing or not usable; the message names its key.
        """
        gears = reader.get("gears")
        if not isinstance(gears, list) or not gears or not all(type(gear) is int and gear > 0 for gear in gears):
            raise ConfigError(f"{reader.where}: gears must be a list of whole numbers above 0, not {gears!r}.")
        table = reader.inner("operator_table")
        return cls(
            soc=reader.text("soc"),
            precision=reader.choice("precision", ("fp16", "mixed", "origin")),
            gears=tuple(gears),
            operator_table={key: table.text(key) for key in ("name", "date", "sha256")},
            models={name: AscendModel.read(model) for name, model in reader.table("models").items()},
        )

    def budget(self, graph: str, outputs: Iterable[str]) -> dict[str, float]:
        """Return the largest absolute error allowed of a graph's outputs on an NPU.

        Raises:
            ConfigError: the manifest does not tell.
        """
        known = self.models[graph].budget if graph in self.models else {}
        if missing := [name for name in outputs if name not in known]:
            raise ConfigError(f"manifest: ascend: models: {graph}: no budget for {missing}. Export the bundle again.")
        return known
