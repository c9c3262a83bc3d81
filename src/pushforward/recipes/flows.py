"""The flows that several recipes follow or go on from."""

from __future__ import annotations

import torch

from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, ring
from pushforward.networks import MLP
from pushforward.paths import CondOT, Schedule
from pushforward.training import Trainer, fit

__all__ = ["line_of_three", "ring_flow"]


def line_of_three(schedule: Schedule | None = None) -> AffineOracle:
    """Return the exact flow from N(0, 1) to `0.5 N(-2, 0.25^2) + 0.3 N(0.5, 0.4^2) + 0.2 N(3, 0.3^2)`, on straight
    paths unless told otherwise, in double precision.
    """
    means, deviations = torch.tensor([[-2.0], [0.5], [3.0]]).double(), torch.tensor([0.25, 0.4, 0.3]).double()
    target = GaussianMixture(means, deviations.square()[:, None, None], torch.tensor([0.5, 0.3, 0.2]).double())
    return AffineOracle(Gaussian(torch.zeros(1).double()), target, schedule or CondOT())


def ring_flow(steps: int, width: int, seed: int) -> FlowTransport:
    """Return a flow from noise to the ring of eight Gaussians, trained for `steps` steps in batches of 256."""
    trainer = Trainer(steps=steps, batch_size=256, learning_rate=2e-3)
    return fit("gaussian", ring(), network=MLP(width=width), normalise="none", trainer=trainer, seed=seed)
