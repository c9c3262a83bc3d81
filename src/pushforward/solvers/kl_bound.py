"""What the errors of velocity and score cost in likelihood: a bound on the Kullback-Leibler divergence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import VelocityField
from pushforward.errors import InputError
from pushforward.solvers.diffusion import Diffusion
from pushforward.solvers.velocity import Velocity

__all__ = ["KLBound", "kl_bound"]


@dataclass(frozen=True)
class KLBound:
    """`value` bounds `KL(p_1 | q_1)` in nats; `velocity_error` and `score_error` are `integral E |v - v'|^2 dt` and
    `integral E |s - s'|^2 dt`.
    """

    value: float
    velocity_error: float
    score_error: float

    @property
    def best_level(self) -> float:
        """The level of a `Constant` diffusion, `eps^2 = 2 |v - v'| / |s - s'|`, at which the cruder bound
        `velocity_error / eps^2 + eps^2 score_error / 4` is smallest.
        """
        return 2 * math.sqrt(self.velocity_error / self.score_error) if self.score_error else math.inf


@torch.no_grad()
def kl_bound(
    truth: VelocityField,
    field: VelocityField,
    states: Sequence[Tensor],
    nodes: Tensor,
    diffusion: Diffusion,
    *,
    condition: Condition | None = None,
) -> KLBound:
    """Bound the divergence of the law that `field` generates from that of `truth`, when both run the equation of
    `diffusion`.

    `KL(p_1 | q_1) <= integral E |f - f'|^2 / (2 eps^2) dt` with the drifts `f = v + eps^2 score / 2`, in expectation
    over the true states `x_t`, given as one `(B, *event)` for each of the increasing times `nodes: (T,)`; integrated by
    the trapezium rule. Flows without noise have no such bound.

    Raises `InputError` for states that do not fit the nodes, and where the diffusion vanishes at a node. Source:
    Albergo et al. (2023), *Stochastic interpolants*, lemma 2.22.
    """
    times = nodes.tolist()
    if len(times) != len(states) or len(times) < 2 or not bool((torch.diff(nodes) > 0).all()):
        raise InputError(
            f"got {len(states)} states for the times {times}: wanted one for each of two or more, increasing"
        )
    quiet = next((t for t in times if diffusion(t) == 0), None)
    if quiet is not None:
        raise InputError(f"the diffusion vanishes at t = {quiet:.6g}, where the bound is infinite: leave that node out")
    exact, learned = Velocity(truth, condition), Velocity(field, condition)
    rows = [_errors(exact, learned, x, t, diffusion(t)) for x, t in zip(states, times, strict=True)]
    return KLBound(*torch.trapezoid(torch.tensor(rows, dtype=torch.float64), nodes.double(), dim=0).tolist())


def _errors(exact: Velocity, learned: Velocity, x: Tensor, t: float, eps: float) -> tuple[float, float, float]:
    """Return the integrands of the bound and of both errors."""
    (v, score), (v_hat, score_hat) = exact.with_score(x, t), learned.with_score(x, t)
    dv, ds = v - v_hat, score - score_hat
    drift = torch.add(dv, ds, alpha=eps**2 / 2)
    return _mean_square(drift) / (2 * eps**2), _mean_square(dv), _mean_square(ds)


def _mean_square(x: Tensor) -> float:
    return float(x.flatten(1).square().sum(1).mean())
