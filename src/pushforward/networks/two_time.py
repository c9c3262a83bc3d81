"""Flow maps as networks: the average velocity over a jump, told both of its times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.contracts import TwoTimeField
from pushforward.errors import InputError, nearest
from pushforward.networks.architecture import Architecture
from pushforward.networks.embedding import ConditionEmbedding
from pushforward.networks.field import Field
from pushforward.networks.forward_mode import in_forward_mode
from pushforward.networks.low_rank import LowRank
from pushforward.networks.mlp import MLP
from pushforward.networks.residual import Adapter

__all__ = ["MEAN_FLOW", "MeanVelocity", "TwoTime", "TwoTimes", "as_map", "told_twice"]

MEAN_FLOW = Reference(
    "geng2025meanflow",
    "Mean Flows for One-step Generative Modeling",
    "Geng, Zhengyang and Deng, Mingyang and Bai, Xingjian and Kolter, J. Zico and He, Kaiming",
    2025,
    arxiv="2505.13447",
)
JUMP = "where the jump goes"
Told = Literal["interval", "end"]


@dataclass(frozen=True)
class TwoTime(Architecture):
    """The average velocity `u(x; s, e)` on the way from time s to time e, by a `network` of any architecture; `u(x; t,
    t)` is the velocity.

    The network is told s as its time and, as one more covariate, the length `e - s` of the jump or its `end` e. That
    covariate says nothing before training: the network starts as one that gives every jump the velocity at its start.

    >>> net = TwoTime(MLP(width=8)).build((2,), {})
    >>> net.mean_velocity(torch.zeros(5, 2), torch.zeros(5), torch.ones(5)).shape
    torch.Size([5, 2])
    """

    references: ClassVar[tuple[Reference, ...]] = (MEAN_FLOW,)
    network: Architecture = field(default_factory=MLP)
    tells: Told = "interval"

    def __post_init__(self) -> None:
        if self.tells not in get_args(Told):
            raise InputError(f"TwoTime tells {self.tells!r}{nearest(self.tells, get_args(Told))}")
        if isinstance(self.network, LowRank):  # both factors of the layer that hears of the jump would be zero
            raise InputError("TwoTime learns nothing through LowRank: write LowRank(TwoTime(...))")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for other heads than the velocity."""
        if heads != 1:
            raise InputError(f"TwoTime predicts the average velocity alone, not {heads} things")
        return MeanVelocity(told_of_jump(self.network, event_shape, schema), self.tells)


def told_of_jump(network: Architecture, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
    """Return the network with one more covariate, `JUMP`, that says nothing before training."""
    module = network.build(event_shape, schema | {JUMP: Column(None, 1, 0.5, 12**-0.5)}, heads)
    for part in module.modules():
        if isinstance(part, ConditionEmbedding) and JUMP in part.names:
            part.silence(JUMP)
    return module


def told_twice(network: Architecture | nn.Module) -> Architecture | nn.Module:
    """Return an architecture with a second time; one that has it, and a module of your own, as they are."""
    if isinstance(network, LowRank):
        return replace(network, network=told_twice(network.network))
    return network if isinstance(network, TwoTime) or not isinstance(network, Architecture) else TwoTime(network)


class MeanVelocity(nn.Module):
    """The module of `TwoTime`: the one place that knows how two times are told to a network of one."""

    def __init__(self, network: nn.Module, tells: Told) -> None:
        super().__init__()
        self.network, self.tells = network, tells

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times at which the network may jump."""
        return getattr(self.network, "boundaries", ())

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None, end: Tensor | None = None) -> Tensor:
        """Return the average velocity from `x: (B, *event)` at time t to the time `end`, the velocity if none is given:
        `(B, *event)`.
        """
        if end is None:
            end = t
        told = end - t if self.tells == "interval" else end
        return self.network(x, t, (condition or {}) | {JUMP: told[:, None]})

    def mean_velocity(self, x: Tensor, s: Tensor, e: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `u(x; s, e)`. What was compiled is passed over in forward mode, which compilers drop unsaid."""
        evaluate = self.forward if in_forward_mode() else self
        return evaluate(x, s, condition, e)


@dataclass(frozen=True)
class TwoTimes(Adapter):
    """Train the network of a flow on as a flow map: a copy of it, told the end of a jump as well.

    It starts as the flow: `u(x; s, e) = v(x, s)`. Give it to `fit` as the `adapter`, with the trained flow as `init`
    and an objective of flow maps.
    """

    references: ClassVar[tuple[Reference, ...]] = (MEAN_FLOW,)
    tells: Told = "interval"

    def adapted(self, field: Field) -> Field:
        """Return the field with the weights of `field`; the same if it is a flow map already. Raises `InputError` for a
        network without an architecture, and for one whose weights have no place beside a second time.
        """
        spec = field.architecture
        return field if isinstance(spec, TwoTime) else as_map(field, spec, TwoTime(spec, self.tells))


def as_map(field: Field, spec: Architecture, architecture: Architecture) -> Field:
    """Return a field of an `architecture` of flow maps around `spec`, that of `field`, with the weights of that. Raises
    `InputError` where they would not fit, and for a path whose network works in coordinates of its own.
    """
    arguments = (field.path, field.event_shape, field.schema, field.predicts, field.gaussian_source)
    adapted = Field(architecture, *arguments).train(field.training)
    inner = getattr(adapted.network, "network", None)
    if not isinstance(adapted.network, TwoTimeField) or not isinstance(inner, nn.Module):
        raise InputError(f"a second time is told to networks in plain states, not to {type(field.path).__name__}'s")
    fresh, own = inner.state_dict(), field.network.state_dict()
    unlike = [name for name, value in own.items() if name not in fresh or fresh[name].shape != value.shape]
    if unlike:
        raise InputError(f"{type(spec).__name__} cannot be told a second time: its weights would not fit, {unlike[0]}")
    inner.load_state_dict(fresh | own)
    return adapted
