from __future__ import annotations

import pytest
import torch

from lipforge.kernels.spec import CropSpec, LipSpec, MouthPart
from lipforge.train.config import Audio2LipsLossConfig, WarpLossConfig
from lipforge.train.losses import Audio2LipsLoss, WarpLoss, facing_points, mouth_importance
from lipforge.train.models.warp import PARTS, WarpNet, WarpOutputs
from lipforge.train.mouth_parts import SEAM_AREA_PX, part_shares

NETWORK = WarpNet()


def still_batch() -> dict[str, torch.Tensor]:
    crop = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    return {
        "reference": crop,
        "target": crop.clone(),
        "flow": torch.zeros(2, 2, 96, 96),
        "visible": torch.ones(2, 1, 96, 96),
        "seam": torch.zeros(2, 1, 96, 96),
        "parts": torch.full((2, 192, 192), int(MouthPart.OUTSIDE), dtype=torch.uint8),
        "reference_parts": torch.full((2, 192, 192), int(MouthPart.OUTSIDE), dtype=torch.uint8),
    }


def outputs(mask: float = 0.0, part: MouthPart = MouthPart.OUTSIDE) -> WarpOutputs:
    """No motion, a mask, mid-grey paint, and all of it one part."""
    parts = torch.full((2, PARTS, 64, 96), -20.0)
    parts[:, part] = 20.0
    logit = torch.full((2, 1, 64, 96), torch.tensor(mask).logit(1e-6).item())
    return WarpOutputs(torch.zeros(2, 2, 64, 96), logit, parts, torch.zeros(2, 3 * PARTS, 32, 48))


def warp_loss(**weights: float) -> WarpLoss:
    return WarpLoss(WarpLossConfig(**weights), CropSpec(), 6.0)


def test_the_right_answer_costs_nothing() -> None:
    parts = warp_loss()(NETWORK, outputs(), still_batch())
    assert parts["total"] < 1e-4


def test_flow_counts_where_the_source_is_visible_only() -> None:
    batch = still_batch()
    batch["flow"][:, 0] = 8.0
    expected = mouth_importance(CropSpec()).mean() / 2  # one unit of 8 px in one of two directions
    torch.testing.assert_close(warp_loss()(NETWORK, outputs(), batch)["flow"], expected)
    batch["visible"].zero_()
    assert warp_loss()(NETWORK, outputs(), batch)["flow"] == 0


def test_mask_is_pulled_towards_what_is_hidden() -> None:
    batch = still_batch()
    batch["visible"].zero_()
    loss = warp_loss()
    assert loss(NETWORK, outputs(0.9), batch)["mask"] < loss(NETWORK, outputs(0.1), batch)["mask"]
    assert torch.isfinite(loss(NETWORK, outputs(0.0), batch)["mask"])


def test_colour_is_judged_where_the_source_is_hidden_however_little_that_is() -> None:
    def colour_error(hidden_px: int, painted: float) -> float:
        batch = still_batch()
        batch["target"].fill_(0.9)
        batch["visible"][:, :, 60 : 60 + hidden_px, 44 : 44 + hidden_px] = 0.0
        said = outputs()
        said.palette.fill_(torch.tensor(painted).logit().item())
        return float(warp_loss(colour=1.0)(NETWORK, said, batch)["colour"])

    assert warp_loss()(NETWORK, outputs(), still_batch())["colour"] == 0, "nothing hidden, nothing to paint"
    assert colour_error(8, 0.9) == pytest.approx(0.0, abs=1e-6)
    assert colour_error(8, 0.4) == pytest.approx(0.5, rel=0.01)
    assert colour_error(24, 0.4) == pytest.approx(colour_error(8, 0.4), rel=0.01)


def test_each_part_learns_its_own_colour_where_it_is() -> None:
    batch = still_batch()
    batch["target"].zero_()
    batch["visible"].zero_()
    batch["target"][:, :, 56:60, 40:56] = 1.0
    batch["parts"][:, 112:120, 80:112] = MouthPart.TEETH
    said = outputs()
    said.palette.fill_(-20.0)
    loss = warp_loss(colour=1.0)
    assert loss(NETWORK, said, batch)["colour"] == pytest.approx(1.0, rel=0.02), "black teeth"
    said.palette[:, 3 * MouthPart.TEETH : 3 * MouthPart.TEETH + 3] = 20.0
    assert loss(NETWORK, said, batch)["colour"] == pytest.approx(0.0, abs=1e-6)


def test_parts_are_told_apart_on_the_labels_own_grid() -> None:
    batch = still_batch()
    shares = part_shares(batch["parts"], 96)
    assert shares.shape == (2, PARTS, 96, 96)
    assert shares[:, MouthPart.OUTSIDE].min() == 1.0
    assert warp_loss()(NETWORK, outputs(), batch)["parts"] < 1e-4
    wrong = warp_loss()(NETWORK, outputs(part=MouthPart.DARK), batch)["parts"]
    assert wrong == pytest.approx(40.0 * WarpLossConfig().parts, rel=0.01)
    batch["parts"][:] = MouthPart.DARK
    assert warp_loss()(NETWORK, outputs(part=MouthPart.DARK), batch)["parts"] < 1e-4


