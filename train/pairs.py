"""Pairs of crops with exact flow, held in memory.

About 64 kB an image and 46 kB a pair: 10,000 pairs with 8,000 images take a gigabyte.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import MouthPart
from lipforge.train.shards import Dataset, Sample

EXTENSION = ".pairs.npz"
Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class HeadPairs:
    """Crops of one head in one pose and light, and the motion between them (docs/formats.md, ``.pairs.npz``)."""

    images: npt.NDArray[np.uint8]
    tracked: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    parts: npt.NDArray[np.uint8]
    pairs: npt.NDArray[np.int16]
    flow: npt.NDArray[np.float16]
    visible: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PairSet:
    """Heads with the list of usable pairs: rows (head, pair) of int64 (P, 2)."""

    heads: tuple[HeadPairs, ...]
    index: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


def load_pairs(dataset: Dataset, validation_share: float) -> tuple[PairSet, PairSet]:
    """Load all pairs; the last clips are held out.

    A pair is usable if the tracker saw the reference's lips and the target's wanted lips are known.

    Raises:
        InputError: a sample is damaged, or there are no usable pairs on one side.
    """
    first_held_out = dataset.first_validation_sample(validation_share)
    sides: tuple[list[HeadPairs], list[HeadPairs]] = ([], [])
    for number, sample in enumerate(dataset.read({EXTENSION})):
        if EXTENSION in sample.files:
            sides[number >= first_held_out].append(_parse(dataset, sample))
    training, held_out = _with_index(sides[0]), _with_index(sides[1])
    if not len(training) or not len(held_out):
        raise InputError(
            f"{dataset.root}: {len(training)} pairs for training and {len(held_out)} held out; the warp trainer needs "
            "both. Were the clips written without pairs, or are they too few?"
        )
    return training, held_out


def _parse(dataset: Dataset, sample: Sample) -> HeadPairs:
    where = f"{dataset.root}: {sample.key}{EXTENSION}"
    try:
        with np.load(io.BytesIO(sample.files[EXTENSION])) as arrays:
            found = {name: arrays[name] for name in HeadPairs.__dataclass_fields__}
    except KeyError as error:
        raise InputError(
            f"{where}: has no array {error}; an older version wrote it. Write the dataset again with this one."
        ) from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{where}: damaged or incomplete ({error}); write the dataset again.") from error
    size, points = dataset.crop.size_px, dataset.lips.points
    images, count = len(found["images"]), len(found["pairs"])
    expected = {
        "images": (np.uint8, (images, size, size, 3)),
        "tracked": (np.float32, (images, points, 2)),
        "target": (np.float32, (images, points, 2)),
        "parts": (np.uint8, (images, *found["parts"].shape[1:2] * 2)),
        "pairs": (np.int16, (count, 2)),
        "flow": (np.float16, (count, size, size, 2)),
        "visible": (np.uint8, (count, size, size)),
    }
    for name, (dtype, shape) in expected.items():
        array = found[name]
        if array.dtype != dtype or array.shape != shape:
            raise InputError(
                f"{where}: {name} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}; "
                "write the dataset again."
            )
    if found["parts"].shape[1] % size or found["parts"].max(initial=0) >= len(MouthPart):
        raise InputError(f"{where}: parts are no labels on a grid over crops of {size} px; write the dataset again.")
    if count and not (found["pairs"].min() >= 0 and found["pairs"].max() < images):
        raise InputError(f"{where}: pairs point outside its {images} images; write the dataset again.")
    return HeadPairs(**found)


def _with_index(heads: list[HeadPairs]) -> PairSet:
    rows = [np.zeros((0, 2), np.int64)]
    for number, head in enumerate(heads):
        reference, target = head.tracked[head.pairs[:, 0]], head.target[head.pairs[:, 1]]
        usable = np.flatnonzero(np.isfinite(reference).all((1, 2)) & np.isfinite(target).all((1, 2)))
        rows.append(np.stack([np.full(len(usable), number), usable], 1))
    return PairSet(tuple(heads), np.concatenate(rows))
