"""Semi-discrete transport to a data set: solved once, looked up at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, take
from pushforward.contracts import Coupling, Pairs, Sides
from pushforward.couplings._conditional import blocks
from pushforward.couplings.pairing import balanced_rows, check_rows
from pushforward.errors import InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.measures import Measure
from pushforward.ot import SemiDiscretePlan, semidiscrete

__all__ = ["SemiDiscrete"]


@dataclass(frozen=True)
class SemiDiscrete(Coupling):
    """Send each source point to the data point that owns it: `argmin_j c(x0, y_j) - g_j`, optimal transport from the
    whole source to the whole data set.

    `prepared` fits one number g_j to each data point by `iterations` stochastic steps on `batch` draws of the source
    (`pushforward.ot.semidiscrete`, which measures the masses of the cells on fresh draws and warns where they are off
    by more than `tolerance`). A step then costs one product of its source points with the data, in blocks: nothing
    is solved, and the batch size does not matter to the quality of the pairs. With `epsilon > 0`, in units of the cost,
    the target is drawn from the entropic plan given its source.

    The source keeps its law exactly; targets are those of the source points, not those that were drawn, and have
    their weights up to the error of the cells. Their conditions come with them. With `by_condition`, each combination
    of categories has potentials of its own, and a source point is sent to data of the category drawn for it: the source
    stays independent of the category. `gaussian_source` is false from here on.

    Raises `InputError` for a negative epsilon.
    """

    rowwise: ClassVar[bool] = True
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "genevay2016stochastic",
            "Stochastic Optimization for Large-scale Optimal Transport",
            "Genevay, Aude and Cuturi, Marco and Peyré, Gabriel and Bach, Francis",
            2016,
            arxiv="1605.08527",
            venue="Advances in Neural Information Processing Systems",
        ),
    )
    epsilon: float = 0.0
    by_condition: bool = True
    iterations: int = 2000
    batch: int = 1024
    tolerance: float = 0.05
    cost: Cost = field(default_factory=SquaredEuclidean)
    cells: dict[tuple[int, ...], _Cells] = field(init=False, default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < math.inf:
            raise InputError(f"SemiDiscrete needs an epsilon of zero or more, in units of the cost, got {self.epsilon}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with the potentials of the data. Raises `InputError` unless the target is a finite set,
        and, `by_condition`, for a continuous condition.
        """
        if sides.data is None:
            raise InputError("SemiDiscrete needs a finite set as its target: draw points of the measure first")
        y, weight, condition = sides.data
        groups = blocks(condition) if condition and self.by_condition else [torch.arange(len(y))]
        source = _Source(sides, tuple(y.shape[1:]))
        done = replace(self)
        for rows in groups:
            plan = semidiscrete(
                source, y[rows], weight[rows] / weight[rows].sum(), cost=self.cost, epsilon=self.epsilon,
                iterations=self.iterations, batch=self.batch, tolerance=self.tolerance, generator=generator,
            )  # fmt: skip
            done.cells[self._key(condition, rows)] = _Cells(plan, take(condition, rows))
        return done

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Send `x0: (n, *event)` to the data: as many pairs as `x1` has rows, source rows cycled or thinned to that.

        Of `x1` and `condition` only the categories are used. Raises `InputError` for unlike rows, for a combination of
        categories that the data do not have, and unless `prepared`.
        """
        check_rows(x0, x1, condition)
        if not self.cells:
            raise InputError("SemiDiscrete has not seen the data set yet: call prepared first")
        if len(x0) != len(x1):
            x0 = x0[balanced_rows(len(x0), len(x1), generator=generator).to(x0.device)]
        groups = blocks(condition) if condition and self.by_condition else [torch.arange(len(x1), device=x1.device)]
        parts = [self._sent(x0[rows], self._key(condition, rows), generator) for rows in groups]
        order = torch.cat(groups).argsort()
        return _joined(parts)[order]

    def _sent(self, x0: Tensor, key: tuple[int, ...], generator: torch.Generator | None) -> Pairs:
        if key not in self.cells:
            raise InputError(f"the data set has no row of the categories {key} that were drawn")
        return self.cells[key].send(x0, generator)

    def _key(self, condition: Condition | None, rows: Tensor) -> tuple[int, ...]:
        if not condition or not self.by_condition:
            return ()
        return tuple(int(column[rows[0]]) for column in condition.values())

    @property
    def marginal_error(self) -> float:
        """The largest error of the masses of the cells, in total variation, among all categories."""
        return max(cells.plan.marginal_error for cells in self.cells.values())


@dataclass(frozen=True)
class _Cells:
    """Data points with their potentials, and the conditions of the points."""

    plan: SemiDiscretePlan
    condition: Condition | None

    def send(self, x0: Tensor, generator: torch.Generator | None) -> Pairs:
        rows = self.plan.draw(x0, generator=generator)
        return Pairs(x0, self.plan.y[rows], take(self.condition, rows))


@dataclass(frozen=True)
class _Source(Measure):
    """The source as training sees it."""

    sides: Sides
    shape: tuple[int, ...]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.shape

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        assert generator is not None  # `prepared` always has one
        return self.sides.source(n, generator=generator)


def _joined(parts: list[Pairs]) -> Pairs:
    names = parts[0].condition or {}
    condition = {name: torch.cat([part.condition[name] for part in parts if part.condition]) for name in names}
    return Pairs(torch.cat([p.x0 for p in parts]), torch.cat([p.x1 for p in parts]), condition or None)
