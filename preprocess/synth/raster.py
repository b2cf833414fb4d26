"""A small z-buffer rasteriser: which triangle, and where in it, each pixel sees."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.head_data import F32, I32


@dataclass
class Visible:
    """What each pixel of an image sees; the buffers are reused from image to image.

    Attributes:
        depth: float32 (H, W), larger is nearer; -1e9 where nothing is.
        triangle: int32 (H, W), index of the face or -1.
        weights: float32 (H, W, 3), barycentric weights of the face's corners.
    """

    depth: F32
    triangle: I32
    weights: F32

    @classmethod
    def empty(cls, size_px: int) -> Visible:
        """Buffers for a square image."""
        shape = (size_px, size_px)
        return cls(np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty((*shape, 3), np.float32))


def rasterise(points: F32, faces: I32, out: Visible, window: Window | None = None) -> Visible:
    """Fill ``out`` with the nearest triangle of each pixel.

    Args:
        points: float32 (V, 3): x and y in pixels (integers are pixel centres), z larger is nearer.
        faces: int32 (F, 3).
        out: buffers of the image's size.
        window: triangles that can be seen in a part of the image only; None shows all everywhere.
    """
    out.depth.fill(-1e9)
    out.triangle.fill(-1)
    if window is None:
        window = Window(np.zeros(len(faces), np.bool_), np.empty((0, 0), np.uint8))
    free = np.flatnonzero(~window.behind).astype(np.int32)
    everywhere = np.ones(out.depth.shape, np.uint8)
    _fill(points, faces, free, everywhere, out.depth, out.triangle, out.weights)
    if window.behind.any():
        behind = np.flatnonzero(window.behind).astype(np.int32)
        _fill(points, faces, behind, window.opening, out.depth, out.triangle, out.weights)
    return out


@dataclass(frozen=True)
class Window:
    """Triangles ``behind``, bool (F,), that show only where ``opening``, uint8 (H, W), is not zero."""

    behind: npt.NDArray[np.bool_]
    opening: npt.NDArray[np.uint8]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fill(points, faces, order, opening, depth, triangle, weights):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for face in order:
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        left = max(0, int(np.floor(min(x0, min(x1, x2)))))
        right = min(width - 1, int(np.ceil(max(x0, max(x1, x2)))))
        top = max(0, int(np.floor(min(y0, min(y1, y2)))))
        bottom = min(height - 1, int(np.ceil(max(y0, max(y1, y2)))))
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if left > right or top > bottom or abs(area) < 1e-9:
            continue
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                w1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
                w2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
                w0 = 1 - w1 - w2
                if w0 < -1e-4 or w1 < -1e-4 or w2 < -1e-4:  # a little overlap leaves no cracks between triangles
                    continue
                if not opening[y, x]:
                    continue
                z = w0 * points[a, 2] + w1 * points[b, 2] + w2 * points[c, 2]
                if z > depth[y, x]:
                    depth[y, x] = z
                    triangle[y, x] = face
                    weights[y, x, 0] = w0
                    weights[y, x, 1] = w1
                    weights[y, x, 2] = w2


@numba.njit(cache=True, nogil=True)
def vertex_normals(vertices: F32, faces: I32) -> F32:
    """Area-weighted unit normals, float32 (V, 3)."""
    normals = np.zeros_like(vertices)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = vertices[b] - vertices[a]
        vx, vy, vz = vertices[c] - vertices[a]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for i in range(normals.shape[0]):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2) + 1e-9
        normals[i] /= length
    return normals


@numba.njit(cache=True, nogil=True, fastmath=True)
def sample_bilinear(texture: F32, x: F32, y: F32) -> F32:
    """Read float32 texture (H, W, C) at n positions in pixels, edges clamped; float32 (n, C)."""
    height, width, channels = texture.shape
    out = np.empty((x.shape[0], channels), np.float32)
    for i in range(x.shape[0]):
        u = min(max(x[i], 0.0), width - 1.001)
        v = min(max(y[i], 0.0), height - 1.001)
        a, b = int(u), int(v)
        fx, fy = u - a, v - b
        for k in range(channels):
            top = texture[b, a, k] * (1 - fx) + texture[b, a + 1, k] * fx
            low = texture[b + 1, a, k] * (1 - fx) + texture[b + 1, a + 1, k] * fx
            out[i, k] = top * (1 - fy) + low * fy
    return out


def interpolate(values: F32, faces: I32, triangle: I32, weights: F32) -> F32:
    """Interpolate per-vertex values (V, D) at points of triangles; float32 (n, D).

    Args:
        values: float32 (V, D).
        faces: int32 (F, 3).
        triangle: int32 (n,), the face of each point.
        weights: float32 (n, 3), its barycentric weights.
    """
    return np.asarray(_mix(values, faces, triangle, weights))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _mix(values, faces, triangle, weights):  # type: ignore[no-untyped-def]
    out = np.empty((triangle.shape[0], values.shape[1]), np.float32)
    for i in range(triangle.shape[0]):
        a, b, c = faces[triangle[i], 0], faces[triangle[i], 1], faces[triangle[i], 2]
        for k in range(values.shape[1]):
            out[i, k] = weights[i, 0] * values[a, k] + weights[i, 1] * values[b, k] + weights[i, 2] * values[c, k]
    return out


def interpolate_corners(values: F32, triangle: I32, weights: F32) -> F32:
    """Interpolate values that every face has at its own corners (F, 3, D), as ``interpolate`` does; float32 (n, D)."""
    return np.asarray(_mix_corners(values, triangle, weights))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _mix_corners(values, triangle, weights):  # type: ignore[no-untyped-def]
    out = np.empty((triangle.shape[0], values.shape[2]), np.float32)
    for i in range(triangle.shape[0]):
        for k in range(values.shape[2]):
            corner = values[triangle[i], :, k]
            out[i, k] = weights[i, 0] * corner[0] + weights[i, 1] * corner[1] + weights[i, 2] * corner[2]
    return out
