"""Low-rank adapters: a training that fits into a small file, and that other flows can take over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.networks.field import Field
from pushforward.networks.low_rank import LowRank, started
from pushforward.networks.residual import Adapter
from pushforward.networks.weights import placed

__all__ = ["LoRA"]


@dataclass(frozen=True)
class LoRA(Adapter):
    """Train low-rank changes of a flow's weights in the place of the weights: `W + (alpha / rank) B A`, with `rank`,
    `alpha` and `layers` those of `LowRank`.

    It starts as the flow. With another adapter `on` it is applied to what that makes of the flow, and parameters that
    are new there are trained as they are. What is trained can be kept alone and added to a sibling, a flow that was
    fine-tuned from the same base (`distillation.save_adapter`).
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "luo2023lcm",
            "LCM-LoRA: A Universal Stable-Diffusion Acceleration Module",
            "Luo, Simian and Tan, Yiqin and Patil, Suraj and Gu, Daniel and von Platen, Patrick and Passos, Apolinario "
            "and Huang, Longbo and Li, Jian and Zhao, Hang",
            2023,
            arxiv="2311.05556",
        ),
    )
    rank: int = 8
    alpha: float | None = None
    layers: str = ""
    on: Adapter | None = None

    def after(self, first: Adapter) -> LoRA:
        """Return this adapter on what `first` makes of a flow."""
        return replace(self, on=first)

    def adapted(self, field: Field) -> Field:
        """Return the field with zero changes; the same if it has changes already, which are then trained on. Raises
        `InputError` for a network without an architecture, and where no layer is changed.
        """
        if isinstance(field.architecture, LowRank):
            return field
        base = field if self.on is None else self.on.adapted(field)
        names = base.state_dict().keys()
        known = set(placed(field.state_dict(), names).values())
        whole = tuple(name for name in names if name not in known)
        return started(LowRank(base.architecture, self.rank, self.alpha, self.layers, whole), base.path, base)
