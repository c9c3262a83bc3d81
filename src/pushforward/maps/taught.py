"""Couplings whose pairs a trained flow makes."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Self

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs, Sides, TrainedField
from pushforward.errors import InputError
from pushforward.solvers import Solver

__all__ = ["PooledCoupling", "TaughtCoupling"]

CHUNK = 8192


class TaughtCoupling(Coupling):
    """A coupling that follows a trained flow by `solver`: the `teacher` of `fit`, or the flow that it goes on from
    (`init`), which stays as it is.

    Raises `InputError` for a stochastic solver, whose end is not determined by its start.
    """

    solver: Solver
    # in a comment, because jsonargparse looks annotations up in the modules of subclasses, which have no use for it
    _teacher = None  # type: TrainedField | None

    def __post_init__(self) -> None:
        if self.solver.stochastic:
            name = type(self).__name__
            raise InputError(f"{name} needs a deterministic solver: noise on the way would unmatch the pairs")

    @property
    def teacher(self) -> TrainedField:
        """The flow. Raises `InputError` before `prepared`."""
        if self._teacher is None:
            raise InputError(f"{type(self).__name__} has no flow yet: it is told by `prepared`")
        return self._teacher

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with its teacher. Raises `InputError` where there is none."""
        if sides.teacher is None:
            name = type(self).__name__
            raise InputError(f"{name} follows a flow that is trained already: give init, or teacher")
        ready = copy(self)
        object.__setattr__(ready, "_teacher", sides.teacher)
        return ready


class PooledCoupling(TaughtCoupling):
    """The same from source points alone: from `pool` of them once, before training, after which batches are drawn from
    those pairs; with `None` anew for every batch, at the teacher's price. Targets are not used, but for the conditions
    that come with them. A resumed run makes the same pool again.

    Raises `InputError` for an empty pool.
    """

    pool: int | None
    _pairs: Pairs | None = None
    _one = "pair"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool is not None and self.pool < 1:
            name = type(self).__name__
            raise InputError(f"{name} needs a pool of at least one {self._one}, or none at all, got {self.pool}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with its teacher, and its pool. Raises `InputError` where there is no teacher."""
        ready = super().prepared(sides, generator=generator)
        if self.pool is not None:
            sizes = [min(CHUNK, self.pool - first) for first in range(0, self.pool, CHUNK)]
            parts = [
                ready._made(sides.source(n, generator=generator), sides.target(n, generator=generator)[1])
                for n in sizes
            ]
            object.__setattr__(ready, "_pairs", self._chosen(Pairs.joined(parts)))
        return ready

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Return as many pairs as `x1` has rows: drawn from the pool, or of `x0` and `condition` where there is none.

        Raises `InputError` before `prepared`, and for unlike numbers of rows where there is no pool.
        """
        if self._pairs is None:
            return self._fresh(x0, condition, generator)
        device = "cpu" if generator is None else generator.device
        rows = torch.randint(len(self._pairs), (len(x1),), generator=generator, device=device)
        return self._pairs[rows.to(self._pairs.x0.device)].to(x1.device)

    def _fresh(self, x0: Tensor, condition: Condition | None, generator: torch.Generator | None) -> Pairs:
        """Return one pair for each source point."""
        return self._made(x0, condition)

    def _chosen(self, pairs: Pairs) -> Pairs:
        """Return the pairs of a pool that are used: by default all."""
        return pairs

    @abstractmethod
    def _made(self, x0: Tensor, condition: Condition | None) -> Pairs:
        """Return the pairs that the teacher makes of source points, without gradients."""
