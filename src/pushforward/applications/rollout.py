"""Roll-outs: a policy in a simulated environment (extra `control`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.applications.episode import Episode
from pushforward.applications.policy import ActionPolicy
from pushforward.errors import optional_import

__all__ = ["roll_out", "seconds_per_action", "success_rate"]


def roll_out(
    policy: ActionPolicy, environment: str, seeds: Sequence[int], *, generator: torch.Generator | None = None
) -> list[Episode]:
    """Let a policy act in one environment for each of the seeds with which they are reset, until all have ended.

    `environment` is the name of one of gymnasium's, with observations and actions that are vectors, or `module:NAME`
    for one that a module registers on import. Runs go on together, and all that are not over are planned for in one
    call. Success is what the last step says under `is_success`. Actions are clipped to the allowed ones. Raises
    `MissingExtra` without gymnasium.
    """
    runs = [_Run(_make(environment), seed) for seed in seeds]
    while going := [run for run in runs if not run.over]:
        windows = torch.stack([run.window(policy.window) for run in going])
        for run, actions in zip(going, policy.plan(windows, generator=generator), strict=True):
            run.carry_out(actions)
    return [run.episode() for run in runs]


def success_rate(episodes: Sequence[Episode]) -> float:
    """Return the fraction of the episodes that ended in success."""
    return sum(episode.success for episode in episodes) / len(episodes)


def seconds_per_action(policy: ActionPolicy, observations: Tensor, *, calls: int = 200) -> float:
    """Return the median time of planning for one run that saw `observations: (window, d)`, over the number of actions
    planned.
    """
    taken, planned = [], 1
    for _ in range(calls):
        started = time.perf_counter()
        planned = policy.plan(observations[None]).shape[1]
        taken.append(time.perf_counter() - started)
    return median(taken) / planned


def _make(environment: str) -> Any:
    gymnasium = optional_import("gymnasium", "control", "a simulated environment")
    return gymnasium.make(environment)


@dataclass
class _Run:
    """An environment under way, and what was seen and done in it so far."""

    environment: Any
    seed: int
    over: bool = False
    success: bool = False
    reward: float = 0.0
    seen: list[Tensor] = field(default_factory=list)
    done: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._see(self.environment.reset(seed=self.seed)[0])

    def window(self, length: int) -> Tensor:
        """The last observations, the first repeated where there are too few: `(length, d)`."""
        return torch.stack([self.seen[max(k, 0)] for k in range(len(self.seen) - length, len(self.seen))])

    def carry_out(self, actions: Tensor) -> None:
        """Take these actions, `(k, a)`, one after another, unless the run ends before."""
        space = self.environment.action_space
        for action in actions.cpu().numpy():
            taken = np.clip(action, space.low, space.high).astype(space.dtype)
            observation, reward, terminated, truncated, info = self.environment.step(taken)
            self.done.append(torch.from_numpy(taken))
            self._see(observation)
            self.reward += float(reward)
            if terminated or truncated:
                self.over, self.success = True, bool(info.get("is_success", False))
                self.environment.close()
                return

    def episode(self) -> Episode:
        """Return the run as it was."""
        return Episode(torch.stack(self.seen), torch.stack(self.done), self.reward, self.success)

    def _see(self, observation: np.ndarray) -> None:
        self.seen.append(torch.as_tensor(observation, dtype=torch.get_default_dtype()))
