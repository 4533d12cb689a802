from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from imageclef.learners.faae import FAAE, Levels, PixelNorm
from imageclef.learners.settings import FAAESettings
from imageclef.learners.steps import Batch
from tests.learners.drawing import blobs

TINY = {"image_size": 20, "crop_size": 16, "width": 4, "latent_dim": 8, "epochs": 3, "batch_size": 8,
        "generator_width": 4, "critic_width": 4, "learning_rate": 3e-3}  # fmt: skip
LOWERED = "angle"
SETTINGS = FAAESettings(**{**TINY, "image_size": 16, "dropout": 0.0})


def drawn() -> FAAE:
    torch.manual_seed(0)
    return FAAE(SETTINGS).train()


def levels(seed: int) -> Levels:
    generator = torch.Generator().manual_seed(seed)
    fine = torch.rand(6, 3, 16, 16, generator=generator) * 2 - 1
    return Levels(F.avg_pool2d(fine, 4), fine)


def test_the_gradient_penalty_equals_one_by_differences_along_the_gradient() -> None:
    """||dD/dx|| is the critic's slope along its own gradient, which two evaluations give."""
    learner = drawn().double().eval()
    real, fake = (Levels(*(level.double() for level in levels(seed))) for seed in (0, 1))
    torch.manual_seed(3)
    penalty = learner._gradient_penalty(real, fake)
    torch.manual_seed(3)
    mix = torch.rand(6, 1, 1, 1, dtype=torch.float64)
    between = [(f + mix * (r - f)).requires_grad_() for r, f in zip(real, fake, strict=True)]
    gradients = torch.autograd.grad(learner.critic(Levels(*between)).sum(), between)
    norms = sum(gradient.square().flatten(1).sum(1) for gradient in gradients).sqrt()
    expected = []
    for row, norm in enumerate(norms):
        step = 1e-6 / norm
        ahead, behind = (
            Levels(*(torch.where(torch.arange(6)[:, None, None, None] == row, x + sign * step * g, x)
                     for x, g in zip(between, gradients, strict=True)))
            for sign in (1, -1)
        )  # fmt: skip
        slope = (learner.critic(ahead).sum() - learner.critic(behind).sum()) / 2e-6
        expected.append((slope - 1) ** 2)
    torch.testing.assert_close(penalty, torch.stack(expected).mean(), rtol=1e-4, atol=1e-8)


def test_the_encoder_learns_from_generated_images_only() -> None:
    """Another batch of real images with the critic held still leaves the encoder's update the same."""

    def encoder_after(seed: int) -> torch.Tensor:
        learner = drawn()
        optimizers = learner.optimizers()
        for name in ("critic", "generator"):
            for group in optimizers[name].param_groups:
                group["lr"] = 0.0
        torch.manual_seed(5)
        learner.step(Batch(blobs(8, 16, seed)), optimizers)
        return learner.encoder.linear.weight.detach().clone()

    assert torch.equal(encoder_after(0), encoder_after(1))


def test_each_update_moves_its_own_network_only() -> None:
    for still in ("critic", "generator", "encoder"):
        learner = drawn()
        before = {name: tensor.clone() for name, tensor in learner.named_parameters()}
        optimizers = learner.optimizers()
        for group in optimizers[still].param_groups:
            group["lr"] = 0.0
        learner.step(Batch(blobs(8, 16)), optimizers)
        moved = {
            name.split(".")[0]
            for name, tensor in learner.named_parameters()
            if not torch.equal(tensor, before[name])
        }
        assert moved == {"critic", "generator", "encoder"} - {still}


def test_the_published_sizes() -> None:
    paper = FAAE(FAAESettings())
    generated = paper.eval().generator(paper.sample(2))
    assert generated.coarse.shape == (2, 3, 16, 16)
    assert generated.fine.shape == (2, 3, 64, 64)
    kernels = [layer for layer in paper.critic.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in kernels] == [
        (3, 32), (32, 64), (64, 64), (64, 128), (3, 64), (192, 128), (128, 256), (256, 256), (256, 512),
    ]  # fmt: skip


