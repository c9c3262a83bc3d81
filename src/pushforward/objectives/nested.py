"""Flow matching of the velocity's own law: one level of hierarchical flows and of transition matching."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, check_dropout, drop_rows
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field, FlowHead, FlowLaw
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.objectives.velocity_bank import VelocityBank
from pushforward.papers import HIERARCHICAL_COUPLINGS
from pushforward.paths import Affine
from pushforward.tensors import flat_mean

__all__ = ["NestedFlowMatching", "inner_errors"]

INNER = Affine()
"""The path of the inner flow is straight."""


@dataclass(frozen=True)
class NestedFlowMatching(Objective):
    """Flow matching within flow matching: the velocity v of a pair at `(x_t, t)` is itself the target point of a flow
    from noise v0 ~ N(0, I), conditioned on `(x_t, t)`: `E |a(v_tau, tau; x_t, t) - (v - v0)|^2 / d`, `v_tau = (1 - tau)
    v0 + tau v`.

    Times t follow the law `time`, tau `inner_time`; `draws` many noises and tau are drawn for each point of the outer
    path, which is cheap where a backbone is evaluated once for all of them. For
    `HierarchicalFlow` (hierarchical rectified flow) and `FlowHead` (transition matching). `time:
    {class_path: objectives.Discrete}` fixes the outer grid, as transition matching does.

    Needs an affine path. Couplings act at both levels: with optimal transport between source and target (`MinibatchOT`)
    the law of the velocity narrows, down to one velocity; a `bank` pairs noise and velocity by optimal transport at
    each state, and straightens the inner flow. The mean of a law trained with a bank is averaged over several noises:
    give its network `mean_draws`.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        HIERARCHICAL_COUPLINGS,
        *FlowHead.references,
    )
    time: TimeLaw = field(default_factory=Uniform)
    inner_time: TimeLaw = field(default_factory=Uniform)
    draws: int = 1
    condition_dropout: float = 0.0
    bank: VelocityBank | None = None

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InputError(f"draws must be at least 1, got {self.draws}")
        if self.bank is not None and self.draws > 1:
            raise InputError("a bank keeps one pair of noise and velocity for each state: leave out draws")
        check_dropout(self.condition_dropout)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for another network or path, and for pairs with a mask."""
        law = field.network
        if not isinstance(law, FlowLaw) or not isinstance(path, Affine):
            raise InputError("NestedFlowMatching needs an affine path and a network: HierarchicalFlow or FlowHead")
        if pairs.mask is not None:
            raise InputError("NestedFlowMatching has no pairs with a mask: every entry moves")
        times = self.time.sample(len(pairs), generator=generator, device=pairs.x1.device, dtype=pairs.x1.dtype)
        point = path.point(pairs, times, generator=generator)
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        context = law.context(point.x, point.t, condition)
        if self.bank is None:
            v1 = point.v.repeat(self.draws, *[1] * (point.v.ndim - 1))
            v0 = torch.randn(v1.shape, generator=generator, dtype=v1.dtype, device=v1.device)
        else:
            v0, v1 = self.bank(pairs, point, path.schedule(times.input), generator=generator)
        told = {name: column.repeat(self.draws, *[1] * (column.ndim - 1)) for name, column in context.items()}
        errors = inner_errors(law.inner, law.parts(v0), law.parts(v1), told, self.inner_time, generator=generator)
        loss = errors.view(self.draws, len(pairs), -1).mean((0, 2))
        return Loss(pairs.mean(loss), {}, loss.detach())


def inner_errors(
    flow: nn.Module, v0: Tensor, v1: Tensor, told: Condition, time: TimeLaw, *, generator: torch.Generator | None
) -> Tensor:
    """Return the mean squared errors `(B,)` of a flow from noises to points, `(B, *event)` each, at times drawn from
    the law `time`, given what it is `told`.
    """
    inner = Pairs(v0, v1)
    taus = time.sample(len(inner), generator=generator, device=v1.device, dtype=v1.dtype)
    point = INNER.point(inner, taus)
    return flat_mean((flow(point.x, point.t, told) - point.v).square())
