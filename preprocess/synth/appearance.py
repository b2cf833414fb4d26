"""What a head is made of and how it is lit: skin, hair, lips, teeth, lights, background, camera faults.

Transfer to real faces stands or falls with this variety: a model trained on plain heads drags half the face along.
Colours are float64 (3,) RGB in [0, 255].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.preprocess.synth.eyes import Glasses, sample_glasses
from lipforge.preprocess.synth.foreground import Foreground, sample_foreground
from lipforge.preprocess.synth.head_data import F32
from lipforge.preprocess.synth.identity import Identity
from lipforge.preprocess.synth.teeth import Teeth, sample_teeth

F64 = npt.NDArray[np.float64]
TEXTURE_PX = 448
#: The front-projected texture covers this many decimetres; its top is 1.2 above the mouth.
TEXTURE_SPAN = 2.2
TEXTURE_ABOVE_MOUTH = 1.2
DRAWN_SHARE = 0.08  # of all heads: cartoons and avatars


@dataclass(frozen=True)
class Beard:
    """Share of hair per texel, float32 (448, 448, 1) in [0, 1], and its colour."""

    cover: F32
    colour: F64


@dataclass(frozen=True)
class Light:
    """Two directional lights over an ambient one; directions are unit vectors (3,), x right, y up, z to the viewer."""

    ambient: float
    key_direction: F64
    key_colour: F64
    fill_direction: F64
    fill_colour: F64
    skin_gloss: float
    lip_gloss: float
    shininess: float
    mouth_darkness: float

    def scaled(self, factor: float) -> Light:
        """The same lights, all of them ``factor`` times as strong."""
        return replace(
            self,
            ambient=self.ambient * factor,
            key_colour=self.key_colour * factor,
            fill_colour=self.fill_colour * factor,
            skin_gloss=self.skin_gloss * factor,
            lip_gloss=self.lip_gloss * factor,
        )


@dataclass(frozen=True)
class Lens:
    """Camera faults: gamma, contrast, brightness in grey levels, blur sigma in px at twice crop size."""

    gamma: float
    contrast: float
    brightness: float
    blur_px: float


@dataclass(frozen=True)
class Drawing:
    """How a head is drawn instead of lit: light and shade without steps between them, and lines.

    Attributes:
        terminator: cosine between normal and light below which a surface lies in the shade.
        dark: brightness of the shade; 1 has none.
        ink: float64 (3,), colour of the lines, RGB in [0, 255].
        line_px: width of the lines in px at twice crop size.
    """

    terminator: float
    dark: float
    ink: F64
    line_px: int

    def shade(self, towards_light: F32, inside: npt.NDArray[np.bool_]) -> F32:
        """Brightness of points, float32 (n,): ``towards_light`` are cosines, what is ``inside`` the mouth has none."""
        return np.where((towards_light < self.terminator) & ~inside, np.float32(self.dark), np.float32(1.0))


@dataclass(frozen=True)
class Appearance:
    """Everything but geometry. ``texture``: float32 (448, 448, 3), multiplies the skin's colour."""

    skin: F64
    lips: F64
    teeth: Teeth
    tongue: F64
    cavity: F64
    iris: F64
    texture: F32
    beard: Beard | None
    collar: tuple[float, F64] | None
    foreground: Foreground | None
    glasses: Glasses | None
    background: F32
    light: Light
    lens: Lens
    drawn: Drawing | None = None


def fractal_noise(rng: np.random.Generator, size_px: int, falloff: float) -> F32:
    """Noise (size, size) with spectrum 1 / f**falloff, zero mean, unit deviation."""
    spectrum = np.fft.rfft2(rng.standard_normal((size_px, size_px)))
    frequency = np.hypot(np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None]) + 1 / size_px
    field = np.fft.irfft2(spectrum * frequency**-falloff, s=(size_px, size_px))
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def sample_appearance(person: Identity, rng: np.random.Generator) -> Appearance:
    """Draw skin, hair, colours, lights, background and lens for one head."""
    if rng.random() < DRAWN_SHARE:
        return _sample_drawing(rng)
    skin, light = _skin(person, rng), _light(rng)
    return Appearance(
        skin=skin,
        lips=_lips(skin, rng),
        teeth=sample_teeth(rng),
        tongue=np.array([175.0, 88.0, 92.0]) * rng.uniform(0.6, 1.15),
        cavity=np.array([64.0, 24.0, 24.0]) * rng.uniform(0.2, 0.9),
        iris=np.array([[70, 50, 36], [95, 75, 50], [80, 100, 110], [60, 85, 60]][rng.integers(4)], np.float64),
        texture=_texture(rng),
        beard=_beard(rng) if person.male > 0.45 and rng.random() < 0.6 else None,
        collar=(float(rng.uniform(-1.0, -0.75)), rng.uniform(5, 240, 3)) if rng.random() < 0.6 else None,
        foreground=sample_foreground(skin * (light.ambient + light.key_colour), rng),
        glasses=sample_glasses(rng),
        background=_background(rng),
        light=light,
        lens=_lens(rng),
    )


