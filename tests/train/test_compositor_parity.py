from __future__ import annotations

import numpy as np
import pytest

from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite

torch = pytest.importorskip("torch", reason="torch is not installed; the training compositor needs it")
compositor = pytest.importorskip("lipforge.train.models.compositor")

SIZE_PX = 96


@pytest.fixture
def outputs() -> dict[str, np.ndarray]:
    """Smooth, lively outputs of a warp network: flows up to several px, also at and across the border."""
    rng = np.random.default_rng(7)
    coarse = rng.normal(size=(6, 13, 13)).astype(np.float32)
    planes = torch.nn.functional.interpolate(torch.from_numpy(coarse)[None], (SIZE_PX, SIZE_PX), mode="bicubic")
    planes = planes[0].numpy()
    return {
        "flow": np.ascontiguousarray(planes[:2] * 5.0),
        "mask": np.ascontiguousarray(np.clip(planes[2], 0.0, 1.0)),
        "colour": np.ascontiguousarray(1.0 / (1.0 + np.exp(-2.0 * planes[3:]))),
    }


def torch_composite(image_rgb, outputs, border_px, factor):
    result = compositor.composite(
        torch.from_numpy(image_rgb.transpose(2, 0, 1).astype(np.float32) / 255.0)[None],
        torch.from_numpy(outputs["flow"])[None],
        torch.from_numpy(outputs["mask"])[None, None],
        torch.from_numpy(outputs["colour"])[None],
        border_px,
        factor,
    )
    return result[0].numpy().transpose(1, 2, 0) * 255.0


@pytest.mark.parametrize("border_px", [6.0, 0.0])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_numba_equals_torch(outputs, factor, border_px):
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 256, (SIZE_PX * factor, SIZE_PX * factor, 3), dtype=np.uint8)
    # x_crop = (x + 0.5) / k - 0.5
    scale, shift = 1.0 / factor, 0.5 / factor - 0.5
    transform = np.array([[scale, 0.0, shift], [0.0, scale, shift]])
    bgr = np.ascontiguousarray(rgb[:, :, ::-1])
    composite(bgr, WarpScratch(), transform, **outputs, spec=WarpSpec(border_px=border_px))
    expected = torch_composite(rgb, outputs, border_px, factor)
    # Rounding alone is 0.5. Displacements that are good for 1/512 px, and torch's float32 coordinates, add a little on
    # white noise, whose neighbours are up to 255 levels apart.
    assert np.abs(bgr[:, :, ::-1].astype(np.float64) - expected).max() <= 0.9
    assert np.abs(bgr.astype(int) - rgb[:, :, ::-1]).max() > 50


def test_small_reference_is_upsampled_first(outputs):
    rng = np.random.default_rng(4)
    small = rng.random((1, 3, SIZE_PX, SIZE_PX), dtype=np.float32)
    planes = [torch.from_numpy(outputs[name])[None] for name in ("flow", "mask", "colour")]
    planes[1] = planes[1][:, None]
    large = torch.nn.functional.interpolate(torch.from_numpy(small), scale_factor=2, mode="bilinear")
    from_small = compositor.composite(torch.from_numpy(small), *planes, 6.0, 2)
    from_large = compositor.composite(large, *planes, 6.0, 2)
    assert from_small.shape == (1, 3, 2 * SIZE_PX, 2 * SIZE_PX)
    assert torch.equal(from_small, from_large)


def test_zero_outputs_keep_the_reference():
    reference = torch.rand(2, 3, 24, 24)
    zeros = torch.zeros(2, 3, 24, 24)
    result = compositor.composite(reference, zeros[:, :2], zeros[:, :1], zeros, 6.0)
    assert torch.allclose(result, reference, atol=1e-5)


def test_gradients_reach_every_output():
    inputs = [torch.rand(1, c, 24, 24, requires_grad=True) for c in (2, 1, 3)]
    compositor.composite(torch.rand(1, 3, 24, 24), *inputs, 6.0, 2).square().mean().backward()
    assert all(float(tensor.grad.abs().sum()) > 0 for tensor in inputs)
