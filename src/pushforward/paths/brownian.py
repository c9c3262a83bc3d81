"""The Brownian bridge between the ends of a pair: the path of Schroedinger bridges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.paths.blend import Blend, LinearBlend
from pushforward.paths.gamma import BrownianGamma, Gamma
from pushforward.paths.interpolant import Interpolant

__all__ = ["BrownianBridge"]


@dataclass(frozen=True)
class BrownianBridge(Interpolant):
    """The interpolant `x_t = (1 - t) x0 + t x1 + sigma sqrt(t (1 - t)) z`, a Brownian bridge of diffusion sigma.

    `dX = (v + sigma^2 score / 2) dt + sigma dW` has the same marginals as `dX = v dt`; with pairs from the entropic
    plan whose kernel is `exp(-|x0 - x1|^2 / (2 sigma^2))` it is the Schroedinger bridge.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            key="tong2023simulation",
            title='Simulation-free Schr{\\"o}dinger bridges via score and flow matching',
            authors="Alexander Tong and Nikolay Malkin and Kilian Fatras and Lazar Atanackovic and Yanlei Zhang "
            "and Guillaume Huguet and Guy Wolf and Yoshua Bengio",
            year=2023,
            arxiv="2307.03672",
        ),
    )
    blend: Blend = field(default_factory=LinearBlend, init=False, repr=False)
    gamma: Gamma = field(default_factory=BrownianGamma, init=False, repr=False)
    sigma: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", BrownianGamma(self.sigma))
