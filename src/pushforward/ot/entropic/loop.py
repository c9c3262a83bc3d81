"""The one Sinkhorn loop of the library: over-relaxed block ascent of the entropic dual, for every marginal rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.ot.entropic.transform import SoftTransform
from pushforward.ot.marginals import KL, AtMost, Marginal
from pushforward.ot.problem import Problem

__all__ = ["State", "anneal", "iterate", "ladder"]

CHECK = 10
"""Sweeps between two looks at the error, once it has been seen to fall."""

SETTLED = 4
"""Looks at the error before its fall tells how fast the slowest part contracts."""

PATIENCE = 50
"""Looks at the error after which an iteration that makes no progress is given up."""


@dataclass(frozen=True)
class State:
    """Where an iteration stands: potentials, the sweeps made, and the L1 error of the marginals after some of them.

    The plan is `a_i b_j exp((f_i + g_j - C_ij) / epsilon)`.
    """

    f: Tensor
    g: Tensor
    iterations: int = 0
    error: float = math.inf
    history: tuple[tuple[int, float], ...] = ()

    def after(self, earlier: State) -> State:
        """Count the sweeps of an `earlier` stage as well."""
        moved = tuple((earlier.iterations + k, error) for k, error in self.history)
        return replace(self, iterations=earlier.iterations + self.iterations, history=earlier.history + moved)


def ladder(start: float, end: float, steps: int) -> list[float]:
    """Return `steps` regularisations in geometric progression from `start` down to `end`, exactly that."""
    return [*(start * (end / start) ** (k / (steps - 1)) for k in range(steps - 1)), end]


def anneal(transform: SoftTransform, problem: Problem, g: Tensor, epsilons: list[float], sweeps: int) -> State:
    """Follow the ladder `epsilons` with a few over-relaxed sweeps on each rung."""
    state = State(torch.zeros_like(problem.a, dtype=g.dtype), g)
    for epsilon in epsilons:
        rung = _Sweeps(transform.at(epsilon), problem, state.g, 1.5)
        for _ in range(sweeps):
            rung.sweep()
        state = State(rung.f, rung.g + rung.shift, state.iterations + sweeps)
    return state


def iterate(transform: SoftTransform, problem: Problem, g: Tensor, *, tolerance: float, max_iterations: int) -> State:
    """Sweep from the column potential `g: (..., m)` until the marginals are within `tolerance` (L1).

    Balanced problems are over-relaxed by a factor found on the way. At most `max_iterations` sweeps are made; of many
    problems the worst counts. Each sweep is one soft conjugate in either direction, and the error comes with it.
    """
    sweeps, rate = _Sweeps(transform, problem, g, 1.0), _Rate(problem.balanced)
    history: list[tuple[int, float]] = []
    done, length = 0, 1
    while True:
        error = sweeps.error()
        history.append((done, error))
        if error <= tolerance or done >= max_iterations or _stalled(history):
            break
        sweeps.omega = rate.observe(error, length)
        length = min(length if sweeps.omega == 1 and rate.seen < SETTLED else CHECK, max_iterations - done)
        for _ in range(length):
            sweeps.sweep()
        done += length
    return State(sweeps.f, sweeps.g + sweeps.shift, done, error, tuple(history))


def _stalled(history: list[tuple[int, float]]) -> bool:
    """Whether rounding forbids more: no progress to speak of in the last `PATIENCE` looks."""
    if len(history) < 2 * PATIENCE or len(history) % PATIENCE:
        return False
    recent = min(error for _, error in history[-PATIENCE:])
    return recent > 0.999 * min(error for _, error in history[:-PATIENCE])


class _Sweeps:
    """Potentials that a sweep improves: first the columns', then the rows'.

    Where the total mass is prescribed, its multiplier `shift` is a third block: the plan is that of `(f, g + shift)`.
    The soft conjugate that each half-step needs also tells the sums of the plan before it, hence the error.
    """

    def __init__(self, transform: SoftTransform, problem: Problem, g: Tensor, omega: float) -> None:
        self.transform, self.omega = transform, omega
        self.a, self.b, self.mass = problem.a.to(g.dtype), problem.b.to(g.dtype), problem.mass
        self.rule_a, self.rule_b = problem.marginals
        self.g, self.shift = g, g.new_zeros((*g.shape[:-1], 1))
        self.t_rows = transform.rows(g)
        self.f = self._rule(self.rule_a, self.t_rows)
        self.t_columns: Tensor | None = None

    def sweep(self) -> None:
        """Improve the columns' potential, then the rows'."""
        t = self._columns()
        self.g = self._relax(self.g, self._rule(self.rule_b, t - self.shift))
        self._translate()
        self.t_rows = self.transform.rows(self.g) - self.shift
        self.f = self._relax(self.f, self._rule(self.rule_a, self.t_rows))
        self._move_mass()
        self.t_columns = None

    def error(self) -> float:
        """L1 distance of the plan's sums from what the rules ask for; of many problems the largest."""
        epsilon, t = self.transform.epsilon, self._columns() - self.shift
        rows = _stray(self.rule_a, self.f, self.a, self.t_rows, epsilon)
        columns = _stray(self.rule_b, self.g, self.b, t, epsilon)
        error = self.transform.total(rows) + columns.sum(-1)
        if self.mass is not None:
            error = error + (self._moved() - self.mass).abs()
        return float(error.max())

    def _columns(self) -> Tensor:
        if self.t_columns is None:
            self.t_columns = self.transform.columns(self.f)
        return self.t_columns

    def _relax(self, old: Tensor, new: Tensor) -> Tensor:
        return new if self.omega == 1 else torch.lerp(old, new, self.omega)

    def _rule(self, rule: Marginal, t: Tensor) -> Tensor:
        """Return the best potential of one side, given the soft conjugate of the other's."""
        if isinstance(rule, KL):
            return t / (1 + self.transform.epsilon / rule.rho)
        return t.clamp(max=0) if isinstance(rule, AtMost) else t

    def _translate(self) -> None:
        """Where sums may stray, move a constant between the potentials: the slow direction of plain sweeps."""
        prices = [rule.rho for rule in (self.rule_a, self.rule_b) if isinstance(rule, KL)]
        if not prices or any(isinstance(rho, Tensor) for rho in prices):
            return
        left = self._spread(self.rule_a, self.a, self.f, self.transform.total)
        right = self._spread(self.rule_b, self.b, self.g, lambda values: values.sum(-1))
        k = (left - right).unsqueeze(-1) / sum(1 / float(rho) for rho in prices)
        self.g = self.g - k

    @staticmethod
    def _spread(rule: Marginal, weights: Tensor, potential: Tensor, total: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the logarithm of the mass that a rule asks for at a potential."""
        scaled = weights * torch.exp(-potential / rule.rho) if isinstance(rule, KL) else weights
        return total(scaled).log()

    def _move_mass(self) -> None:
        if self.mass is None:
            return
        step = self.transform.epsilon * (self.mass / self._moved()).log().unsqueeze(-1)
        self.shift, self.t_rows = self.shift + step, self.t_rows - step

    def _moved(self) -> Tensor:
        """Return the total mass of the plan: `(...)`."""
        return self.transform.total(self.a * torch.exp((self.f - self.t_rows) / self.transform.epsilon))


def _stray(rule: Marginal, potential: Tensor, weights: Tensor, t: Tensor, epsilon: float) -> Tensor:
    """Return how far each sum of the plan is from what its rule asks for, given the soft conjugate `t`."""
    sums = weights * torch.exp((potential - t) / epsilon)
    if isinstance(rule, KL):
        return (sums - weights * torch.exp(-potential / rule.rho)).abs()
    excess = sums - weights
    return torch.where(potential < 0, excess.abs(), excess.clamp(min=0)) if isinstance(rule, AtMost) else excess.abs()


class _Rate:
    """Find the over-relaxation `w = 2 / (1 + sqrt(1 - q))` from the contraction q of plain sweeps.

    A relaxed sweep contracts by l with `(l + w - 1)^2 = l w^2 q` where w is still too small, which tells q as long as
    errors fall more slowly than `w - 1`. When errors grow, it falls back to plain sweeps. Source: Thibault et al.,
    *Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport* (2021).
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled, self.omega, self.last, self.seen = enabled, 1.0, math.inf, 0

    def observe(self, error: float, sweeps: int) -> float:
        """Take in the error after `sweeps` more sweeps; return the factor for the next ones."""
        rate = (error / self.last) ** (1 / sweeps) if 0 < self.last < math.inf else 1.0
        self.last, self.seen = error, self.seen + 1
        if not error < math.inf or rate > 1.05:
            self.omega, self.seen = 1.0, 0
        elif self.enabled and self.seen >= SETTLED and self.omega - 1 + 1e-3 < rate < 1:
            q = (rate + self.omega - 1) ** 2 / (rate * self.omega**2)
            self.omega, self.seen = min(2 / (1 + math.sqrt(max(1 - q, 0.0))), 1.99), 0
        return self.omega
