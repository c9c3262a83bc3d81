"""Policies learned from demonstrations of two ways: how often they succeed, by which way, and how fast they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pushforward.applications import (
    Episode,
    GenerativePolicy,
    TwoRouteExpert,
    chunks,
    roll_out,
    seconds_per_action,
    success_rate,
)
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical
from pushforward.networks import features
from pushforward.objectives import InfoNCEL2
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.training import fit_config

__all__ = ["Policies"]

ENVIRONMENT = "pushforward.applications.two_routes:TwoRouteReach-v0"


@dataclass(frozen=True)
class Policies(Experiment):
    """Train `policies`, options of `fit` over those of `config`, on the same demonstrations of `TwoRouteExpert` in
    `TwoRouteReach`, and try each with the numbers of `steps` that its name stands for there (`{NAME: [1, 10]}`).

    Rows in which a run begins, where the expert chooses its way, count `emphasis` times. Figures: `success NAME@N` in
    `rollouts` runs with fresh seeds, `rarer route NAME@N`, the share among the successes of the way that is taken less,
    and `milliseconds NAME@N` for each action when one run is planned for. `layers` names a layer of some policies'
    networks, whose outputs at t = 0 are held against each other: `crowding NAME`, their `InfoNCEL2`, 0 where all agree.
    """

    config: dict[str, Any]
    policies: dict[str, dict[str, Any]]
    steps: dict[str, list[int]]
    demonstrations: int = 300
    rollouts: int = 200
    window: int = 2
    horizon: int = 4
    emphasis: float = 1.0
    layers: dict[str, str] = field(default_factory=dict)

    def run(self, seed: int) -> Figures:
        """Demonstrate, train and try."""
        shown = self._demonstrated(seed)
        sides = {"source": "gaussian", "target": shown, "seed": seed}
        figures: Figures = {}
        for name, options in self.policies.items():
            flow = fit_config(self.config | options | sides)
            for steps in self.steps[name]:
                policy = GenerativePolicy(flow, self.window, steps=steps)
                figures |= {f"{kind} {name}@{steps}": value for kind, value in self._tried(policy, seed).items()}
            if name in self.layers:
                figures[f"crowding {name}"] = _crowding(flow, self.layers[name], shown)
        return figures

    def _demonstrated(self, seed: int) -> Empirical:
        seeds = range(10_000 * seed, 10_000 * seed + self.demonstrations)
        episodes = roll_out(TwoRouteExpert(), ENVIRONMENT, seeds, generator=seeded(seed, "expert"))
        if success_rate(episodes) < 1:
            raise InputError("the expert failed: its demonstrations would teach that")
        rows = chunks(episodes, window=self.window, horizon=self.horizon)
        weight = torch.where(rows.moments == 0, self.emphasis, 1.0)
        return Empirical(rows.actions, {"observation": rows.observations}, weight)

    def _tried(self, policy: GenerativePolicy, seed: int) -> Figures:
        seeds = range(1_000_000, 1_000_000 + self.rollouts)
        episodes = roll_out(policy, ENVIRONMENT, seeds, generator=seeded(seed, "policy"))
        first = episodes[0].observations[: policy.window]
        return {
            "success": success_rate(episodes),
            "rarer route": _rarer([episode for episode in episodes if episode.success]),
            "milliseconds": 1000 * seconds_per_action(policy, first),
        }

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return ["GenerativePolicy", *class_names(self.config), *class_names(self.policies)]


@torch.no_grad()
def _crowding(flow: FlowTransport, layer: str, shown: Empirical, rows: int = 500) -> float:
    """The dispersion of features at t = 0, for observations of the demonstrations and noise."""
    told = shown.rows(torch.linspace(0, len(shown) - 1, rows).long())
    noise = torch.randn(rows, *flow.event_shape, generator=seeded("noise"))
    with features(flow.field.network, layer) as reading:
        flow.field(noise, torch.zeros(rows), told.condition)
    return float(InfoNCEL2()(reading.features.flatten(1)))


def _rarer(episodes: list[Episode]) -> float:
    """Share of the way that is taken less: above or below the obstacle, by the position nearest to it in x."""
    above = [_passes_above(episode.observations) for episode in episodes]
    share = sum(above) / len(above) if above else 0.0
    return min(share, 1 - share)


def _passes_above(observations: Tensor) -> bool:
    return bool(observations[observations[:, 0].abs().argmin(), 1] > 0)
