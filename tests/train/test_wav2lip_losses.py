from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.train.models.quality_discriminator import QualityDiscriminator
from lipforge.train.models.syncnet import SyncNet
from lipforge.train.wav2lip_losses import (
    GeneratorWeights,
    SyncLoss,
    SyncWeight,
    binary_cross_entropy,
    critic_losses,
    perceptual_loss,
    sync_chances,
)


def small_expert() -> SyncNet:
    torch.manual_seed(0)
    sizes = {"face": [4, 4, 8, 8, 8, 8], "face_repeats": [0] * 5, "audio": [4, 4, 8, 8], "audio_repeats": [0] * 4}
    network = SyncNet(**sizes, embedding=16)
    for module in network.modules():  # statistics that differ from any batch's
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.1)
    return network


def small_critic() -> QualityDiscriminator:
    torch.manual_seed(1)
    return QualityDiscriminator(widths=[4, 4, 8, 8, 8, 8, 8], repeats=[0] * 5)


def mel(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 1, 80, 16) * 8 - 4


def test_cross_entropy_is_torchs_own() -> None:
    chances = torch.rand(50, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 1 - 1e-6)
    truth = (torch.arange(50) % 2).float()
    torch.testing.assert_close(binary_cross_entropy(chances, truth), functional.binary_cross_entropy(chances, truth))
    ones = functional.binary_cross_entropy(chances, torch.ones(50))
    torch.testing.assert_close(binary_cross_entropy(chances, 1.0), ones)


@pytest.mark.parametrize("chance", [0.0, 1.0, 1.0000001, -1e-8])
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_cross_entropy_stays_finite_outside_of_the_range(chance: float, truth: float) -> None:
    chances = torch.tensor([chance], requires_grad=True)
    loss = binary_cross_entropy(chances, truth)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert chances.grad is not None
    assert chances.grad.isfinite().all()


def test_cross_entropy_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = binary_cross_entropy(torch.tensor([0.25], dtype=torch.bfloat16), 1.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.tensor(math.log(4.0)))


def test_cosine_never_leaves_the_range() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = functional.normalize(torch.rand(4096, 512, generator=generator))
    plain = functional.cosine_similarity(vectors, vectors)
    assert plain.max() > 1.0  # the trap that the clamp is for
    assert sync_chances(vectors, vectors).max() <= 1.0
    others = functional.normalize(torch.rand(4096, 512, generator=generator))
    torch.testing.assert_close(sync_chances(vectors, others), functional.cosine_similarity(vectors, others))


def test_sync_loss_is_the_published_one() -> None:
    """In the words of the published trainer: lower half, frames along the channels, BCE of the cosine against 1."""
    expert, sound, clips = small_expert(), mel(), torch.rand(2, 3, 5, 96, 96)
    half = clips[:, :, :, clips.size(3) // 2 :]
    stacked = torch.cat([half[:, :, i] for i in range(5)], dim=1)
    with torch.no_grad():
        a, v = copy.deepcopy(expert).eval()(sound, stacked)
        expected = nn.BCELoss()(functional.cosine_similarity(a, v).unsqueeze(1), torch.ones(2, 1))
        torch.testing.assert_close(SyncLoss(expert)(sound, clips), expected)


def test_expert_is_frozen_and_lets_gradients_through() -> None:
    expert = small_expert().train()
    before = copy.deepcopy(expert.state_dict())
    loss = SyncLoss(expert)
    nn.ModuleList([loss]).train()  # as part of something that trains
    assert not any(module.training for module in expert.modules())
    clips = torch.rand(2, 3, 5, 96, 96, requires_grad=True)
    loss(mel(), clips).backward()
    assert clips.grad is not None
    assert clips.grad[:, :, :, 48:].abs().sum() > 0
    assert clips.grad[:, :, :, :48].abs().sum() == 0
    assert all(p.grad is None for p in expert.parameters())
    after = expert.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)  # running statistics too


def test_an_opinion_of_a_clip_does_not_depend_on_its_neighbours() -> None:
    loss, sound, clips = SyncLoss(small_expert()).train(), mel(3), torch.rand(3, 3, 5, 96, 96)
    with torch.no_grad():
        alone = torch.stack([loss(sound[i : i + 1], clips[i : i + 1]) for i in range(3)]).mean()
        torch.testing.assert_close(loss(sound, clips), alone)


def test_critic_sees_real_and_drawn_but_moves_no_generator() -> None:
    critic = small_critic()
    drawn = torch.rand(1, 3, 2, 96, 96, requires_grad=True)
    parts = critic_losses(critic, torch.rand(1, 3, 2, 96, 96), drawn)
    (parts["critic_real"] + parts["critic_drawn"]).backward()
    assert drawn.grad is None
    assert all(p.grad is not None for p in critic.parameters())
    perceptual_loss(critic, drawn).backward()
    assert drawn.grad is not None
    assert drawn.grad[:, :, :, 48:].abs().sum() > 0


def test_critic_losses_are_the_published_ones() -> None:
    critic, real, drawn = small_critic(), torch.rand(1, 3, 2, 96, 96), torch.rand(1, 3, 2, 96, 96)
    with torch.no_grad():
        parts = critic_losses(critic, real, drawn)
        ones, zeros = torch.ones(2, 1), torch.zeros(2, 1)
        torch.testing.assert_close(parts["critic_real"], functional.binary_cross_entropy(critic(real), ones))
        torch.testing.assert_close(parts["critic_drawn"], functional.binary_cross_entropy(critic(drawn), zeros))
        torch.testing.assert_close(perceptual_loss(critic, drawn), functional.binary_cross_entropy(critic(drawn), ones))


def test_shares_of_the_generator_add_up() -> None:
    picture, sync, adversary = torch.tensor(1.0), torch.tensor(10.0), torch.tensor(100.0)
    parts = GeneratorWeights(0.03, 0.07).mix(picture, sync, adversary)
    torch.testing.assert_close(parts["total"], torch.tensor(0.9 + 0.3 + 7.0))
    torch.testing.assert_close(GeneratorWeights(0.01).mix(picture, sync)["total"], torch.tensor(0.99 + 0.1))
    for sync_share, adversary_share in ((-0.1, 0.0), (0.6, 0.5)):
        with pytest.raises(ConfigError, match="at most 1"):
            GeneratorWeights(sync_share, adversary_share)


def test_sync_weight_switches_once_and_survives_a_resume() -> None:
    weight = SyncWeight(0.03)
    assert weight.value == 0.0
    assert not weight.evaluated(0.75)
    assert weight.evaluated(0.74)
    assert weight.evaluated(2.0)
    assert weight.value == 0.03
    resumed = SyncWeight(0.03)
    resumed.load_state(weight.state())
    assert resumed.value == 0.03
    with pytest.raises(InputError, match="damaged"):
        resumed.load_state({})
    with pytest.raises(ConfigError, match=r"in \[0, 1\]"):
        SyncWeight(1.5)


def test_a_critic_that_is_sure_and_wrong_still_learns() -> None:
    critic, pictures = small_critic(), torch.rand(1, 3, 2, 96, 96)
    assert critic.binary_pred[0].bias is not None
    with torch.no_grad():
        critic.binary_pred[0].bias.fill_(60.0)  # of which the logistic function is 1 in float32
    assert (critic(pictures) == 1.0).all()
    loss = critic_losses(critic, pictures, pictures)["critic_drawn"]
    loss.backward()
    assert float(loss.detach()) == pytest.approx(60.0, rel=0.1)
    assert critic.binary_pred[0].bias.grad is not None
    assert float(critic.binary_pred[0].bias.grad.abs()) == pytest.approx(1.0)
