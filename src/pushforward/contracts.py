"""The contracts that several rooms share: what couplings hand to paths, and paths to objectives.

One training step is, always, `loss = objective(field, coupling(x0, x1, condition), path)`. Time runs from the source at
t = 0 to the target at t = 1; batches come first, `x: (B, *event)`, `t: (B,)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.ends import End
from pushforward.errors import InputError
from pushforward.observations import Observation
from pushforward.predictions import Prediction
from pushforward.spaces import Space

__all__ = [
    "Coefficients",
    "Coupling",
    "Loss",
    "Pairs",
    "Path",
    "PathPoint",
    "Prediction",
    "ScheduleFn",
    "Sides",
    "Times",
    "TrainedField",
    "TransitionLaw",
    "TwoTimeField",
    "VelocityField",
    "VelocityLaw",
]  # fmt: skip


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

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values: (..., B)` over the pairs, by their weights. Raises `InputError` where these are
        not one for each pair.
        """
        if self.weight is None:
            return values.mean(-1)
        if self.weight.shape != values.shape[-1:]:
            wanted = f"one number per sample, {tuple(values.shape[-1:])}"
            raise InputError(f"pairs.weight has shape {tuple(self.weight.shape)}, wanted {wanted}")
        importance = self.weight.to(values.dtype)
        return values @ (importance / importance.sum())

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Pairs:
        """Move every tensor to `device`."""
        return self._map(lambda value: value.to(device, non_blocking=non_blocking))

    @staticmethod
    def joined(parts: Sequence[Pairs]) -> Pairs:
        """Return all pairs of `parts` one after another; parts have the same fields."""
        return parts[0]._map(lambda *values: torch.cat(values), *parts[1:])

    def _map(self, change: Callable[..., Tensor], *others: Pairs) -> Pairs:
        """Return the pairs of `change` of every field, given that field of the `others` too."""

        def changed(name: str) -> Tensor | None:
            values = [getattr(pairs, name) for pairs in (self, *others)]
            return None if values[0] is None else change(*values)

        columns = [pairs.condition or {} for pairs in (self, *others)]
        condition = self.condition and {name: change(*(column[name] for column in columns)) for name in self.condition}
        x0, x1 = change(*(pairs.x0 for pairs in (self, *others))), change(*(pairs.x1 for pairs in (self, *others)))
        rest = {name: changed(name) for name in ("weight", "mask", "s", "e")}
        return Pairs(x0, x1, condition, gaussian_source=self.gaussian_source, **rest)


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


@runtime_checkable
class VelocityLaw(Protocol):
    """The whole law of the velocity of an affine path given the state, of which a velocity field is the mean: a trained
    network (hierarchical, mixture and transition models), or a closed-form oracle. `x: (B, *event)`, `t: (B,)`.
    """

    def sample(
        self, x: Tensor, t: Tensor, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one velocity for each row, given the state `x` at time `t`: `(B, *event)`."""
        ...

    def mean(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Expected velocity given the state: `(B, *event)`."""
        ...


@runtime_checkable
class TransitionLaw(Protocol):
    """The law of the next state of a process of `steps` steps from the source to the target, given those before it."""

    steps: int

    def advance(
        self,
        x: Tensor,
        k: int,
        condition: Condition | None = None,
        memory: Any = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Any]:
        """Draw the state after `x: (B, *event)`, which is that of step k; return it with what is remembered of the
        states so far, which is handed back at the next step and is `None` at the first.
        """
        ...


@runtime_checkable
class TwoTimeField(Protocol):
    """The average velocity over a whole jump from time s to time e: a trained network, or a closed-form oracle. `x: (B,
    *event)`, `s, e: (B,)`.
    """

    def mean_velocity(self, x: Tensor, s: Tensor, e: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `u(x; s, e) = (X_{s,e}(x) - x) / (e - s)`, where `X_{s,e}` moves the state at time s to time e, and
        the velocity itself where `e = s`: `(B, *event)`.
        """
        ...


class TrainedField(VelocityField, Protocol):
    """A trained field, and the path that it was trained on."""

    @property
    def path(self) -> Path:
        """How pairs were joined; its ends say what the field starts from."""
        ...


class Sides(Protocol):
    """Both distributions in the units of the network, for pieces that look at them before training starts."""

    @property
    def teacher(self) -> TrainedField | None:
        """The trained field that is learned from, in the same units: the one given as such, else the one that training
        goes on from.
        """
        ...

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

    @property
    def source_data(self) -> Tensor | None:
        """The points of the source; `None` where it is not a finite set."""
        ...


class Coupling(ABC):
    """Decides which source point travels to which target point in a batch, with which weight.

    A coupling may own parameters (then it is also an `nn.Module`). Conditions are re-indexed together with the points
    they belong to.
    """

    rowwise: ClassVar[bool] = False
    """Whether each row is paired without regard to the others: then any number of rows may be drawn at once."""

    pool_rows: int = 0
    """Rows that are best paired together, where a batch holds fewer: the coupling is then dear, and pairs are used
    several times. 0 for a coupling of the batch alone.
    """

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

    @property
    def starts_from(self) -> Observation | None:
        """What the flow starts from instead of source points alone; by default from those, whose law couplings keep."""
        return None


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
    def boundaries(self) -> tuple[float, ...]:
        """Times inside [0, 1] that a step must not cross, since the velocity jumps there: none, unless the path is made
        of windows.
        """
        return ()

    @property
    def space(self) -> Space:
        """Where its pairs are made: of the points of the data, but for flows in a latent space."""
        return Space()

    @property
    def source_end(self) -> End:
        """What the path makes of source points at t = 0: nothing, but for paths whose noise is not of unit size."""
        return End()

    @property
    def target_end(self) -> End:
        """What the path makes of target points at t = 1."""
        return End()

    def told(self, schema: Schema) -> Schema:
        """Return what the network is told: all conditions, but for paths that bring them into the state or tell it
        something of their own.
        """
        return schema

    def built(self, event_shape: tuple[int, ...], schema: Schema) -> Path:
        """Return this path with its parameters, made for points of this shape: by default it has none.

        A field does this once, and counts the parameters among its own. They are drawn from torch's global random
        state, as those of a network are.
        """
        return self

    def wrapped(
        self, network: nn.Module, event_shape: tuple[int, ...], schema: Schema, predicts: tuple[Prediction, ...]
    ) -> nn.Module:
        """Return what a field evaluates: by default the `network` itself, which sees states as they are."""
        return network

    @abstractmethod
    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state and the conditional velocity of each pair at `times.input`."""

    def reflected(self, point: PathPoint, pairs: Pairs, times: Times) -> PathPoint:
        """Return the same point with the path's noise negated, which is as likely: an antithetic partner. Raises
        `InputError` for a path that has no noise.
        """
        raise InputError(f"{type(self).__name__} has no noise to reflect: leave out antithetic")

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

    def derive(
        self, known: Mapping[Prediction, Tensor], x: Tensor, t: Tensor, dst: Prediction, *, gaussian_source: bool
    ) -> Tensor:
        """Turn several predictions at `(x, t)`, the heads of one network, into one that is not among them: by default
        the first that `convert` takes. Raises `InputError` where none does.
        """
        refusals: list[InputError] = []
        for src, value in known.items():
            try:
                return self.convert(value, x, t, src, dst, gaussian_source=gaussian_source)
            except InputError as refusal:
                refusals.append(refusal)
        raise refusals[0]
