"""EDM's preconditioning around any network: the one inside sees and predicts numbers of unit size."""

from __future__ import annotations

from torch import Tensor, nn

from pushforward.conditions import Condition
from pushforward.paths.schedule import Schedule
from pushforward.tensors import bcast

__all__ = ["Preconditioned"]

LOWEST, HIGHEST = 1e-3, 1e3
"""Noise levels beyond these, at the ends of a path, are told to the network as these."""


class Preconditioned(nn.Module):
    """A velocity whose inner `network` F is that of EDM's denoiser `D(x) = c_skip x + c_out F(c_in x, log(s) / 4)` with
    the noise level `s = sigma / alpha`, for data of deviation `data_std`.

    Written as the velocity itself, `v = (sigma sigma' + alpha alpha' data_std^2) / V x + Delta data_std / sqrt(V) F(x /
    sqrt(V))` with `V = sigma^2 + alpha^2 data_std^2` and `Delta = alpha' sigma - alpha sigma'`, nothing is divided by
    sigma: it is finite to the very end of the path, and with `F = 0` it is the velocity of Gaussian data. The data
    prediction that the path makes of v is D. With `EDMWeight(data_std)` the loss is the plain squared error of F.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, data_std: float) -> None:
        super().__init__()
        self.network, self.schedule, self.data_std = network, schedule, data_std

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, *event), (B,) -> (B, *event)`."""
        alpha, sigma, d_alpha, d_sigma = c = self.schedule(t)
        data_variance = self.data_std**2
        variance = sigma.square() + alpha.square() * data_variance
        gaussian = (sigma * d_sigma + alpha * d_alpha * data_variance) / variance
        level = (sigma / alpha).clamp(LOWEST, HIGHEST)
        inner = self.network(x * bcast(variance.rsqrt(), x), level.log() / 4, condition)
        return bcast(gaussian, x) * x + bcast(c.delta * self.data_std * variance.rsqrt(), x) * inner
