"""What an Ascend NPU asks of a Triton kernel, as far as the source can show it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lipforge.kernels.errors import BackendError
from lipforge.kernels.triton_config import (
    LARGEST_GRID,
    NPU_BUFFER_BYTES,
    config_for,
    cuda_config,
    interpreter_config,
    npu_config,
)

KERNELS = Path(__file__).parents[2] / "kernels"
SOURCES = sorted(KERNELS.glob("*/triton_*.py"))
CONFIGS = [cuda_config(1), cuda_config(132), cuda_config(100_000), npu_config(), interpreter_config()]
FLOAT_BYTES = 4


def attributes(path: Path) -> list[str]:
    """Every dotted name in a file, such as ``tl.program_id``."""
    return [
        ast.unparse(node) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_kernels_keep_to_what_an_npu_can_do(path: Path) -> None:
    tree, text = ast.parse(path.read_text("utf-8")), path.read_text("utf-8")
    names = attributes(path)
    # A one-dimensional grid: program ids of axis 0 alone.
    axes = [
        ast.unparse(call)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and "program" in ast.unparse(call.func)
    ]
    assert set(axes) == {"tl.program_id(0)", "tl.num_programs(0)"}
    assert not {"triton.autotune", "triton.heuristics", "tl.inline_asm_elementwise", "tl.make_tensor_descriptor"} & set(
        names
    )
    assert not {"tl.float64", "tl.flip", "tl.atomic_add"} & set(names)
    # Compile-time parameters come from the config; a number in a kernel's own text would be a size for one chip.
    assert "num_warps" not in text
    assert "num_stages" not in text


def test_all_three_ops_are_looked_at() -> None:
    assert [path.stem for path in SOURCES] == ["triton_crop", "triton_mel", "triton_warp"]


@pytest.mark.parametrize("config", CONFIGS)
def test_grids_and_tiles_are_legal(config) -> None:
    assert 1 <= config.mel_programs <= LARGEST_GRID
    assert 1 <= config.pixel_programs <= LARGEST_GRID
    sides = [config.mel_columns, config.mel_bins, config.mel_samples, config.crop_pixels, config.warp_pixels]
    assert all(side >= 16 and side & (side - 1) == 0 for side in sides)


def test_npu_tiles_fit_half_a_vector_core() -> None:
    """An estimate from the sources: float32 arrays that live at the same time, times their size."""
    config, bands = npu_config(), 128
    columns, bins, samples = config.mel_columns, config.mel_bins, config.mel_samples
    mel = 4 * columns * samples + 2 * samples * bins + 3 * columns * bins + 2 * columns * bands + bins * bands
    crop, warp = 24 * config.crop_pixels, 40 * config.warp_pixels
    assert max(mel, crop, warp) * FLOAT_BYTES <= NPU_BUFFER_BYTES


def test_a_device_without_sizes_is_refused() -> None:
    assert config_for("npu", 0) == npu_config()
    assert config_for("cuda", 132) == cuda_config(132)
    with pytest.raises(BackendError, match="not on 'mps'"):
        config_for("mps", 0)
