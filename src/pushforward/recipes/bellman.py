"""Step grids chosen by dynamic programming, and a flow refined to its grid: against uniform steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.contracts import VelocityField
from pushforward.maps import FlowTransport, TrajectoryPairs
from pushforward.measures import ring
from pushforward.objectives import Discrete, SegmentMatching
from pushforward.randomness import seeded
from pushforward.recipes.distances import root_mean_square
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.recipes.flows import line_of_three, ring_flow
from pushforward.solvers import DormandPrince, Explicit, FixedStep, GridRule, StepCosts, Uniform
from pushforward.training import Trainer, fit

__all__ = ["BellmanGrids", "BellmanRefinement"]


@dataclass(frozen=True)
class BellmanGrids(Experiment):
    """Choose grids for the exact flow to three Gaussians on the line, from `trajectories` fine paths of 100 Euler
    steps, and follow `rows` other points.

    Figures for each number of steps: `bellman@N` and `uniform@N`, root mean square distances of Euler's end points from
        the exact ones. `node@4/k` are the inner nodes of the grid of four.
    """

    trajectories: int = 500
    rows: int = 4000
    counts: tuple[int, ...] = (2, 4, 6, 8)

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Nothing is trained."""
        oracle = line_of_three()
        x = torch.randn(self.trajectories, 1, generator=seeded(seed, "trajectories")).double()
        fresh = torch.randn(self.rows, 1, generator=seeded(seed, "rows")).double()
        exact, costs = oracle.flow_map(fresh, 0.0, 1.0), StepCosts.of(oracle, x)
        figures = {}
        for steps in self.counts:
            figures[f"bellman@{steps}"] = _error(oracle, fresh, exact, costs.rule(steps), steps)
            figures[f"uniform@{steps}"] = _error(oracle, fresh, exact, Uniform(), steps)
        nodes = costs.grid(4).nodes[1:-1].tolist()
        return figures | {f"node@4/{k}": node for k, node in enumerate(nodes, start=1)}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["StepCosts", "AffineOracle", "FixedStep"]


def _error(field: VelocityField, x: Tensor, exact: Tensor, grid: GridRule, steps: int) -> float:
    return root_mean_square(FixedStep("euler", steps, grid).solve(field, x).x, exact)


@dataclass(frozen=True)
class BellmanRefinement(Experiment):
    """Train a flow from noise to the ring of eight Gaussians, choose its best grid of four steps, and refine the flow
    to that grid.

    Figures: the root mean square distance, over `rows` fresh points, of four Euler steps from where the trained flow
        itself carries them: on the grid `before` and `after` the refinement (`steps` more steps of training), and
        `uniform` on equal steps, also refined to them by as much training (`uniform after`).
    """

    training: int = 3000
    steps: int = 500
    width: int = 128
    rows: int = 4000

    def run(self, seed: int) -> Figures:
        """Fit the flow, then refine it to either grid."""
        teacher = ring_flow(self.training, self.width, seed)
        x = torch.randn(self.rows, 2, generator=seeded(seed, "rows"))
        truth = teacher.push(x, tolerance=1e-6)
        best = teacher.step_costs(torch.randn(500, 2, generator=seeded(seed, "trajectories"))).rule(4)
        return {
            "before": self._off(teacher, best, x, truth),
            "uniform": self._off(teacher, Explicit((0.0, 0.25, 0.5, 0.75, 1.0)), x, truth),
            "after": self._refined(teacher, best, x, truth, seed),
            "uniform after": self._refined(teacher, Explicit((0.0, 0.25, 0.5, 0.75, 1.0)), x, truth, seed),
        }

    def _refined(self, teacher: FlowTransport, grid: Explicit, x: Tensor, truth: Tensor, seed: int) -> float:
        refined = fit(
            "gaussian", ring(), init=teacher, coupling=TrajectoryPairs(grid, solver=DormandPrince()),
            objective=SegmentMatching(Discrete(1)), solver=FixedStep("euler", grid=grid), seed=seed,
            trainer=Trainer(steps=self.steps, batch_size=256, learning_rate=1e-3),
        )  # fmt: skip
        return root_mean_square(refined.push(x), truth)

    @staticmethod
    def _off(teacher: FlowTransport, grid: Explicit, x: Tensor, truth: Tensor) -> float:
        return root_mean_square(teacher.solve(x, solver=FixedStep("euler", grid=grid)).x.detach(), truth)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["StepCosts", "TrajectoryPairs", "SegmentMatching", "MLP"]
