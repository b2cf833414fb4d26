"""What runs a graph: one small protocol that every backend obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError
from lipforge.runtime.manifest import TensorEntry

Arrays = dict[str, NDArray[Any]]


class BoundRun(Protocol):
    """A graph with fixed input and output arrays."""

    @property
    def arrays(self) -> Arrays:
        """Every input and output by name."""

    def __call__(self) -> None:
        """Run the graph on what the input arrays hold now and write the output arrays.

        Raises:
            BackendError: the run failed.
        """


class Engine(Protocol):
    """One loaded graph."""

    @property
    def path(self) -> Path:
        """The file that was loaded."""

    @property
    def inputs(self) -> tuple[TensorEntry, ...]:
        """What the caller gives."""

    @property
    def outputs(self) -> tuple[TensorEntry, ...]:
        """What the caller gets."""

    def run(self, arrays: Arrays) -> Arrays:
        """Run the graph once.

        Args:
            arrays: every input by name, with the dtype and shape of ``inputs``.

        Returns:
            Every output by name, in arrays of its own.

        Raises:
            ConfigError: an array does not fit the graph.
            BackendError: the run failed.
        """

    def bind(self, arrays: Arrays) -> BoundRun:
        """Return a run that reads its inputs from ``arrays`` and writes its outputs into ``arrays``.

        Args:
            arrays: every input and output by name: C-contiguous, with the dtype of the graph and a whole shape.

        Raises:
            ConfigError: an array is missing or does not fit the graph.
        """

    def close(self) -> None:
        """Give back what the graph holds on its device; it cannot run afterwards. A second call does nothing."""


def check_array(entry: TensorEntry, array: NDArray[Any] | None, path: Path) -> None:
    """Check that an array can be bound to an input or output.

    Raises:
        ConfigError: it is missing, not contiguous, or has another dtype or shape.
    """
    fits = (
        array is not None
        and array.flags.c_contiguous
        and array.dtype.name == entry.dtype
        and array.ndim == len(entry.shape)
        and all(said in ("B", size) for said, size in zip(entry.shape, array.shape, strict=True))
    )
    if not fits:
        given = "nothing" if array is None else f"{array.dtype.name}{array.shape}"
        raise ConfigError(
            f"{path}: {entry.name} wants contiguous {entry.dtype}{entry.shape}, {given} was given. "
            "Does the bundle's manifest fit its graphs?"
        )