def _sample_drawing(rng: np.random.Generator) -> Appearance:
    """A drawn head: flat colours, often more saturated than skin is, a mouth in two or three tones, and lines."""
    skin = rng.uniform(180, 255) * np.array([1.0, rng.uniform(0.68, 0.92), rng.uniform(0.5, 0.88)])
    if rng.random() < 0.2:
        skin = rng.uniform(40, 255, 3)  # painted, or no human
    reddish = skin * np.array([0.9, 0.6, 0.6])
    share = rng.uniform(0, 1) * (rng.random() < 0.6)  # many drawn lips are a line and nothing else
    flat = np.ones((TEXTURE_PX, TEXTURE_PX, 3), np.float32)
    return Appearance(
        skin=skin,
        lips=skin * (1 - share) + reddish * share,
        teeth=sample_teeth(rng, flat=True),
        tongue=np.array([225.0, 110.0, 115.0]) * rng.uniform(0.7, 1.1),
        cavity=np.array([[130.0, 35.0, 40.0], [60.0, 20.0, 22.0], [25.0, 15.0, 15.0]])[rng.integers(3)],
        iris=rng.uniform(20, 160, 3),
        texture=flat,
        beard=None,
        collar=(float(rng.uniform(-1.0, -0.75)), rng.uniform(5, 240, 3)) if rng.random() < 0.7 else None,
        foreground=sample_foreground(skin, rng),
        glasses=sample_glasses(rng),
        background=_background(rng),
        light=_light(rng),
        lens=Lens(1.0, 1.0, 0.0, float(rng.uniform(0.3, 0.9))),
        drawn=Drawing(
            terminator=float(rng.uniform(-0.2, 0.5)),
            dark=float(rng.uniform(0.65, 1.0)),
            ink=skin * rng.uniform(0.05, 0.45),
            line_px=int(rng.integers(1, 4)),
        ),
    )


def _lens(rng: np.random.Generator) -> Lens:
    return Lens(
        gamma=float(rng.uniform(0.75, 1.35)),
        contrast=float(rng.uniform(0.75, 1.15)),
        brightness=float(rng.uniform(-18, 18)),
        blur_px=float(rng.uniform(0.2, 1.1) * (rng.random() < 0.7)),
    )


def _skin(person: Identity, rng: np.random.Generator) -> F64:
    african, _, caucasian = person.origins
    melanin = np.clip(rng.beta(1.0, 1.9) * 0.9 + 0.25 * african - 0.12 * caucasian, 0, 1)
    light, dark = np.array([235.0, 190.0, 165.0]), np.array([75.0, 45.0, 32.0])
    return np.asarray(np.clip(light * (1 - melanin) + dark * melanin + rng.normal(size=3) * 8, 20, 250))


def _lips(skin: F64, rng: np.random.Generator) -> F64:
    shift = np.array([rng.uniform(0, 35), rng.uniform(-12, 12), rng.uniform(-8, 20)])
    colour = skin * np.array([0.88, 0.62, 0.62]) + shift
    if rng.random() < 0.3:  # lipstick
        colour = np.array([rng.uniform(110, 210), rng.uniform(20, 90), rng.uniform(30, 100)])
    opacity = rng.uniform(0.35, 1)
    return np.asarray(np.clip(colour * opacity + skin * 0.97 * (1 - opacity), 10, 250))


