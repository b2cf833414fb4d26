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
class SyncMeasure:
    """A measure of sync in float32 and in 8 bits.

    Attributes:
        before: with the graphs in float32.
        after: with all graphs in 8 bits.
        loss: how much worse that is.
        most: what ``loss`` was allowed to be.
    """

    before: float
    after: float
    loss: float
    most: float


@dataclass(frozen=True)
class Int8Sync:
    """What a judge of sync says of a bundle in 8 bits.

    Attributes:
        judge: name of the sync expert; ``lips`` before it where what the audio network says of them is compared too.
        clips: held-out clips that were judged.
        frames: of all of them.
        measures: by name.
    """

    judge: str
    clips: int
    frames: int
    measures: dict[str, SyncMeasure]

    @classmethod
    def read(cls, reader: Reader) -> Int8Sync:
        """Check and return the entry.

        Raises:
            ConfigError: a value is missing or not usable; the message names its key.
        """
        return cls(
            judge=reader.text("judge"),
            clips=reader.whole("clips"),
            frames=reader.whole("frames"),
            measures={
                name: SyncMeasure(*(one.number(key) for key in ("before", "after", "loss", "most")))
                for name, one in reader.table("measures").items()
            },
        )


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
        sync: whether it is still in sync; None if nobody was asked.
    """

    dataset: str
    calibrated: int
    judged: int
    psnr_db: float
    worst_psnr_db: float
    least_psnr_db: float
    graphs: dict[str, Int8Graph]
    sync: Int8Sync | None = None

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
            sync=Int8Sync.read(reader.inner("sync")) if reader.values.get("sync") is not None else None,
        )
