"""A control task with two right answers: reach a goal behind an obstacle, round its upper or its lower side."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

__all__ = ["TwoRouteReach"]

SPREAD, RADIUS, NEAR = 0.2, 0.3, 0.1


class TwoRouteReach(gymnasium.Env[np.ndarray, np.ndarray]):
    """A point at (-1, y) moves by at most `reach` a step, and should come within 0.1 of a goal at (1, y') without
    touching the disc of radius 0.3 about the origin; y, y' ~ U(-0.2, 0.2).

    Observed are the position, the last displacement over `reach`, and the goal: `(6,)`. An action is a displacement
    `(2,)`, shortened to `reach` where it is longer. A run ends at the goal (reward 1, `is_success`) and at the disc.
    Importing this module registers it as `TwoRouteReach-v0`, of 48 steps at most.
    """

    def __init__(self, reach: float = 0.12) -> None:
        self.reach = reach
        self.observation_space = Box(-np.inf, np.inf, (6,), np.float32)
        self.action_space = Box(-reach, reach, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Draw a start and a goal."""
        super().reset(seed=seed)
        start, goal = self.np_random.uniform(-SPREAD, SPREAD, 2)
        self.position, self.moved = np.array([-1.0, start]), np.zeros(2)
        self.goal = np.array([1.0, goal])
        return self._observed(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Move, unless the way leads through the disc."""
        length = float(np.linalg.norm(action))
        self.moved = np.asarray(action, float) * min(1.0, self.reach / length if length else 1.0)
        before, self.position = self.position, self.position + self.moved
        touched = _distance_to_origin(before, self.position) < RADIUS
        reached = not touched and float(np.linalg.norm(self.position - self.goal)) < NEAR
        return self._observed(), float(reached), touched or reached, False, {"is_success": reached}

    def _observed(self) -> np.ndarray:
        return np.concatenate([self.position, self.moved / self.reach, self.goal]).astype(np.float32)


def _distance_to_origin(start: np.ndarray, end: np.ndarray) -> float:
    """Distance of the segment between two points from the origin."""
    way = end - start
    share = np.clip(-(start @ way) / max(way @ way, 1e-12), 0.0, 1.0)
    return float(np.linalg.norm(start + share * way))


if "TwoRouteReach-v0" not in gymnasium.registry:
    gymnasium.register("TwoRouteReach-v0", f"{__name__}:TwoRouteReach", max_episode_steps=48)
