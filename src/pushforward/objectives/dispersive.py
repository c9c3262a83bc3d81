"""A term for any objective that keeps the features of different rows apart."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.errors import InputError
from pushforward.networks import Field, features
from pushforward.objectives.dispersion import Dispersion, InfoNCEL2
from pushforward.objectives.extended import Extended
from pushforward.objectives.flow_maps.mean_flow import MeanFlow
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw

__all__ = ["Dispersive"]


@dataclass(frozen=True)
class Dispersive(Extended):
    """`L_base + strength L_disp`: any objective, and a `dispersion` of what `layers` of the network say of the rows of
    a batch, on average over the layers.

    A network of few steps tends to map different observations to nearly the same features, and then acts alike where it
    should not. Layers are named as those of the network that is trained, such as `network.hidden.0` of an `MLP` that is
    told two times; each is read, flattened, at the first evaluation that carries gradients, so that the term costs no
    evaluation of its own. With `clean` they are read at a second evaluation instead, of the target points themselves at
    times of that law, as in DM1's code. A layer of times alone would teach nothing of states.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "sheng2025mp1",
            "MP1: MeanFlow Tames Policy Learning in 1-step for Robotic Manipulation",
            "Sheng, Juyi and Wang, Ziyi and Li, Peiming and Liu, Mengyuan",
            2025,
            arxiv="2507.10543",
        ),
        Reference(
            "zou2025dm1",
            "DM1: MeanFlow with Dispersive Regularization for 1-Step Robotic Manipulation",
            "Zou, Guowei and Wang, Haitao and Wu, Hejun and Qian, Yukun and Wang, Yuhang and Li, Weibing",
            2025,
            arxiv="2510.07865",
        ),
    )
    layers: tuple[str, ...]
    base: Objective = field(default_factory=MeanFlow)
    dispersion: Dispersion = field(default_factory=InfoNCEL2)
    strength: float = 0.5
    clean: TimeLaw | None = None

    def __post_init__(self) -> None:
        """Hold layers as a tuple, also when they come from YAML."""
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers or not self.strength >= 0:
            raise InputError(
                f"Dispersive needs layers and a strength of at least 0, got {self.layers}, {self.strength}"
            )

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, of no more evaluations than the base unless `clean`; `dispersion` is among the terms."""
        with ExitStack() as stack:
            readings = [stack.enter_context(features(field.network, layer)) for layer in self.layers]
            loss = self.base(field, pairs, path, generator=generator)
            if self.clean is not None:
                field(*_clean(pairs, path, self.clean, generator), pairs.condition)
        said = [reading.trained if self.clean is None else reading.features for reading in readings]
        dispersion = torch.stack([self.dispersion(value.flatten(1)) for value in said]).mean()
        return replace(
            loss,
            total=loss.total + self.strength * dispersion,
            terms=loss.terms | {"dispersion": dispersion.detach()},
        )


def _clean(pairs: Pairs, path: Path, law: TimeLaw, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return the target points as the network sees them, and times of a law to tell it: `(B, *event)` and `(B,)`."""
    end = torch.ones(len(pairs), dtype=pairs.x1.dtype, device=pairs.x1.device)
    x = path.point(pairs, Times(end, end, torch.zeros_like(end)), generator=generator).x
    return x, law.sample(len(pairs), generator=generator, device=x.device, dtype=x.dtype).label
