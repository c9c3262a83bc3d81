"""Learning the transitions of a process from noise to data, token by token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import check_dropout, drop_rows
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.errors import InputError
from pushforward.networks import CausalLaw, CausalTransitions, Field
from pushforward.objectives.nested import inner_errors
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.paths import Affine

__all__ = ["TransitionMatching"]


@dataclass(frozen=True)
class TransitionMatching(Objective):
    """Flow matching of every token of the next state, given the tokens before it: `E |g(y_tau, tau; h) - (y - y0)|^2`
    with `y_tau = (1 - tau) y0 + tau y`, y0 ~ N(0, I), and h the features of the states and tokens before y.

    The states `x_k = alpha_k x1 + sigma_k e_k`, at the times k / T, have noise of their own each (the independent
    process): only what they share with the target point joins them. For `CausalTransitions`, of which one pass gives
    all features: of a pair of states from a step k drawn uniformly (ARTM), or of the whole sequence (FHTM). For each
    token `draws` noises y0 and times tau are drawn.

    Needs an affine path from N(0, I) noise. `per_sample` is the mean over states, tokens and draws.
    """

    references: ClassVar[tuple[Reference, ...]] = CausalTransitions.references
    inner_time: TimeLaw = field(default_factory=Uniform)
    draws: int = 4
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InputError(f"draws must be at least 1, got {self.draws}")
        check_dropout(self.condition_dropout)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for another network or path, a source that is not noise, and pairs with
        a mask.
        """
        law = field.network
        if not isinstance(law, CausalLaw) or not isinstance(path, Affine):
            raise InputError("TransitionMatching needs an affine path and a network: CausalTransitions")
        if not pairs.gaussian_source or pairs.mask is not None:
            raise InputError("TransitionMatching needs pairs with independent noise N(0, I), without a mask")
        first, states = independent_process(pairs.x1, law.steps, law.seen + 1, path, generator=generator)
        tokens = law.patches.split(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        told = law.told(law.features(tokens, first, condition).flatten(0, 2).repeat(self.draws, 1))
        y = tokens[:, 1:].flatten(0, 2).repeat(self.draws, 1)
        y0 = torch.randn(y.shape, generator=generator, dtype=y.dtype, device=y.device)
        errors = inner_errors(law.inner, y0, y, told, self.inner_time, generator=generator)
        loss = errors.view(self.draws, len(pairs), -1).mean((0, 2))
        return Loss(pairs.mean(loss), {}, loss.detach())


def independent_process(
    x1: Tensor, steps: int, count: int, path: Affine, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw `count` states that follow each other on the way to `x1: (B, *event)`, each with noise of its own: the step
    of the first, `(B,)` and uniform on those from which there are as many, and the states `(B, count, *event)`.
    """
    rows, device = len(x1), x1.device
    first = torch.randint(steps - count + 2, (rows,), generator=generator, device=device)
    t = ((first[:, None] + torch.arange(count, device=device)) / steps).to(x1.dtype).flatten()
    ends = x1.repeat_interleave(count, 0)
    noise = torch.randn(ends.shape, generator=generator, dtype=x1.dtype, device=device)
    point = path.point(Pairs(noise, ends), Times(t, t, torch.zeros_like(t)))
    return first, point.x.unflatten(0, (rows, count))
