"""What a manifest says about a bundle whose graphs compute in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

from lipforge.runtime.manifest_values import Reader


@dataclass(frozen=True)
class Int8Graph:
    """One graph in 8 bits.

    Attributes:
        layers: how many layers have weights.
        float_layers: those left in float32, the most sensitive first.
        psnr_db: of the mouth if this graph alone is in 8 bits, on the samples that chose the layers.
    """

    layers: int
    float_layers: tuple[str, ...]
    psnr_db: float


@dataclass(frozen=True)
class Int8Entry:
    """How a bundle was quantised, and how good it is.

    Attributes:
        dataset: fingerprint of the dataset.
        calibrated: samples that the ranges were measured on.
        judged: samples, held out, that the PSNRs were measured on.
        psnr_db: of the mouth against float32, all graphs in 8 bits, over all samples.
        worst_psnr_db: of the sample that differs most.
        least_psnr_db: what ``psnr_db`` had to reach.
        graphs: by name.
    """

    dataset: str
    calibrated: int
    judged: int
    psnr_db: float
    worst_psnr_db: float
    least_psnr_db: float
    graphs: dict[str, Int8Graph]

    @classmethod
    def read(cls, reader: Reader) -> Int8Entry:
        """Check and return the entry.

        Raises:
            ConfigError: a value is missing or not usable; the message names its key.
        """
        return cls(
            dataset=reader.text("dataset"),
            calibrated=reader.whole("calibrated"),
            judged=reader.whole("judged"),
            psnr_db=reader.number("psnr_db"),
            worst_psnr_db=reader.number("worst_psnr_db"),
            least_psnr_db=reader.number("least_psnr_db"),
            graphs={
                name: Int8Graph(graph.whole("layers"), graph.texts("float_layers"), graph.number("psnr_db"))
                for name, graph in reader.table("graphs").items()
            },
        )
