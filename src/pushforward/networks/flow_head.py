"""Networks that hold the law of the velocity as a flow of its own: hierarchical flows, and flow heads on backbones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.mlp import MLP
from pushforward.networks.observed import Concatenated
from pushforward.papers import HIERARCHICAL_RECTIFIED_FLOW
from pushforward.randomness import seeded

__all__ = ["FlowHead", "FlowLaw", "HierarchicalFlow"]

STATE, TIME, FEATURES = "state of the outer flow", "time of the outer flow", "features of the backbone"
UNIFORM_TIME = Column(None, 1, 0.5, 12**-0.5)
TRANSITION_MATCHING = Reference(
    "shaul2025transition",
    "Transition Matching: Scalable and Flexible Generative Modeling",
    "Shaul, Neta and Singer, Uriel and Gat, Itai and Lipman, Yaron",
    2025,
    arxiv="2506.23589",
)


@dataclass(frozen=True)
class HierarchicalFlow(Architecture):
    """Hold the law of the velocity as a second flow, from noise v0 to the velocity, conditioned on the state and the
    time of the first: `dv/dtau = a(v, tau; x_t, t)`.

    One `network` sees v and x_t side by side, as channels. A velocity is drawn by `inner_steps` midpoint steps, two
    evaluations each. Trained by `objectives.NestedFlowMatching`; as a velocity field it is the mean, from `mean_draws`
    evaluations: one unless the inner flow was trained with a bank, which makes it depend on the noise.

    >>> law = HierarchicalFlow(MLP(width=8)).build((2,), {})
    >>> law.sample(torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5, 2])
    """

    references: ClassVar[tuple[Reference, ...]] = (HIERARCHICAL_RECTIFIED_FLOW,)
    network: Architecture = field(default_factory=MLP)
    inner_steps: int = 5
    mean_draws: int = 1

    def __post_init__(self) -> None:
        _check_steps(self.inner_steps)
        if self.mean_draws < 1:
            raise InputError(f"mean_draws must be at least 1, got {self.mean_draws}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for other heads than the velocity."""
        _check_heads(self, heads)
        outer: Schema = {STATE: Column(None, torch.Size(event_shape).numel()), TIME: UNIFORM_TIME}
        network = Concatenated(self.network, (STATE,))
        return FlowLaw(
            network.build(event_shape, schema | outer), _State(), self.inner_steps, mean_draws=self.mean_draws
        )


