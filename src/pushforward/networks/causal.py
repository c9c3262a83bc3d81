"""The law of the next state of a process, token by token: a causal transformer with a flow for every token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.embedding import ConditionEmbedding, FourierTime
from pushforward.networks.flow_head import FEATURES, TRANSITION_MATCHING, drawn_by
from pushforward.networks.mlp import MLP
from pushforward.networks.patches import Patches
from pushforward.networks.transformer import Memory, TransformerBlock, check_heads, normed, zero

__all__ = ["CausalLaw", "CausalTransitions"]


@dataclass(frozen=True)
class CausalTransitions(Architecture):
    """Hold the law of the next state `x_{k+1}` of a process of `steps` steps from source to target, token by token:
    given the states before it and its own tokens before it.

    States are cut into patches of side `patch` (vectors: parts of as many numbers), the tokens. A transformer of
    `depth` blocks that look back only reads the last `seen` states and the tokens that are there already; on the
    features of the latest token a flow, the `head`, draws the next one from noise by `inner_steps` midpoint steps. One
    state seen is autoregressive transition matching (ARTM); all of them, which `seen = steps` means, is full-history
    transition matching (FHTM), a plain autoregressive model of the whole sequence of states. Time and condition
    modulate the blocks.

    Trained by `objectives.TransitionMatching`, drawn by `solvers.TransitionSampler`; there is no velocity.
    """

    references: ClassVar[tuple[Reference, ...]] = (TRANSITION_MATCHING,)
    steps: int = 4
    seen: int = 1
    patch: int = 1
    width: int = 64
    depth: int = 2
    head_width: int = 32
    expansion: int = 4
    head: Architecture = field(default_factory=lambda: MLP(width=64, depth=2))
    inner_steps: int = 4

    def __post_init__(self) -> None:
        sizes = (self.steps, self.patch, self.width, self.depth, self.head_width, self.expansion, self.inner_steps)
        if min(sizes) < 1:
            raise InputError(f"CausalTransitions needs positive sizes, got {self}")
        if self.seen not in (1, self.steps):
            raise InputError(f"seen is 1, the last state, or all {self.steps} of them, got {self.seen}")
        check_heads(self.width, self.head_width)

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for several heads."""
        if heads != 1:
            raise InputError(f"CausalTransitions draws states, it does not predict {heads} things")
        return CausalLaw(self, Patches(tuple(event_shape), self.patch), schema)


class CausalLaw(nn.Module):
    """The transformer, and the flow `inner` that draws a token from what the transformer says: a `TransitionLaw`."""

    def __init__(self, spec: CausalTransitions, patches: Patches, schema: Schema) -> None:
        super().__init__()
        width, self.steps, self.seen, self.patches = spec.width, spec.steps, spec.seen, patches
        self.inner_steps = spec.inner_steps
        self.time = nn.Sequential(FourierTime(8), nn.Linear(16, width))
        self.condition = ConditionEmbedding(schema, width) if schema else None
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.first = nn.Linear(patches.width, width)
        self.places = nn.Parameter(0.1 * torch.randn(patches.tokens, width))
        blocks = (TransformerBlock(width, spec.head_width, spec.expansion) for _ in range(spec.depth))
        self.blocks = nn.ModuleList(blocks)
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.inner = spec.head.build((patches.width,), {FEATURES: Column(None, width)})

    def features(self, states: Tensor, first: Tensor, condition: Condition | None = None) -> Tensor:
        """Return what is said of every token of the states but the first one's, given all tokens before it.

        `states: (B, S, tokens, width)` follow each other from step `first: (B,)` on; returns `(B, S - 1, tokens,
        features)`. One pass, as all tokens are known (teacher forcing).
        """
        count, places = states.shape[1], torch.arange(self.patches.tokens, device=states.device)
        step = first[:, None] + torch.arange(count, device=states.device).repeat_interleave(len(places))[:-1]
        tokens = states.flatten(1, 2)[:, :-1]
        said = self._read(tokens, places.repeat(count)[:-1], step, condition, self._memories())
        return said[:, len(places) - 1 :].unflatten(1, (count - 1, len(places)))

    def advance(
        self,
        x: Tensor,
        k: int,
        condition: Condition | None = None,
        memory: list[Memory] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, list[Memory]]:
        """Draw the state after `x: (B, *event)`, which is that of step k, and return it with what is remembered of the
        states so far, to be handed over at the next step.
        """
        tokens, places = self.patches.split(x), torch.arange(self.patches.tokens, device=x.device)
        if memory is None or self.seen == 1:
            memory, latest = self._memories(), slice(None)
        else:
            latest = slice(-1, None)  # the tokens before it are remembered
        step = torch.full((1, 1), k, device=x.device)
        said, made = self._read(tokens[:, latest], places[latest], step, condition, memory)[:, -1], []
        for place in places:
            noise = torch.randn(tokens[:, 0].shape, generator=generator, dtype=x.dtype, device=x.device)
            made.append(drawn_by(self.inner, noise, self.told(said), self.inner_steps))
            if len(made) < len(places):
                said = self._read(made[-1][:, None], place[None], step + 1, condition, memory)[:, 0]
        return self.patches.join(torch.stack(made, 1)), memory

    def told(self, features: Tensor) -> Condition:
        """Return features `(B, k)` as what the flow of a token is told."""
        return {FEATURES: features}

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Raise `InputError`: there is no velocity."""
        raise InputError("this network draws states, it has no velocity: sample with TransitionSampler")

    def _memories(self) -> list[Memory]:
        return [Memory() for _ in self.blocks]

    def _read(
        self, tokens: Tensor, places: Tensor, step: Tensor, condition: Condition | None, memory: list[Memory]
    ) -> Tensor:
        """Read further tokens `(B, m, width)` at their places `(m,)` and steps, `(B, m)` or one for all; return what is
        said of the token after each: `(B, m, features)`.
        """
        time = (step / self.steps).to(tokens.dtype)
        embedding = self.time(time.flatten()).unflatten(0, time.shape)
        if self.condition is not None:
            embedding = embedding + self.condition(condition, len(tokens))[:, None]
        embedding = self.mix(embedding)
        h = self.first(tokens) + self.places[places]
        for block, own in zip(self.blocks, memory, strict=True):
            h = block(h, embedding, own)
        return normed(h, *self.modulation(embedding).chunk(2, 2))