def test_a_lazy_penalty_is_rarer_and_heavier() -> None:
    real, fake = levels(0), levels(1)

    def criticisms(every: int) -> list[float]:
        torch.manual_seed(0)
        learner = FAAE(SETTINGS.model_copy(update={"penalty_every": every})).eval()
        found = []
        for _ in range(4):
            torch.manual_seed(9)
            found.append(learner._criticism(real, fake).item())
        return found

    eager, lazy = criticisms(1), criticisms(2)
    assert lazy[0] == lazy[2] > eager[0] > lazy[1] == lazy[3]
    assert lazy[0] - lazy[1] == pytest.approx(2 * (eager[0] - lazy[1]), rel=1e-4)


def test_the_critic_learns_to_score_real_images_higher() -> None:
    """Without penalty and drift its loss is D(G(z)) - D(x), and its updates raise D(x) - D(G(z))."""
    settings = SETTINGS.model_copy(update={"gradient_penalty": 0.0, "drift": 0.0})
    torch.manual_seed(0)
    learner = FAAE(settings).eval()
    real, fake = levels(0), levels(1)
    optimizer = learner.optimizers()["critic"]
    gap = (learner.critic(real) - learner.critic(fake)).mean()
    torch.testing.assert_close(learner._criticism(real, fake), -gap)
    for _ in range(10):
        learner.update(optimizer, learner._criticism(real, fake))
    assert (learner.critic(real) - learner.critic(fake)).mean() > gap + 0.01


def test_the_drift_is_the_squared_score_of_real_images() -> None:
    learner = FAAE(SETTINGS.model_copy(update={"gradient_penalty": 0.0, "drift": 5.0})).eval()
    real, fake = levels(0), levels(1)
    scores = learner.critic(real)
    expected = (learner.critic(fake) - scores).mean() + 5 * (scores**2).mean()
    torch.testing.assert_close(learner._criticism(real, fake), expected)


def test_the_generator_learns_to_be_scored_higher() -> None:
    """Its loss is -D(G(z)), and with the critic held still its updates lower it."""
    learner, plain = drawn(), drawn()
    optimizers = learner.optimizers()
    optimizers["critic"].param_groups[0]["lr"] = 0.0
    losses = []
    for _ in range(30):
        torch.manual_seed(2)
        losses.append(learner.step(Batch(blobs(8, 16)), optimizers)["generator"])
    torch.manual_seed(2)
    scores = plain.critic(plain.generator(plain.sample(8)))
    torch.testing.assert_close(losses[0], -scores.mean())
    assert losses[-1] < losses[0] - 0.05


def test_each_network_has_its_own_rate() -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e-3, "critic_learning_rate": 2e-3})
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in FAAE(settings).optimizers().items()}
    assert rates == {"critic": 2e-3, "generator": 1e-3, "encoder": 1e-3}


def test_the_inversion_loss_is_the_squared_error_and_the_weighted_angle() -> None:
    learner = FAAE(SETTINGS.model_copy(update={"cosine": 0.5})).train()
    optimizers = learner.optimizers()
    for optimizer in optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0
    torch.manual_seed(4)
    losses = learner.step(Batch(blobs(8, 16)), optimizers)
    torch.manual_seed(4)
    z = learner.sample(8)
    found = learner.encoder(learner.generator(z).fine)
    cosines = (found * z).sum(1) / found.norm(dim=1) / z.norm(dim=1)
    torch.testing.assert_close(losses["angle"], 1 - cosines.mean())
    expected = ((found - z) ** 2).mean() + 0.5 * (1 - cosines.mean())
    torch.testing.assert_close(losses["encoder"], expected)


def test_pixel_norm_brings_the_channels_of_a_pixel_to_mean_square_one() -> None:
    activations = torch.randn(2, 5, 3, 3) * 7
    torch.testing.assert_close(PixelNorm()(activations).square().mean(1), torch.ones(2, 3, 3))
