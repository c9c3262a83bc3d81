"""Transport with at most k sources for each target, between the exact and the quadratic plan."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning
from pushforward.ot import Plan, solve
from pushforward.ot.problem import Problem, pose
from pushforward.ot.regularization import KSparse, Quadratic, Regularization
from pushforward.ot.regularized.plan import RegularizedPlan
from pushforward.ot.regularized.repair import repair
from pushforward.ot.regularized.solve import regularized_transport
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures

__all__ = ["Cardinalities"]


@dataclass(frozen=True)
class Cardinalities(Experiment):
    """Solve one small problem for each bound k on the sources of a target: costs `(x_i - y_j + noise)^2` of points on a
    line, Dirichlet weights.

    Figures: `row residual@k`, the L1 error of the row sums; `excess`, by how many non-zeros any column exceeds k;
        `rise`, by how much the dual value rises with k at most; for `k >= enough` the `quadratic difference` of the
        plans from the quadratic one, and the `dual difference` of where climbing the semi-dual and the full dual ends;
        `below exact`, by how much the quadratic plan is cheaper than the exact one; for a `heavy` penalty the costs
        relative to the exact one of the quadratic plan (`quadratic cost`) and of the repaired k-sparse plan (`repaired
        cost`, with its `repaired error`), the largest number of non-zeros in a column of the quadratic plan and the
        smallest in the entropic plan of the same cost.
    """

    points: int = 20
    gamma: float = 0.1
    heavy: float = 10.0
    cardinalities: tuple[int, ...] = (1, 2, 3, 5, 10, 20)
    enough: int = 5

    def run(self, seed: int) -> Figures:
        """Draw the problem and solve it with every bound."""
        problem = self._problem(seed)
        exact = float(solve(cost=problem.dense(), a=problem.a, b=problem.b, method="exact").value)
        free = _solved(problem, Quadratic(self.gamma))
        plans = {k: _solved(problem, KSparse(k, self.gamma)) for k in self.cardinalities}
        full = {k: _solved(problem, KSparse(k, self.gamma, "full")) for k in self.cardinalities}
        large = [k for k in self.cardinalities if k >= self.enough]
        duals = torch.tensor([plans[k].dual_value for k in sorted(plans)], dtype=torch.float64)
        return {
            **{f"row residual@{k}": plan.row_residual for k, plan in plans.items()},
            "excess": float(max(_most(plan) - k for each in (plans, full) for k, plan in each.items())),
            "rise": float(duals.diff().max()),
            "quadratic difference": max(_difference(plans[k], free) for k in large),
            "dual difference": max(abs(plans[k].dual_value - full[k].dual_value) for k in large),
            "below exact": exact - float(free.value),
            **self._heavy(problem, exact),
        }

    def _problem(self, seed: int) -> Problem:
        generator, n = seeded(seed, "line"), self.points
        x, y = (torch.randn(n, generator=generator, dtype=torch.float64).sort().values for _ in range(2))
        noise = 0.3 * torch.randn(n, n, generator=generator, dtype=torch.float64)
        a, b = (_dirichlet(n, generator) for _ in range(2))
        return pose(None, None, a, b, (x[:, None] - y + noise).square())

    def _heavy(self, problem: Problem, exact: float) -> Figures:
        """Compare with the entropic plan that costs as much as the quadratic one."""
        free = _solved(problem, Quadratic(self.heavy))
        whole = repair(_solved(problem, KSparse(self.enough, self.heavy)))

        def entropic(epsilon: float) -> Plan:
            return solve(cost=problem.dense(), a=problem.a, b=problem.b, epsilon=epsilon, tolerance=1e-8)

        return {
            "quadratic cost": float(free.value) / exact,
            "repaired cost": float(whole.value) / exact,
            "repaired error": whole.marginal_error,
            "quadratic non-zeros": float(_most(free)),
            "entropic non-zeros": float((_of_cost(entropic, float(free.value)).to_dense() > 0).sum(0).min()),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["KSparse", "Quadratic", "solve"]


def _solved(problem: Problem, penalty: Regularization) -> RegularizedPlan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # with few non-zeros; the residual is a figure
        return regularized_transport(problem, penalty, 1e-8, 5000)


def _most(plan: Plan) -> int:
    return int((plan.to_dense() > 0).sum(0).max())


def _difference(left: Plan, right: Plan) -> float:
    return float((left.to_dense() - right.to_dense()).abs().max())


def _dirichlet(n: int, generator: torch.Generator) -> Tensor:
    """Draw weights from Dirichlet(5, ..., 5): sums of five exponentials each, normalised."""
    gamma = -torch.rand(n, 5, generator=generator, dtype=torch.float64).log().sum(1)
    return gamma / gamma.sum()


def _of_cost(entropic: Callable[[float], Plan], cost: float) -> Plan:
    """Return the entropic plan of this cost, by bisection of log epsilon."""
    low, high = 1e-3 * cost, 10 * cost
    for _ in range(20):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if float(entropic(middle).value) < cost else (low, middle)
    return entropic(math.sqrt(low * high))
