"""The compositor on a region of 384 px against the chain of OpenCV and numpy calls that does the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite, composite_i420, composite_nv12
from lipforge.kernels.yuv import I420Frame, Nv12Frame

SIZE_PX, REGION_PX, BORDER_PX = 96, 384, 6.0


@pytest.fixture(scope="module")
def outputs() -> dict[str, np.ndarray]:
    coarse = np.random.default_rng(2).normal(size=(6, 9, 9)).astype(np.float32)
    planes = np.stack([cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC) for plane in coarse])
    return {
        "flow": planes[:2] * 2.0,
        "mask": 1.0 / (1.0 + np.exp(-3.0 * planes[2])),
        "colour": np.clip(planes[3:], 0.0, 1.0),
    }


@pytest.fixture
def full_hd() -> list[np.ndarray]:
    """The planes of a 1080p I420 frame."""
    noise = np.random.default_rng(1).integers(0, 256, (1080, 1920), dtype=np.uint8)
    luma = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return [luma, *(cv2.resize(luma[shift:], (960, 540)) for shift in (1, 2))]


@pytest.mark.benchmark(group="warp composite 384")
@pytest.mark.parametrize("degrees", [0.0, 8.0])
def test_lipforge(benchmark, frame, make_face_transform, outputs, degrees):
    image, scratch = frame.copy(), WarpScratch()
    transform = make_face_transform(REGION_PX, SIZE_PX, degrees)
    benchmark(composite, image, scratch, transform, **outputs, spec=WarpSpec(BORDER_PX))


@pytest.mark.benchmark(group="warp composite 384")
def test_lipforge_i420(benchmark, full_hd, make_face_transform, outputs):
    scratch, transform = WarpScratch(), make_face_transform(REGION_PX, SIZE_PX, 8.0)
    benchmark(composite_i420, I420Frame(*full_hd), scratch, transform, **outputs, spec=WarpSpec(BORDER_PX))


@pytest.mark.benchmark(group="warp composite 384")
def test_lipforge_nv12(benchmark, full_hd, make_face_transform, outputs):
    y, u, v = full_hd
    scratch, transform = WarpScratch(), make_face_transform(REGION_PX, SIZE_PX, 8.0)
    frame = Nv12Frame(y, np.stack([u, v], axis=-1))
    benchmark(composite_nv12, frame, scratch, transform, **outputs, spec=WarpSpec(BORDER_PX))


@pytest.mark.benchmark(group="warp composite 384, lower half active")
def test_lipforge_lower_half(benchmark, frame, make_face_transform, outputs):
    """What a mouth generator gives: nothing moves above the nose."""
    image, scratch = frame.copy(), WarpScratch()
    planes = {name: plane.copy() for name, plane in outputs.items()}
    planes["flow"][:, : SIZE_PX // 2], planes["mask"][: SIZE_PX // 2] = 0.0, 0.0
    benchmark(composite, image, scratch, make_face_transform(REGION_PX, SIZE_PX), **planes, spec=WarpSpec(BORDER_PX))


class OpenCvChain:
    """The calls that do the same to a region of an upright face; with a rotation they need two more warps."""

    def __init__(self, outputs: dict[str, np.ndarray]) -> None:
        self.outputs, self.size = outputs, (REGION_PX, REGION_PX)
        k, line = REGION_PX // SIZE_PX, np.arange(REGION_PX, dtype=np.float32)
        self.x, self.y = np.meshgrid(line, line)
        edge = np.minimum(np.minimum(self.x, self.x[:, ::-1]), np.minimum(self.y, self.y[::-1])) + 0.5
        self.ramp = np.minimum(edge / (k * BORDER_PX), 1.0)
        self.flow_ramp = k * self.ramp
        self.flow_x, self.flow_y, self.mask = (np.empty_like(self.x) for _ in range(3))
        self.small = np.empty((SIZE_PX, SIZE_PX, 3), np.float32)
        self.colour, self.blended = (np.empty((*self.size, 3), np.float32) for _ in range(2))
        self.warped = np.empty((*self.size, 3), np.uint8)

    def simply(self, region: np.ndarray) -> None:
        flow_x, flow_y = (cv2.resize(plane, self.size) * self.flow_ramp for plane in self.outputs["flow"])
        mask = (cv2.resize(self.outputs["mask"], self.size) * self.ramp)[..., None]
        colour = np.ascontiguousarray(self.outputs["colour"][::-1].transpose(1, 2, 0))
        colour = cv2.resize(colour, self.size) * 255.0
        places = self.x + flow_x, self.y + flow_y
        warped = cv2.remap(region, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        blended = warped + mask * (colour - warped)
        region[:] = np.clip(blended + 0.5, 0.0, 255.0).astype(np.uint8)

    def in_place(self, region: np.ndarray) -> None:
        """The same without allocating anything."""
        for plane, start, to in zip(self.outputs["flow"], (self.x, self.y), (self.flow_x, self.flow_y), strict=True):
            cv2.resize(plane, self.size, dst=to)
            np.add(np.multiply(to, self.flow_ramp, out=to), start, out=to)
        cv2.resize(self.outputs["mask"], self.size, dst=self.mask)
        np.multiply(self.mask, self.ramp, out=self.mask)
        np.multiply(self.outputs["colour"][::-1].transpose(1, 2, 0), np.float32(255.0), out=self.small)
        cv2.resize(self.small, self.size, dst=self.colour)
        places = self.flow_x, self.flow_y
        cv2.remap(region, *places, cv2.INTER_LINEAR, dst=self.warped, borderMode=cv2.BORDER_REPLICATE)
        blended = np.subtract(self.colour, self.warped, out=self.blended)
        np.add(np.multiply(blended, self.mask[..., None], out=blended), self.warped, out=blended)
        np.copyto(region, np.clip(np.add(blended, 0.5, out=blended), 0.0, 255.0, out=blended), casting="unsafe")


@pytest.mark.benchmark(group="warp composite 384")
@pytest.mark.parametrize("way", ["simply", "in_place"])
def test_opencv_chain(benchmark, frame, outputs, way):
    image = frame.copy()
    region = image[360 - REGION_PX // 2 :, 640 - REGION_PX // 2 :][:REGION_PX, :REGION_PX]
    benchmark(getattr(OpenCvChain(outputs), way), region)


@pytest.mark.benchmark(group="warp composite 384")
def test_opencv_chain_from_and_to_i420(benchmark, full_hd, outputs):
    """Only the region is converted."""
    y, u, v = full_hd
    top, left, half = 540 - REGION_PX // 2, 960 - REGION_PX // 2, REGION_PX // 2
    joined, chain = np.empty((REGION_PX * 3 // 2, REGION_PX), np.uint8), OpenCvChain(outputs)
    luma = y[top : top + REGION_PX, left : left + REGION_PX]
    chroma = [plane[top // 2 : top // 2 + half, left // 2 : left // 2 + half] for plane in (u, v)]
    region = np.empty((REGION_PX, REGION_PX, 3), np.uint8)

    def run():
        joined[:REGION_PX] = luma
        planes = joined[REGION_PX:].reshape(2, half, half)
        planes[0], planes[1] = chroma
        cv2.cvtColor(joined, cv2.COLOR_YUV2BGR_I420, dst=region)
        chain.in_place(region)
        cv2.cvtColor(region, cv2.COLOR_BGR2YUV_I420, dst=joined)
        luma[:] = joined[:REGION_PX]
        chroma[0][:], chroma[1][:] = planes

    benchmark(run)
