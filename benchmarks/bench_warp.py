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


@pytest.mark.benchmark(group="warp composite 384")
@pytest.mark.parametrize("degrees", [0.0, 8.0])
def test_lipforge(benchmark, frame, make_face_transform, outputs, degrees):
    image, scratch = frame.copy(), WarpScratch()
    transform = make_face_transform(REGION_PX, SIZE_PX, degrees)
    benchmark(composite, image, scratch, transform, **outputs, spec=WarpSpec(BORDER_PX))


@pytest.mark.benchmark(group="warp composite 384")
def test_lipforge_i420(benchmark, i420_planes, make_face_transform, outputs):
    scratch, transform = WarpScratch(), make_face_transform(REGION_PX, SIZE_PX, 8.0)
    benchmark(composite_i420, I420Frame(*i420_planes), scratch, transform, **outputs, spec=WarpSpec(BORDER_PX))


@pytest.mark.benchmark(group="warp composite 384")
def test_lipforge_nv12(benchmark, i420_planes, make_face_transform, outputs):
    y, u, v = i420_planes
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


@pytest.mark.benchmark(group="warp composite 384")
def test_opencv_chain(benchmark, frame, outputs):
    """Only for an upright face: with a rotation the chain needs two more warps."""
    image, k = frame.copy(), REGION_PX // SIZE_PX
    region = image[360 - REGION_PX // 2 :, 640 - REGION_PX // 2 :][:REGION_PX, :REGION_PX]
    x, y = np.meshgrid(np.arange(REGION_PX, dtype=np.float32), np.arange(REGION_PX, dtype=np.float32))
    edge = np.minimum(np.minimum(x, x[:, ::-1]), np.minimum(y, y[::-1])) + 0.5
    ramp = np.minimum(edge / (k * BORDER_PX), 1.0)
    size = (REGION_PX, REGION_PX)

    def chain():
        flow_x, flow_y = (cv2.resize(plane, size) * (k * ramp) for plane in outputs["flow"])
        mask = (cv2.resize(outputs["mask"], size) * ramp)[..., None]
        colour = cv2.resize(np.ascontiguousarray(outputs["colour"][::-1].transpose(1, 2, 0)), size) * 255.0
        warped = cv2.remap(region, x + flow_x, y + flow_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        blended = warped + mask * (colour - warped)
        region[:] = np.clip(blended + 0.5, 0.0, 255.0).astype(np.uint8)

    benchmark(chain)