def test_seam_doubles_the_error_on_it() -> None:
    batch = still_batch()
    batch["target"][:, :, 53:56, 40:56] += 1.0
    plain = warp_loss(gradient=0.0)(NETWORK, outputs(), batch)["pixel"]
    batch["seam"][:, :, 53:56, 40:56] = 1.0
    torch.testing.assert_close(warp_loss(gradient=0.0)(NETWORK, outputs(), batch)["pixel"], 2 * plain)
    torch.testing.assert_close(warp_loss(gradient=0.0, seam=0.0)(NETWORK, outputs(), batch)["pixel"], plain)


def test_a_mouth_that_stays_open_by_a_slit_is_a_whole_error() -> None:
    def left(said: WarpOutputs, wanted_rows: int = 0) -> float:
        """Of a mouth 20 px wide and 6 high."""
        batch = still_batch()
        batch["reference_parts"][:, 112:124, 80:120] = MouthPart.DARK
        batch["parts"][:, 112 : 112 + 2 * wanted_rows, 80:120] = MouthPart.DARK
        return float(warp_loss(opening=2.0)(NETWORK, said, batch)["opening"])

    assert left(outputs(), wanted_rows=6) < 1e-5, "it stays as it is"
    whole = 20.0 * 6.0
    assert left(outputs()) == pytest.approx(2.0 * whole / (whole + SEAM_AREA_PX), rel=1e-4)
    assert left(outputs(mask=1.0)) < 0.01, "painted over with skin"
    assert left(outputs(mask=1.0, part=MouthPart.DARK)) > left(outputs()), "with the dark, all over"
    shutting = outputs()
    shutting.flow[:, 1, 24:28] = -8.0  # rows 56 to 59 of the crop show what is above the mouth
    slit = left(shutting)
    assert 0 < slit == pytest.approx(2.0 * 20.0 * 2.0 / (whole + SEAM_AREA_PX), rel=1e-4), "two rows stay open"


def test_an_opening_that_is_wrong_pulls_the_flow() -> None:
    batch, said = still_batch(), outputs()
    batch["reference_parts"][:, 112:124, 80:120] = MouthPart.DARK
    said.flow[:, 1, 25] = -1.5  # row 57 shows what is half way between rows 55, lip, and 56, the mouth
    said.flow.requires_grad_()
    warp_loss(opening=1.0, flow=0.0, pixel=0.0, gradient=0.0, smoothness=0.0)(NETWORK, said, batch)[
        "opening"
    ].backward()
    assert said.flow.grad is not None
    assert said.flow.grad[:, 1, 25, 42:58].min() > 0, "further up, away from the opening"


def test_weights_scale_their_terms() -> None:
    batch = still_batch()
    batch["flow"] += 1.0
    batch["target"] = 1.0 - batch["target"]
    one, other = warp_loss()(NETWORK, outputs(), batch), warp_loss(pixel=3.0, flow=0.0)(NETWORK, outputs(), batch)
    torch.testing.assert_close(other["pixel"], 3 * one["pixel"])
    assert other["flow"] == 0
    torch.testing.assert_close(one["total"], sum(value for name, value in one.items() if name != "total"))


def test_facing_points_stand_above_each_other(mouth: torch.Tensor) -> None:
    upper, lower = facing_points(LipSpec())
    assert len(upper) == 9
    torch.testing.assert_close(mouth[upper, 0], mouth[lower, 0])
    assert (mouth[lower, 1] > mouth[upper, 1]).all()


@pytest.fixture
def mouth() -> torch.Tensor:
    """An open mouth in LipSpec order, float32 (N, 2)."""
    angle = 2 * torch.pi * torch.arange(20) / 20
    ring = torch.stack([-torch.cos(angle), -torch.sin(angle)], 1)
    return torch.cat([2 * ring, ring])


def audio_loss(**weights: float) -> Audio2LipsLoss:
    return Audio2LipsLoss(Audio2LipsLossConfig(**weights), LipSpec())


def test_gap_is_the_opening(mouth: torch.Tensor) -> None:
    displacement = torch.zeros(1, 40, 3)
    displacement[0, 21:30, 1] = -1.0
    displacement[0, 31:40, 1] = 2.0
    torch.testing.assert_close(audio_loss().gaps(displacement), torch.full((1, 9), 3.0))


def test_missed_closure_costs_double() -> None:
    error = torch.zeros(1, 2, 40, 3)
    error[..., 1] = 0.1
    shut, wide = torch.zeros(1, 2, 40, 3), torch.zeros(1, 2, 40, 3)
    wide[:, :, 31:40, 1] = 9.0
    loss = audio_loss()
    torch.testing.assert_close(loss(shut + error, shut)["point"], 2 * loss(wide + error, wide)["point"])


def test_velocity_sees_jitter_only() -> None:
    truth = torch.randn(3, 2, 40, 3, generator=torch.Generator().manual_seed(0))
    assert audio_loss()(truth + 1.0, truth)["velocity"] < 1e-9
    jitter = truth.clone()
    jitter[:, 1] += 1.0
    assert audio_loss()(jitter, truth)["velocity"] > 0.1