@dataclass(frozen=True)
class FlowHead(Architecture):
    """Hold the law of the velocity as a small flow on the features of a backbone: `h = f(x_t, t)`, once for each state,
    and `dv/dtau = g(v, tau; h)`, as often as it takes.

    The `backbone` gives `features` numbers for each entry of a point, and the `head` is conditioned on all of them. A
    velocity is drawn by one evaluation of the backbone and `inner_steps` midpoint steps of the head, two evaluations
    each. With several `tokens` a vector is cut into as many parts of one size; the head draws each from its own
    features, independently of the others, so what joins the parts within a step is lost. Trained by
    `objectives.NestedFlowMatching`.

    >>> law = FlowHead(MLP(width=8), MLP(width=8)).build((2,), {})
    >>> law.sample(torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5, 2])
    """

    references: ClassVar[tuple[Reference, ...]] = (TRANSITION_MATCHING,)
    backbone: Architecture = field(default_factory=MLP)
    head: Architecture = field(default_factory=lambda: MLP(width=64, depth=2))
    inner_steps: int = 4
    features: int = 16
    tokens: int = 1

    def __post_init__(self) -> None:
        _check_steps(self.inner_steps)
        if self.features < 1 or self.tokens < 1:
            raise InputError(f"features and tokens must be at least 1, got {self.features} and {self.tokens}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for other heads than the velocity, and for tokens that do not divide
        the entries of a vector.
        """
        _check_heads(self, heads)
        if self.tokens > 1 and (len(event_shape) != 1 or event_shape[0] % self.tokens):
            raise InputError(f"{self.tokens} tokens do not divide points of shape {event_shape}: vectors of a multiple")
        shape = event_shape if self.tokens == 1 else (event_shape[0] // self.tokens,)
        width = self.features * torch.Size(shape).numel()
        backbone = self.backbone.build(event_shape, schema, self.features)
        inner = self.head.build(shape, {FEATURES: Column(None, width)})
        return FlowLaw(inner, _Features(backbone, self.features, self.tokens), self.inner_steps, self.tokens)


class FlowLaw(nn.Module):
    """The law that the flow `inner` carries N(0, I) to, given what `context` says of a state: velocities, or `tokens`
    parts of them.
    """

    def __init__(self, inner: nn.Module, context: nn.Module, steps: int, tokens: int = 1, mean_draws: int = 1) -> None:
        super().__init__()
        self.inner, self.context, self.steps, self.tokens = inner, context, steps, tokens
        self.mean_draws = mean_draws

    def with_steps(self, steps: int) -> FlowLaw:
        """Return the same law drawn by another number of steps of the inner flow. Raises `InputError` for none."""
        _check_steps(steps)
        return FlowLaw(self.inner, self.context, steps, self.tokens, self.mean_draws)

    def parts(self, v: Tensor) -> Tensor:
        """Cut velocities `(B, *event)` into rows of tokens: `(B tokens, *part)`."""
        return v if self.tokens == 1 else v.reshape(len(v) * self.tokens, -1)

    def sample(
        self, x: Tensor, t: Tensor, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one velocity for each row of `x: (B, *event)`, `t: (B,)`, from fresh noise."""
        context = self.context(x, t, condition)
        v0 = self.parts(torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device))
        return drawn_by(self.inner, v0, context, self.steps).reshape(x.shape)

    def mean(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected velocity: `(B, *event)`, the mean of `v0 + a(v0, 0) = E[v | v0]` over `mean_draws` fixed
        noises. Where noise and velocity are independent each of them gives it alone.
        """
        context, zero = self.context(x, t, condition), x.new_zeros(len(x) * self.tokens)
        parts = [self.parts(v0.expand_as(x)) for v0 in self._noises(x)]
        means = [v0 + self.inner(v0, zero, context) for v0 in parts]
        return torch.stack(means).mean(0).reshape(x.shape)

    def _noises(self, x: Tensor) -> Tensor:
        """Return fixed noises like a row of x, with the negative of each: `(mean_draws, *event)`; zero for one."""
        if self.mean_draws == 1:
            return torch.zeros_like(x[:1])
        half = torch.randn((self.mean_draws + 1) // 2, *x.shape[1:], generator=seeded("mean of a law")).to(x)
        return torch.cat([half, -half])

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `mean`, what a field makes of the network."""
        return self.mean(x, t, condition)


def drawn_by(flow: nn.Module, noise: Tensor, told: Condition, steps: int) -> Tensor:
    """Return where a flow carries `noise: (B, *event)` from time 0 to 1 in midpoint steps, given what it is `told`."""
    v, h = noise, 1 / steps
    for step in range(steps):
        tau = v.new_full((len(v),), step * h)
        half = torch.add(v, flow(v, tau, told), alpha=h / 2)
        v = torch.add(v, flow(half, tau + h / 2, told), alpha=h)
    return v


class _State(nn.Module):
    """What a hierarchical flow tells its second level: the state and the time of the first, as they are."""

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Condition:
        return (condition or {}) | {STATE: x.flatten(1), TIME: t[:, None]}


class _Features(nn.Module):
    """What a backbone tells its head."""

    def __init__(self, backbone: nn.Module, features: int, tokens: int) -> None:
        super().__init__()
        self.backbone, self.features, self.tokens = backbone, features, tokens

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Condition:
        value = self.backbone(x, t, condition).reshape(len(x), self.features, self.tokens, -1)
        return {FEATURES: value.transpose(1, 2).reshape(len(x) * self.tokens, -1)}


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise InputError(f"inner_steps must be at least 1, got {steps}")


def _check_heads(architecture: Architecture, heads: int) -> None:
    if heads != 1:
        raise InputError(f"{type(architecture).__name__} predicts the velocity alone, not {heads} things")
