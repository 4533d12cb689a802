from __future__ import annotations

import torch
from torch.nn import functional as F

from imageclef.learners.aae import AAE
from imageclef.learners.pixel_range import to_unit_range
from imageclef.learners.settings import AAESettings
from imageclef.learners.steps import Batch
from tests.learners.drawing import blobs

TINY = {"image_size": 20, "crop_size": 16, "width": 4, "latent_dim": 8, "epochs": 3, "batch_size": 8,
        "discriminator_width": 16, "learning_rate": 1e-3}  # fmt: skip
LOWERED = "reconstruction"
SETTINGS = AAESettings(**{**TINY, "image_size": 16, "dropout": 0.0, "drift": 10.0})


def drawn() -> AAE:
    torch.manual_seed(0)
    return AAE(SETTINGS).train()


def test_the_losses_are_those_of_the_paper() -> None:
    """A second version, written out: the reconstruction loss, then the other two after its update."""
    images = blobs(8, 16)
    x = to_unit_range(images)

    taken, plain = drawn(), drawn()
    torch.manual_seed(1)
    losses = taken.step(Batch(images), taken.optimizers())

    torch.manual_seed(1)
    z = F.normalize(torch.randn(8, SETTINGS.latent_dim), dim=1)
    first = ((plain.decoder(plain.encoder(x)) - x) ** 2).mean()
    torch.testing.assert_close(losses["reconstruction"], first)

    parameters = [*plain.encoder.parameters(), *plain.decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=SETTINGS.learning_rate, betas=SETTINGS.betas, amsgrad=True)
    first.backward()
    optimizer.step()
    codes = plain.encoder(x).detach()
    real, fake = torch.sigmoid(plain.discriminator(z)), torch.sigmoid(plain.discriminator(codes))
    both = torch.cat([torch.logit(real), torch.logit(fake)])
    second = -torch.log(real).mean() - torch.log(1 - fake).mean() + SETTINGS.drift * both.var()
    torch.testing.assert_close(losses["discriminator"], second, rtol=2e-3, atol=0)


def test_each_update_moves_its_own_networks_only() -> None:
    learner = drawn()
    before = {name: tensor.clone() for name, tensor in learner.named_parameters()}
    optimizers = learner.optimizers()
    for name in ("discriminator", "regularisation"):
        for group in optimizers[name].param_groups:
            group["lr"] = 0.0
    learner.step(Batch(blobs(8, 16)), optimizers)
    moved = {
        name.split(".")[0]
        for name, tensor in learner.named_parameters()
        if not torch.equal(tensor, before[name])
    }
    assert moved == {"encoder", "decoder"}


def test_the_published_sizes() -> None:
    paper = AAE(AAESettings())
    widths = [
        [layer.out_channels for layer in block if hasattr(layer, "out_channels")]
        for block in paper.encoder.blocks
    ]
    assert widths == [[64, 128], [128, 256], [256, 512], [512, 512]]
    assert paper.n_features == 1024
    assert paper.encoder.linear.bias is None
    codes = paper.eval().transform(torch.zeros(1, 3, 72, 72, dtype=torch.uint8))
    assert paper.decode(codes).shape == (1, 3, 64, 64)


def test_the_encoder_learns_to_pass_for_the_prior() -> None:
    """With the discriminator held still, the third update alone lowers its loss."""
    learner = drawn()
    optimizers = learner.optimizers()
    for name in ("reconstruction", "discriminator"):
        for group in optimizers[name].param_groups:
            group["lr"] = 0.0
    losses = [learner.step(Batch(blobs(8, 16)), optimizers)["regularisation"].item() for _ in range(30)]
    assert losses[-1] < losses[0] - 0.01


def test_the_regularisation_makes_codes_pass_for_the_prior() -> None:
    """The third loss is -log D(E(x)), and its update raises what the discriminator says of the codes."""
    learner, images = drawn(), blobs(8, 16)
    optimizers = learner.optimizers()
    for name in ("reconstruction", "discriminator"):
        optimizers[name].param_groups[0]["lr"] = 0.0
    with torch.no_grad():
        before = learner.discriminator(learner.encoder(to_unit_range(images)))
    loss = learner.step(Batch(images), optimizers)["regularisation"]
    torch.testing.assert_close(loss, -torch.log(torch.sigmoid(before)).mean())
    for _ in range(20):
        learner.step(Batch(images), optimizers)
    after = learner.discriminator(learner.encoder(to_unit_range(images)))
    assert after.mean() > before.mean() + 0.01


def test_each_update_has_its_own_rate() -> None:
    rates = {"learning_rate": 3e-3, "regularisation_rate": 7e-4, "betas": (0.4, 0.9)}
    groups = {
        name: optimizer.param_groups[0]
        for name, optimizer in AAE(SETTINGS.model_copy(update=rates)).optimizers().items()
    }
    assert {name: group["lr"] for name, group in groups.items()} == {
        "reconstruction": 3e-3,
        "discriminator": 3e-3,
        "regularisation": 7e-4,
    }
    assert {group["betas"] for group in groups.values()} == {(0.4, 0.9)}
