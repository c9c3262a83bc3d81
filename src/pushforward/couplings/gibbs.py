"""Gibbs weights: independent pairs, each counted by how little it travels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs, Sides
from pushforward.couplings.independent import Independent
from pushforward.errors import InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.metrics import Tilt, effective_share, marginal_tilt

__all__ = ["GibbsWeights"]

CALIBRATION = 8192
RANGE = 1e4
"""Epsilon is looked for between the spread of the cost over and times this."""


@dataclass(frozen=True)
class GibbsWeights(Coupling):
    """Weight each independent pair by `w = exp(-c(x0, x1) / epsilon)`: the coupling is `w p0 p1`, normalised.

    `epsilon`, in units of the cost, is a number or a rule that `prepared` turns into one by a calibration batch:
    `"ess:0.5"` leaves half of the pairs in effect (`effective_share`), `"std:2"` is twice the standard deviation of the
    cost. As epsilon grows, pairs become independent; as it falls, paths get shorter, and the marginals tilt towards
    points that are near the other side: training sees `p0(x0) E w(x0, .)`, sampling starts from p0. `tilt` measures it.
    The entropic plan has two more factors, a(x0) and b(x1), that keep the marginals: the weights alone are that plan
    where these are constant.

    One exponential per pair, whatever the batch. Weights have mean one over the rows they are drawn with; objectives
    divide by their sum over the batch. `gaussian_source` is false from here on.

    Raises `InputError` for an epsilon that is neither positive nor a rule.
    """

    rowwise: ClassVar[bool] = True
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "calvo2025weighted",
            "Weighted Conditional Flow Matching",
            "Calvo-Ordoñez, Sergio and Meunier, Matthieu and Cartea, Álvaro and Reisinger, Christoph and "
            "Gal, Yarin and Hernández-Lobato, Jose Miguel",
            2025,
            arxiv="2507.22270",
        ),
    )
    epsilon: float | str = "ess:0.5"
    cost: Cost = field(default_factory=SquaredEuclidean)

    def __post_init__(self) -> None:
        if isinstance(self.epsilon, str):
            _rule(self.epsilon)
        elif not 0 < self.epsilon < math.inf:
            raise InputError(f"GibbsWeights needs a positive epsilon in units of the cost, got {self.epsilon}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with the number that the rule for epsilon gives on a calibration batch."""
        if not isinstance(self.epsilon, str):
            return self
        x0, (x1, _) = sides.source(CALIBRATION, generator=generator), sides.target(CALIBRATION, generator=generator)
        kind, level = _rule(self.epsilon)
        cost = self.cost.aligned(x0.flatten(1), x1.flatten(1)).double()
        spread = float(cost.std()) or 1.0
        return replace(self, epsilon=level * spread if kind == "std" else _epsilon_of_share(cost, level, spread))

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Pair `x0: (n, *event)` with `x1: (m, *event)` at random and weight the `m` pairs.

        Raises `InputError` for unlike rows, or while epsilon is still a rule.
        """
        epsilon = self._number()
        pairs = Independent()(x0, x1, condition, gaussian_source=gaussian_source, generator=generator)
        with torch.no_grad():
            logits = self.cost.aligned(pairs.x0.flatten(1), pairs.x1.flatten(1)) / -epsilon
            weight = len(pairs) * torch.softmax(logits, 0)
        # a batch cut from many rows must not end up without any weight
        return replace(pairs, weight=weight.clamp(min=torch.finfo(weight.dtype).tiny), gaussian_source=False)

    def tilt(self, x0: Tensor, x1: Tensor) -> Tilt:
        """Measure, on samples of both sides, how far the weights move the marginals; `n m` numbers in memory."""
        return marginal_tilt(self.cost.pairwise(x0.flatten(1), x1.flatten(1)) / -self._number())

    def _number(self) -> float:
        if isinstance(self.epsilon, str):
            raise InputError(
                f"epsilon={self.epsilon!r} is a rule for data not seen yet: call prepared, or give a number"
            )
        return self.epsilon


def _rule(text: str) -> tuple[str, float]:
    kind, _, number = text.partition(":")
    try:
        level = float(number)
    except ValueError:
        level = math.nan
    if (kind == "ess" and 0 < level < 1) or (kind == "std" and 0 < level < math.inf):
        return kind, level
    raise InputError(f"epsilon={text!r}: wanted a positive number, 'ess:SHARE' with a share below 1, or 'std:FACTOR'")


def _epsilon_of_share(cost: Tensor, share: float, spread: float) -> float:
    """Return the epsilon whose weights on `cost: (n,)` have this effective share, which grows with it: by bisection."""
    low, high = math.log(spread / RANGE), math.log(spread * RANGE)
    for _ in range(60):
        middle = (low + high) / 2
        reached = float(effective_share(torch.softmax(-cost / math.exp(middle), 0))) >= share
        low, high = (low, middle) if reached else (middle, high)
    return math.exp(high)
