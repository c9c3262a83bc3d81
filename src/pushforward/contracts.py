"""The contracts that several rooms share: what couplings hand to paths, and paths to objectives.

One training step is, always, `loss = objective(field, coupling(x0, x1, condition), path)`. Time runs from the source at
t = 0 to the target at t = 1; batches come first, `x: (B, *event)`, `t: (B,)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol, Self, TypeAlias

import torch
from torch import Tensor

from pushforward.conditions import Condition, Schema

__all__ = [
    "Coefficients", "Coupling", "Loss", "Pairs", "Path", "PathPoint", "Prediction", "Sampler", "ScheduleFn", "Sides",
    "Times", "VelocityField",
]  # fmt: skip

Prediction: TypeAlias = Literal["velocity", "data", "noise", "score"]
"""What a network predicts: dx/dt, the target point x1, the source point x0, or the gradient of the log-density."""


class Coefficients(NamedTuple):
    """An affine path at times t: `x = alpha x1 + sigma x0` and the derivatives in t. Each `(B,)`."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor

    @property
    def delta(self) -> Tensor:
        """`alpha' sigma - alpha sigma'`: positive whenever the signal-to-noise ratio grows."""
        return self.d_alpha * self.sigma - self.alpha * self.d_sigma


ScheduleFn: TypeAlias = Callable[[Tensor], Coefficients]


@dataclass(frozen=True)
class Pairs:
    """Which source point goes with which target point: what a coupling returns and a path interpolates.

    `gaussian_source` is true only when `x0`, given `x1` and the condition, is exactly N(0, I). Score conversions raise
    when it is false: they would be silently wrong.
    """

    x0: Tensor
    x1: Tensor
    condition: Condition | None = None
    weight: Tensor | None = None
    """(B,) importance of each pair; objectives normalise by the sum."""
    mask: Tensor | None = None
    """(B, *event) booleans: where the velocity is free (elsewhere entries are known and do not move)."""
    gaussian_source: bool = False
    s: Tensor | None = None
    e: Tensor | None = None
    """(B,) segment ends, where a coupling pairs points inside the path."""

    def __len__(self) -> int:
        return self.x1.shape[0]

    def __getitem__(self, rows: Tensor | slice) -> Pairs:
        """Return the pairs of these rows, every field re-indexed."""
        return self._map(lambda value: value[rows])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Pairs:
        """Move every tensor to `device`."""
        return self._map(lambda value: value.to(device, non_blocking=non_blocking))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Pairs:
        def optional(value: Tensor | None) -> Tensor | None:
            return None if value is None else change(value)

        condition = self.condition and {name: change(column) for name, column in self.condition.items()}
        return Pairs(
            change(self.x0), change(self.x1), condition, optional(self.weight), optional(self.mask),
            self.gaussian_source, optional(self.s), optional(self.e),
        )  # fmt: skip


@dataclass(frozen=True)
class Times:
    """Training times drawn from a time law: the `label` the network is told, the time `input` of the state it is fed
    (equal but for slowed laws) and the log-density of the label under the law. Each `(B,)`.
    """

    label: Tensor
    input: Tensor
    log_prob: Tensor


@dataclass(frozen=True)
class PathPoint:
    """A point on the path of a pair: label time `t: (B,)`, state `x`, conditional velocity `v`, the ends, and the
    path's own noise `z`.
    """

    t: Tensor
    x: Tensor
    v: Tensor
    x0: Tensor
    x1: Tensor
    z: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """`total` to differentiate, named `terms` to log (detached scalars), and the unreduced loss `per_sample: (B,)`."""

    total: Tensor
    terms: dict[str, Tensor]
    per_sample: Tensor | None = None


class VelocityField(Protocol):
    """Anything that moves points: a trained `Field`, or a closed-form oracle. `x: (B, *event)`, `t: (B,)`."""

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """dx/dt at `(x, t)`."""
        ...

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Gradient of the log-density of the marginal at time t; raises `InputError` where it is not known."""
        ...


class Sampler(Protocol):
    """Anything that can be sampled."""

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points: `(n, *event)`."""
        ...


class Sides(Protocol):
    """Both distributions in the units of the network, for pieces that look at them before training starts."""

    def source(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw `n` source points: `(n, *event)`."""
        ...

    def target(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Condition | None]:
        """Draw `n` target points with their conditions."""
        ...

    @property
    def data(self) -> tuple[Tensor, Tensor, Condition | None] | None:
        """The points of the target, their weights `(n,)`, which sum to one, and their conditions; `None` where the
        target is not a finite set.
        """
        ...


class Coupling(ABC):
    """Decides which source point travels to which target point in a batch, with which weight.

    A coupling may own parameters (then it is also an `nn.Module`). Conditions are re-indexed together with the points
    they belong to.
    """

    rowwise: ClassVar[bool] = False
    """Whether each row is paired without regard to the others: then any number of rows may be drawn at once."""

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling after a look at the data, from which it may set itself up; by default it needs none."""
        return self

    def schema(self, schema: Schema, event_shape: tuple[int, ...]) -> Schema:
        """Return what the conditions of its pairs mean, given those of the target: the same, unless it adds some."""
        return schema

    @abstractmethod
    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Pair `x0: (n, *event)` with `x1: (m, *event)`; `condition` has the rows of `x1`.

        `gaussian_source` tells that x0 was drawn from N(0, I) independently of x1 and the condition; only couplings
        that keep this true pass it on to the pairs.
        """  # fmt: skip

    def source(
        self, measure: Sampler, n: int, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw what sampling must start from: `(n, *event)`. By default the source measure itself, whose marginal
        couplings keep.
        """
        return measure.sample(n, generator=generator)


class Path(ABC):
    """How a pair is joined in time. A path may be trainable (then it is also an `nn.Module`)."""

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this path after a look at the data, from which it may set itself up; by default it needs none."""
        return self

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the path's velocity is finite; training draws its times there."""
        return (0.0, 1.0)

    @property
    def source_scale(self) -> float:
        """The path starts at `source_scale * x0` for the source point x0 of a pair: one but for paths whose noise is
        not of unit size.
        """
        return 1.0

    @abstractmethod
    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state and the conditional velocity of each pair at `times.input`."""

    @abstractmethod
    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return what a network that predicts `kind` regresses on at `point`. Raises `InputError` for a score that
        does not exist.
        """

    @abstractmethod
    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn one prediction at `(x, t)` into another. Raises `InputError` where the path or the coupling does not
        allow it.
        """
