"""The independent coupling: every source point may go to every target point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs
from pushforward.couplings.pairing import balanced_rows, carry, check_rows
from pushforward.papers import FLOW_MATCHING

__all__ = ["Independent"]


@dataclass(frozen=True)
class Independent(Coupling):
    """Pair source and target at random: `(x0, x1) ~ p0 x p1`, the coupling of plain flow matching.

    Every target row is used once, with its condition. Source rows are shuffled, since rows of two data sets may come
    in a related order; fewer source rows than targets are cycled, more are thinned. Noise that was drawn for the
    occasion (`gaussian_source`) is not shuffled where sizes agree. Values are not looked at.

    >>> pairs = Independent()(torch.zeros(2, 3), torch.ones(5, 3))
    >>> pairs.x0.shape, pairs.x1.shape
    (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    rowwise: ClassVar[bool] = True
    references: ClassVar[tuple[Reference, ...]] = (FLOW_MATCHING,)

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Pair `x0: (n, *event)` with `x1: (m, *event)`: `m` pairs. Raises `InputError` for unlike rows."""
        check_rows(x0, x1, condition)
        n, m = x0.shape[0], x1.shape[0]
        rows = None if gaussian_source and n == m else balanced_rows(n, m, generator=generator)
        return carry(x0, rows, x1, condition, gaussian_source=gaussian_source)
