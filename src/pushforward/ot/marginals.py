"""Rules for the marginals of a plan, one for each side: how far its sums may stray from the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from pushforward.errors import InputError

__all__ = ["KL", "AtMost", "Exact", "Marginal"]


@dataclass(frozen=True)
class Exact:
    """The plan's sums equal the weights."""


@dataclass(frozen=True, eq=False)
class KL:
    """The plan's sums stray from the weights at the price `rho KL(P 1 | a)`, with `KL(p|q) = sum p log(p/q) - p + q`.

    `rho` is in units of the cost: mass is given up rather than moved where that costs more than about `rho`. It may
    be a tensor with one price for every point, `(n,)`; infinity is `Exact`. Source: Chizat et al., *Scaling algorithms
    for unbalanced optimal transport problems* (2018).
    """

    rho: float | Tensor

    def __post_init__(self) -> None:
        if not bool((self.rho > 0).all() if isinstance(self.rho, Tensor) else self.rho > 0):
            raise InputError(f"KL needs a positive price rho in units of the cost, got {self.rho}")


@dataclass(frozen=True)
class AtMost:
    """The plan's sums stay below the weights; the total is the `mass` given to `solve` (partial transport)."""


Marginal: TypeAlias = Exact | KL | AtMost
