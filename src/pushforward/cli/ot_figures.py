"""What the command line tells of a plan: a page of figures, and a file with the plan itself."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pushforward.atomic import atomic_path
from pushforward.geometry import SquaredEuclidean
from pushforward.ot import EntropicPlan, Exact, Plan

__all__ = ["figures_of", "page_of", "write_plan"]


def figures_of(plan: Plan, threshold: float) -> dict[str, Any]:
    """Return what is told of a plan, by name; `threshold` is the share of mass that small entries may hold together."""
    problem = plan.problem
    mass = float(plan.marginals()[0].sum())
    found: dict[str, Any] = {"value": float(plan.value)}
    if isinstance(problem.cost, SquaredEuclidean) and mass > 0:
        found["W2" if _only_cost(plan) else "rms distance"] = (max(found["value"], 0.0) / mass) ** 0.5
    if not all(isinstance(rule, Exact) for rule in problem.marginals):
        found["mass moved"] = mass
    if isinstance(plan, EntropicPlan):
        found["epsilon"] = plan.epsilon
    if float(plan.objective) != found["value"]:
        found["objective"] = float(plan.objective)
    return found | {
        "duality gap": plan.duality_gap,
        "marginal error": plan.marginal_error,
        "entries": int(_entries(plan, _cut(plan, threshold))),
        "method": plan.method,
        "iterations": plan.iterations,
        "converged": plan.converged,
    }


def _only_cost(plan: Plan) -> bool:
    """Whether nothing but the cost was minimised, all mass moved: then the root of a squared cost is a distance."""
    return plan.problem.balanced and float(plan.objective) == float(plan.value)


def _cut(plan: Plan, threshold: float) -> float:
    """Return below which mass entries are left out: all of them together hold less than the share `threshold`."""
    n, m = plan.problem.shape
    return threshold * float(plan.marginals()[0].sum()) / (n * m)


def _entries(plan: Plan, cut: float) -> int:
    """Count without holding the indices: an entropic plan has as many as the cost matrix."""
    if isinstance(plan, EntropicPlan):
        return sum(int((plan.rows(rows) > cut).sum()) for rows in plan.problem.slices())
    return plan.to_sparse(cut).values().shape[0]


ABOUT = {
    "value": "what moving the mass costs: the sum of mass times {cost}",
    "W2": "the Wasserstein distance: the square root of the value",
    "rms distance": "root mean squared distance that the mass moves",
    "mass moved": "of {sent:.6g} to send and {wanted:.6g} to receive",
    "epsilon": "the blur, in units of the cost",
    "objective": "what was minimised: the value and what else the plan is charged for",
    "duality gap": "the best plan is better by at most this",
    "marginal error": "how far the plan's sums are from the weights asked for",
    "entries": "pairs of points between which mass moves, of {pairs:,}",
    "method": "the solver",
    "iterations": "rounds of the solver",
    "converged": "{end}",
    "time": "",
}


def page_of(source: str, target: str, plan: Plan, figures: dict[str, Any]) -> str:
    """Return the figures as a page: what, how much, what it means."""
    n, m = plan.problem.shape
    x, _ = plan.problem.points()
    facts = {
        "cost": "|x - y|^2" if isinstance(plan.problem.cost, SquaredEuclidean) else str(plan.problem.cost),
        "sent": float(plan.problem.a.sum()),
        "wanted": float(plan.problem.b.sum()),
        "pairs": n * m,
        "end": "" if plan.converged else "it stopped early: allow more with --max-iterations",
    }
    rows = [(name, _shown(name, value), ABOUT[name].format(**facts)) for name, value in figures.items()]
    left, middle = (max(len(row[k]) for row in rows) for k in (0, 1))
    title = f"{source} ({n:,} points) onto {target} ({m:,} points), {x.shape[1]} feature{'s' * (x.shape[1] > 1)}"
    lines = [f"  {name:{left}}  {value:{middle}}  {about}".rstrip() for name, value, about in rows]
    return "\n".join([*textwrap.wrap(title, 110), "", *lines])


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "time":
        return f"{value:.3g} s"
    if name in ("duality gap", "marginal error"):
        return f"{value:.1e}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)


def write_plan(path: str, plan: Plan, threshold: float, description: dict[str, Any]) -> None:
    """Write entries `i, j, mass`, potentials `f, g`, weights `a, b`, points `x, y` and the `description` as JSON.

    All are plain arrays: `numpy.load(path)` needs no pickles.
    """
    entries = plan.to_sparse(_cut(plan, threshold))
    i, j = entries.indices()
    x, y = plan.problem.points()
    arrays = {"i": i, "j": j, "mass": entries.values(), "f": plan.f, "g": plan.g}
    arrays |= {"a": plan.problem.a, "b": plan.problem.b, "x": x, "y": y}
    with atomic_path(Path(path)) as temporary:
        np.savez_compressed(
            temporary,
            description=np.array(json.dumps(description)),
            **{name: _array(tensor) for name, tensor in arrays.items()},  # type: ignore[arg-type]
        )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
