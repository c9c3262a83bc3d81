"""Shortcut models: jumps learnt as two half jumps, from steps of the flow up to one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.objectives.distance import Distance, SquaredError
from pushforward.objectives.flow_maps.adaptive import Adaptive
from pushforward.objectives.flow_maps.dyadic import Dyadic
from pushforward.objectives.flow_maps.flow_map import FlowMapObjective
from pushforward.objectives.flow_maps.map_regression import MapRegression
from pushforward.objectives.flow_maps.semigroup import SemigroupTarget

__all__ = ["Shortcut"]


@dataclass(frozen=True)
class Shortcut(FlowMapObjective):
    """Learn jumps of lengths 1, 1/2, 1/4, ... as the two halves of each: `E |u(x_s; s, e) - sg[u(x_s; s, m) + u(x_m; m,
    e)] / 2|^2 / d` with m in the middle, and at most of the rows flow matching for `u(x; t, t)`, from which the
    shortest halves are made. One training serves 1, 2, 4, ... jumps, without a derivative of the network.

    Lengths and rows are those of `times`. Targets are made with an average of the weights of decay `target_decay`,
    `None` for the weights themselves. `clamp` keeps the entries of middle states and targets near zero: the authors
    take 4, for latents.

    Of the improved training (iSM) are: a short average for targets beside the long one of sampling (`trainer.ema`; the
    first authors have 0.999 for both, in 800,000 steps), guidance told to the network (`velocity=Intrinsic()`), weights
    on the details of images (`distance=Wavelet()`), and pairs by `MinibatchOT` on a pool of batches. They are this
    library's reading of its abstract: no code of it is public.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "frans2024one",
            "One Step Diffusion via Shortcut Models",
            "Frans, Kevin and Hafner, Danijar and Levine, Sergey and Abbeel, Pieter",
            2024,
            arxiv="2410.12557",
        ),
        Reference(
            "nguyen2025improved",
            "Improved Training Technique for Shortcut Models",
            "Nguyen, Anh and Nguyen, Viet and Vu, Duc and Dao, Trung and Tran, Chi and Tran, Toan and Tran, Anh",
            2025,
            arxiv="2510.21250",
        ),
    )
    times: Dyadic = field(default_factory=Dyadic)
    weighting: Adaptive = field(default_factory=lambda: Adaptive(0.0))
    distance: Distance = field(default_factory=SquaredError)
    target_decay: float | None = 0.99
    clamp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_decay is not None and not 0 <= self.target_decay < 1:
            raise InputError(f"target_decay lies in [0, 1), got {self.target_decay}")
        if self.clamp is not None and not self.clamp > 0:
            raise InputError(f"clamp must be positive, got {self.clamp}")

    def target_average(self) -> float | None:
        """Return `target_decay`."""
        return self.target_decay

    def at(self, progress: float) -> MapRegression:
        """Return the regression, always the same."""
        rule = SemigroupTarget(self.times.shortest, self.clamp)
        return MapRegression(
            rule, self.velocity, self.times, self.weighting, self.condition_dropout, self.distance, self.average
        )