def _texture(rng: np.random.Generator) -> F32:
    size = TEXTURE_PX
    texture = np.ones((size, size, 3), np.float32)
    for falloff, strength in ((1.6, 0.05), (1.0, 0.05), (0.4, 0.035)):
        tint = (1 + rng.normal(size=3) * 0.3).astype(np.float32)
        noise = fractal_noise(rng, size, falloff)[..., None] * np.float32(strength * rng.uniform(0.2, 1.8)) * tint
        texture *= 1 + np.clip(noise, -0.5, 0.5)
    if rng.random() < 0.4:
        spots = np.zeros((size, size), np.float32)
        for _ in range(rng.integers(3, 80)):
            centre = (int(rng.integers(size)), int(rng.integers(size)))
            cv2.circle(spots, centre, int(rng.integers(1, 4)), float(rng.uniform(0.1, 0.6)), -1)
        texture *= 1 - cv2.GaussianBlur(spots, (0, 0), 1)[..., None] * np.array([0.5, 0.7, 0.8], np.float32)
    wrinkles = np.zeros((size, size), np.float32)
    for _ in range(rng.integers(0, 14)):
        start = rng.integers(0, size, 2)
        end = start + rng.integers(-60, 60, 2)
        cv2.line(wrinkles, start.tolist(), end.tolist(), float(rng.uniform(0.1, 0.35)), int(rng.integers(1, 4)))
    texture *= 1 - cv2.GaussianBlur(wrinkles, (0, 0), 2)[..., None]
    return np.ascontiguousarray(texture, np.float32)


def _beard(rng: np.random.Generator) -> Beard:
    """Stubble to full beard: chin and jaw, sometimes a goatee, with its own moustache."""
    rows, columns = np.mgrid[:TEXTURE_PX, :TEXTURE_PX] * (TEXTURE_SPAN / TEXTURE_PX)
    x, y = columns - TEXTURE_SPAN / 2, TEXTURE_ABOVE_MOUTH - rows  # decimetres from the mouth, y up
    cover = 1 / (1 + np.exp(-(-y + 0.05 + 1.2 * np.maximum(np.abs(x) - 0.35, 0)) / 0.08))
    if rng.random() < 0.35:
        cover = cover * np.exp(-((x / 0.4) ** 4))
    moustache = np.exp(-(((y - 0.16) / 0.08) ** 2)) * np.exp(-((x / 0.33) ** 4)) * rng.uniform(0.2, 1.2)
    cover = np.clip(np.maximum(cover, moustache), 0, 1) * rng.uniform(0.15, 0.95)
    cover = np.clip(cover * (1 + 0.35 * fractal_noise(rng, TEXTURE_PX, 0.3)), 0, 1)
    colour = np.full(3, rng.uniform(15, 70)) * np.array([1.15, 1.05, 1.0])
    if rng.random() < 0.15:  # grey
        colour = colour + rng.uniform(40, 120)
    return Beard(np.ascontiguousarray(cover[..., None], np.float32), colour)


def _background(rng: np.random.Generator) -> F32:
    noise = (
        fractal_noise(rng, 192, rng.uniform(0.8, 2))[..., None] * rng.uniform(0, 45) * (1 + rng.normal(size=3) * 0.3)
    )
    return (noise + rng.uniform(20, 235, 3)).astype(np.float32)


def _light(rng: np.random.Generator) -> Light:
    key = np.array([rng.normal() * 0.7, 0.35 + rng.normal() * 0.35, 0.8])
    fill = np.array([rng.normal(), rng.normal() * 0.5, 0.5])
    ambient = rng.uniform(0.35, 0.75)
    gloss = rng.uniform(0, 0.25) * (rng.random() < 0.8)
    light = Light(
        ambient=float(ambient),
        key_direction=key / np.linalg.norm(key),
        key_colour=(1 - ambient + rng.uniform(-0.1, 0.25)) * (1 + rng.normal(size=3) * 0.07),
        fill_direction=fill / np.linalg.norm(fill),
        fill_colour=rng.uniform(0, 0.35) * (1 + rng.normal(size=3) * 0.15),
        skin_gloss=float(gloss),
        lip_gloss=float(gloss + rng.uniform(0, 0.5) * (rng.random() < 0.6)),
        shininess=float(rng.uniform(6, 40)),
        mouth_darkness=float(rng.uniform(2.0, 5.0)),
    )
    # Many rooms are dim, and teeth are no lamps: everything is as dim as the light is.
    return light.scaled(float(rng.uniform(0.35, 0.9))) if rng.random() < 0.35 else light
