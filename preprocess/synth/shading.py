"""Colour of every visible point: material, two lights, gloss, the dark of the mouth, background and lens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.appearance import (
    TEXTURE_ABOVE_MOUTH,
    TEXTURE_PX,
    TEXTURE_SPAN,
    Appearance,
    Drawing,
)
from lipforge.preprocess.synth.eyes import Eyes
from lipforge.preprocess.synth.head_data import (
    CAVITY,
    F32,
    I32,
    LEFT_EYE,
    LOWER_TEETH,
    RIGHT_EYE,
    SKIN,
    TONGUE,
    UPPER_TEETH,
    HeadData,
)
from lipforge.preprocess.synth.raster import Visible, interpolate, interpolate_corners, sample_bilinear
from lipforge.preprocess.synth.teeth import paint_teeth, paint_tongue

_EYE_WHITE = np.array([230.0, 228.0, 225.0])
_LIPS_TINT = np.array([1.04, 0.95, 0.91])
_IRIS_RADIUS = 0.07


class Shader:
    """Colours the pixels of one head data set; holds what does not change from head to head."""

    def __init__(self, head: HeadData) -> None:
        self._head = head
        self._rest = head.average
        mask = cv2.GaussianBlur(head.lip_mask, (0, 0), 1.5).astype(np.float32) / 255
        self._lip_mask: F32 = np.asarray(mask[..., None], np.float32, order="C")
        self._mouth_y = self._find_mouth_height()
        texel = TEXTURE_PX / TEXTURE_SPAN
        self._texel_xy = np.stack(
            [
                (self._rest[:, 0] + TEXTURE_SPAN / 2) * texel,
                (self._mouth_y + TEXTURE_ABOVE_MOUTH - self._rest[:, 1]) * texel,
            ],
            1,
        ).astype(np.float32)
        self._eye_centres = {
            part: self._rest[np.unique(head.faces[head.face_class == part])].mean(0)[:2]
            for part in (LEFT_EYE, RIGHT_EYE)
        }

    def _find_mouth_height(self) -> float:
        centre = self._head.face_uv.mean(1)
        size = self._lip_mask.shape[0]
        x = np.clip((centre[:, 0] * size).astype(int), 0, size - 1)
        y = np.clip(((1 - centre[:, 1]) * size).astype(int), 0, size - 1)
        lips = (self._lip_mask[y, x, 0] > 0.5) & (self._head.face_class == SKIN)
        return float(self._rest[np.unique(self._head.faces[lips]), 1].mean())

    def shade(self, seen: Visible, normals: F32, look: Appearance, eyes: Eyes, lip_depth: float) -> F32:
        """Return the picture, float32 (S, S, 3) RGB, before the lens; may leave [0, 255].

        Args:
            seen: the rasteriser's result.
            normals: float32 (V, 3) in view axes, x right, y up, z to the viewer.
            look: materials and lights.
            eyes: where they look.
            lip_depth: z of the lips; what lies behind them in the mouth darkens with its distance.
        """
        size = seen.depth.shape[0]
        picture = cv2.resize(look.background, (size, size), interpolation=cv2.INTER_LINEAR)
        mask = seen.triangle >= 0
        picture[mask] = self._surface(seen, normals, look, eyes, lip_depth)
        return np.asarray(picture, np.float32)

    def _surface(
        self, seen: Visible, normals: F32, look: Appearance, eyes: Eyes, lip_depth: float
    ) -> npt.NDArray[np.float64]:
        mask = seen.triangle >= 0
        head, light = self._head, look.light
        triangle, weights = seen.triangle[mask], seen.weights[mask]
        kind = head.face_class[triangle]
        # All that is per vertex in one pass: looking the vertices up is what costs.
        values = np.concatenate([normals, self._texel_xy, self._rest], 1)
        mixed = interpolate(values, head.faces, triangle, weights)
        normal, texel, rest = (np.ascontiguousarray(part) for part in np.split(mixed, (3, 5), 1))
        point = _Points(kind, self._lip_share(kind, triangle, weights), texel, rest)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        normal *= np.where(normal[:, 2:] < 0, -1, 1)  # the mesh is thin: back faces shade as front ones
        colour = self._material(point, look, eyes)
        if look.drawn is not None:
            return colour * look.drawn.shade(normal @ _f32(light.key_direction), kind >= UPPER_TEETH)[:, None]
        key = np.clip(normal @ _f32(light.key_direction), 0, None)[:, None]
        fill = np.clip(normal @ _f32(light.fill_direction), 0, None)[:, None]
        sky = light.ambient * (0.75 + 0.25 * normal[:, 1:2])
        lit = sky + _f32(light.key_colour) * key + _f32(light.fill_colour) * fill
        inside = kind >= UPPER_TEETH
        teeth = (kind == UPPER_TEETH) | (kind == LOWER_TEETH)
        # Light that the lips let in comes from everywhere, reddened by them: teeth show little of their own slopes.
        indoors = _f32((light.ambient + 0.6 * light.key_colour) * _LIPS_TINT)
        lit = np.where(teeth[:, None], 0.3 * lit + 0.7 * indoors, lit)
        half = light.key_direction + np.array([0, 0, 1.0])
        gloss = np.clip(normal @ _f32(half / np.linalg.norm(half)), 0, 1)[:, None] ** np.float32(light.shininess)
        behind = np.clip(lip_depth - seen.depth[mask], 0, None)
        lit *= np.where(inside, np.exp(-light.mouth_darkness * behind * np.where(teeth, 0.35, 1.0)), 1.0)[:, None]
        skin_gloss = light.skin_gloss * (1 - point.lip) + light.lip_gloss * point.lip
        strength = np.where(inside[:, None], 0.1 * (kind != CAVITY)[:, None], skin_gloss)
        return np.asarray(colour * lit + 255 * gloss * strength)

    def _lip_share(self, kind: I32, triangle: I32, weights: F32) -> F32:
        """How much of each point is lip, float32 (n, 1)."""
        uv = interpolate_corners(self._head.face_uv, triangle, weights)
        uv[:, 1] = 1 - uv[:, 1]  # the data counts v upwards
        uv *= self._lip_mask.shape[0]
        lip = sample_bilinear(self._lip_mask, uv[:, 0], uv[:, 1])
        lip[kind != SKIN] = 0
        return lip

    def _material(self, point: _Points, look: Appearance, eyes: Eyes) -> npt.NDArray[np.float64]:
        kind, texture = point.kind, sample_bilinear(look.texture, point.texel[:, 0], point.texel[:, 1])
        colour = _f32(look.skin) * (1 - point.lip) + _f32(look.lips) * point.lip
        if look.beard is not None:
            cover = sample_bilinear(look.beard.cover, point.texel[:, 0], point.texel[:, 1]) * (1 - point.lip)
            colour = colour * (1 - cover) + _f32(look.beard.colour) * cover
        colour = colour * texture
        if look.collar is not None:
            edge, cloth = look.collar
            above = TEXTURE_ABOVE_MOUTH - point.texel[:, 1:] * (TEXTURE_SPAN / TEXTURE_PX)
            share = 1 / (1 + np.exp(np.clip((above - np.float32(edge)) / np.float32(0.01), -60, 60)))
            colour = colour * (1 - share) + _f32(cloth) * share * texture * np.sqrt(texture)
        for part in (LEFT_EYE, RIGHT_EYE):
            here = kind == part
            iris = self._eye_centres[part] + [eyes.right, eyes.up]
            distance = np.hypot(*(point.rest[here, :2] - iris).T)[:, None]
            eye = np.where(distance < _IRIS_RADIUS, look.iris, _EYE_WHITE)
            colour[here] = np.where(distance < _IRIS_RADIUS * 0.45, 15.0, eye)
        for part in (UPPER_TEETH, LOWER_TEETH):
            here = kind == part
            colour[here] = paint_teeth(point.rest[here], part, look.teeth, look.cavity)
        here = kind == TONGUE
        colour[here] = look.tongue if look.drawn else paint_tongue(point.rest[here], look.tongue)
        colour[kind == CAVITY] = look.cavity
        return colour


def _f32(colour: npt.NDArray[np.float64]) -> F32:
    """Half the width is enough for colours, and a picture has many pixels."""
    return colour.astype(np.float32)


@dataclass(frozen=True)
class _Points:
    """Per visible pixel (n): part, lip share (n, 1), texel position (n, 2), rest position (n, 3)."""

    kind: I32
    lip: F32
    texel: F32
    rest: F32


def draw_outlines(picture: F32, seen: Visible, inner_lips: F32, drawing: Drawing) -> None:
    """Draw the line where the lips meet and the head's outline into a picture float32 (S, S, 3), in place.

    Args:
        picture: what is drawn into.
        seen: the rasteriser's result.
        inner_lips: float32 (n, 2), the closed inner contour in px.
        drawing: width and colour of the lines.
    """
    shifted = np.rint(inner_lips * 16).astype(np.int32)  # four binary digits below the point
    cv2.polylines(picture, [shifted], True, drawing.ink.tolist(), drawing.line_px, cv2.LINE_AA, shift=4)
    head = (seen.triangle >= 0).astype(np.uint8)
    edge = head - cv2.erode(head, np.ones((1 + 2 * drawing.line_px,) * 2, np.uint8))
    picture[edge > 0] = drawing.ink


def apply_lens(picture: F32, look: Appearance) -> npt.NDArray[np.float64]:
    """Gamma, contrast, brightness and blur of the camera; float64 in about [0, 255]."""
    lens = look.lens
    tone = (np.clip(picture, 0, 255) / 255) ** lens.gamma
    seen = np.clip((tone - 0.5) * lens.contrast + 0.5, 0, 1) * 255 + lens.brightness
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), lens.blur_px) if lens.blur_px else seen, np.float64)
