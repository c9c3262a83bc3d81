"""Entropic Gromov-Wasserstein plans: couple spaces that share no coordinates by their inner distances."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.ot.barycenter import warn_unless
from pushforward.ot.plan import Plan
from pushforward.ot.problem import pose
from pushforward.ot.solve import solve

__all__ = ["GromovPlan", "SquaredDistances", "gromov_wasserstein"]

NEAR = 0.1
"""L1 change of the plan below which the last potentials are a better start for the next plan than none."""


@dataclass(frozen=True, eq=False)
class SquaredDistances:
    """The matrix `|x_i - x_j|^2` of points `x: (n, d)`, multiplied in O(n d) for each column and never formed."""

    x: Tensor

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or not self.x.is_floating_point():
            raise InputError(f"SquaredDistances takes points (n, d), got {self.x.dtype} of shape {tuple(self.x.shape)}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return len(self.x), len(self.x)

    def __matmul__(self, V: Tensor) -> Tensor:
        """Return the product with `V: (n, k)`."""
        x, squares = self._centred()
        return squares[:, None] * V.sum(0) + squares @ V - 2 * (x @ (x.T @ V))

    def mean_square(self, a: Tensor) -> Tensor:
        """Return `sum_j a_j |x_i - x_j|^4`, `(n,)`."""
        x, s = self._centred()
        mean, tilted, second = a @ x, (a * s) @ x, x.T @ (a[:, None] * x)
        inner = s.square() * a.sum() + a @ s.square() + 2 * s * (a @ s)
        return inner + 4 * ((x @ second) * x).sum(1) - 4 * s * (x @ mean) - 4 * (x @ tilted)

    def _centred(self) -> tuple[Tensor, Tensor]:
        x = self.x - self.x.mean(0)
        return x, x.square().sum(1)


Structure: TypeAlias = Tensor | SquaredDistances
"""How the points of one space relate to each other: a symmetric matrix `(n, n)`, formed or not."""


@dataclass(frozen=True, eq=False)
class GromovPlan:
    """A coupling of two spaces: the entropic `plan` of the linearised cost, and what it achieves.

    `value` is the (fused) distortion without the entropy, `objective` with it; `history` holds the objective after
    every round, never rising beyond the accuracy of the plans.
    """

    plan: Plan
    value: Tensor
    objective: Tensor
    history: tuple[float, ...]
    iterations: int
    step: float
    converged: bool

    def barycentric_map(self, y: Tensor) -> Tensor:
        """Return where each point of the first space goes on average among the points `y: (m, d)`: `(n, d)`."""
        return self.plan.apply(y) / self.plan.apply(torch.ones_like(y[:, :1]))


@torch.no_grad()
def gromov_wasserstein(
    Cx: Structure,
    Cy: Structure,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    epsilon: float,
    features: Tensor | None = None,
    alpha: float | None = None,
    rounds: int = 200,
    tolerance: float | None = None,
    starts: int = 1,
    generator: torch.Generator | None = None,
) -> GromovPlan:
    """Find a coupling of two spaces under which their inner distances agree.

        minimise  (1 - alpha) <P, M> + alpha sum_iji'j' (Cx_ii' - Cy_jj')^2 P_ij P_i'j' + epsilon KL(P | a b^T)

    over P with marginals a and b; without `features` M, alpha is one. Each round solves the entropic problem of the
    cost linearised at the last plan (projected mirror descent); where the objective would rise, the new cost is mixed
    with the old one, which is a shorter step. The problem is not convex: the result is a stationary point.

    Args:
        Cx: `(n, n)`, symmetric, or `SquaredDistances` of points, which makes a round O(n m d).
        Cy: `(m, m)`, likewise; distances of both spaces in the same unit.
        a: weights `(n,)`, uniform unless given.
        b: weights `(m,)`.
        epsilon: in units of the objective, that is of squared entries of Cx.
        features: costs M `(n, m)` between points of either space.
        alpha: weight of the structure beside features, 0.5 unless given.
        rounds: how many at most, for each start.
        tolerance: L1 change of the plan at which the rounds end; 1e-5 unless given, and 1e-3 in float32.
        starts: the first is the independent plan; others are random plans, and the least objective wins.
        generator: draws the random plans.

    Raises `InputError` for bad input, warns with `ConvergenceWarning`. Sources: Peyré, Cuturi and Solomon (2016),
    *Gromov-Wasserstein averaging of kernel and distance matrices*; Vayer et al. (2019), *Optimal transport for
    structured data*.
    """
    _check(Cx, Cy, features, alpha, epsilon, starts)
    energy = _Energy.of(Cx, Cy, a, b, epsilon, features, 0.5 if alpha is None else alpha)
    if tolerance is None:
        tolerance = 1e-3 if energy.a.dtype == torch.float32 else 1e-5
    found = [_descend(energy, start, rounds, tolerance) for start in energy.starts(starts, generator)]
    best = min(found, key=lambda plan: float(plan.objective))
    warn_unless(best.converged, "gromov_wasserstein", best.iterations, "a step", best.step, tolerance)
    return best


@dataclass(frozen=True, eq=False)
class _Energy:
    """The distortion as a function of the plan: `<features, P> + <constant - scale Cx P Cy, P> / 2`."""

    Cx: Structure
    Cy: Structure
    a: Tensor
    b: Tensor
    epsilon: float
    features: Tensor
    constant: Tensor
    scale: float

    @classmethod
    def of(
        cls,
        Cx: Structure,
        Cy: Structure,
        a: Tensor | None,
        b: Tensor | None,
        epsilon: float,
        features: Tensor | None,
        alpha: float,
    ) -> _Energy:
        """Separate what depends on the plan from what does not."""
        like = Cx.x if isinstance(Cx, SquaredDistances) else Cx
        problem = pose(None, None, a, b, like.new_zeros(Cx.shape[0], Cy.shape[0]))
        a, b = problem.a, problem.b
        part = 1.0 if features is None else alpha
        M = like.new_zeros(len(a), len(b)) if features is None else (1 - alpha) * features
        constant = 2 * part * (_mean_square(Cx, a)[:, None] + _mean_square(Cy, b))
        return cls(Cx, Cy, a, b, epsilon, M, constant, 4 * part)

    def gradient(self, P: Tensor) -> Tensor:
        """Return the derivative of the distortion in P: the linearised cost, `(n, m)`."""
        return self.features + self.constant - self.scale * (self.Cx @ (self.Cy @ P.T).T)

    def starts(self, count: int, generator: torch.Generator | None) -> Iterator[Tensor]:
        """Return linear costs of the plans to start from: none, then random ones."""
        yield torch.zeros_like(self.constant)
        spread = self.gradient(self.a[:, None] * self.b).std()
        device = self.a.device if generator is None else generator.device
        for _ in range(count - 1):
            noise = torch.randn(self.constant.shape, generator=generator, dtype=spread.dtype, device=device)
            yield spread * noise.to(self.a.device)


@dataclass(frozen=True, eq=False)
class _Stand:
    """The plan of a linear cost, and the distortion and its derivative there."""

    linear: Tensor
    plan: Plan
    P: Tensor
    gradient: Tensor
    value: Tensor
    objective: Tensor

    @classmethod
    def of(cls, energy: _Energy, linear: Tensor, tolerance: float, init: Tensor | None = None) -> _Stand:
        """Solve for the plan, to a tenth of the tolerance."""
        a, b, epsilon = energy.a, energy.b, energy.epsilon
        plan = solve(cost=linear, a=a, b=b, epsilon=epsilon, method="newton", tolerance=tolerance / 10, init=init)
        P = plan.to_dense()
        gradient = energy.gradient(P)
        value = ((gradient + energy.features) * P).sum() / 2
        return cls(linear, plan, P, gradient, value, value + plan.objective - plan.value)


def _descend(energy: _Energy, start: Tensor, rounds: int, tolerance: float) -> GromovPlan:
    here, pace, step, done = _Stand.of(energy, start, tolerance), 1.0, math.inf, 0
    slack = tolerance * float(here.gradient.std())
    history = [float(here.objective)]
    while step > tolerance and done < rounds:
        done += 1
        init = here.plan.g if step < NEAR else None
        there = _Stand.of(energy, torch.lerp(here.linear, here.gradient, pace), tolerance, init)
        if there.objective > here.objective + slack:
            pace /= 2
            continue
        step, here = float((there.P - here.P).abs().sum()) / pace, there
        history.append(float(here.objective))
    return GromovPlan(here.plan, here.value, here.objective, tuple(history), done, step, step <= tolerance)


def _mean_square(C: Structure, weights: Tensor) -> Tensor:
    return C.mean_square(weights) if isinstance(C, SquaredDistances) else C.square() @ weights


def _check(
    Cx: Structure, Cy: Structure, features: Tensor | None, alpha: float | None, epsilon: float, starts: int
) -> None:
    for name, C in (("Cx", Cx), ("Cy", Cy)):
        if isinstance(C, SquaredDistances):
            continue
        if C.ndim != 2 or C.shape[0] != C.shape[1] or not C.is_floating_point():
            raise InputError(f"{name} must be a floating matrix (n, n), got {C.dtype} of shape {tuple(C.shape)}")
        if not torch.allclose(C, C.T, rtol=1e-4, atol=1e-6 * float(C.abs().max())):
            raise InputError(f"{name} is not symmetric: give (C + C.T) / 2")
    dtypes = {C.x.dtype if isinstance(C, SquaredDistances) else C.dtype for C in (Cx, Cy)}
    if len(dtypes | ({features.dtype} if features is not None else set())) > 1:
        raise InputError("Cx, Cy and features must be of one dtype")
    if features is not None and features.shape != (Cx.shape[0], Cy.shape[0]):
        raise InputError(f"features has shape {tuple(features.shape)}, wanted {(Cx.shape[0], Cy.shape[0])}")
    if alpha is not None and (features is None or not 0 <= alpha <= 1):
        raise InputError(f"alpha weighs the structure against features and lies between 0 and 1, got {alpha}")
    if not 0 < epsilon < math.inf:
        raise InputError(f"epsilon must be positive and finite, got {epsilon}")
    if starts < 1:
        raise InputError(f"starts must be at least 1, got {starts}")
