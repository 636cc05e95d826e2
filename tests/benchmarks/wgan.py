"""Feed-forward WGAN with gradient penalty: the layers of the contest of GANs, five steps of the critic for one of G."""

import torch
from torch import Tensor

from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.gan import BATCH, LATENT, LR, against_textbook, discriminator, generator
from tests.benchmarks.vae import loader_of, timed

CRITIC_STEPS, PENALTY = 5, 10.0


def contest(options: Options) -> Contest:
    return against_textbook("wgan", f"feed-forward WGAN-GP on MNIST, batches of {BATCH}", textbook, options)


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    g, f = generator(), discriminator()
    optimizer_g = torch.optim.Adam(g.parameters(), lr=LR, betas=(0.0, 0.9))
    optimizer_f = torch.optim.Adam(f.parameters(), lr=LR, betas=(0.0, 0.9))
    steps = 0

    def step(x: Tensor) -> float:
        nonlocal steps
        steps += 1
        x = 2 * x - 1
        optimizer_f.zero_grad()
        x_g = g(torch.randn(len(x), LATENT))
        u = torch.rand(len(x), 1, 1, 1)
        between = (u * x + (1 - u) * x_g).requires_grad_(True)
        score = f(between)
        (gradient,) = torch.autograd.grad(
            score, between, torch.ones_like(score), create_graph=True, retain_graph=True, only_inputs=True
        )
        penalty = ((gradient.view(len(x), -1).norm(2, dim=1) - 1) ** 2).mean()
        loss = f(x_g).mean() - f(x).mean() + PENALTY * penalty
        loss.backward()
        optimizer_f.step()
        total = float(loss.item())
        optimizer_g.zero_grad()
        if steps % CRITIC_STEPS == 0:
            loss_g = -f(g(torch.randn(len(x), LATENT))).mean()
            loss_g.backward()
            optimizer_g.step()
            total += float(loss_g.item())
        return total

    return {"textbook": timed(step, loader_of(root, images, BATCH, workers))}
