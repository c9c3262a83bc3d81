"""CAR-Flow: the network sees source and target of each condition moved close to each other by learned shifts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema, absent
from pushforward.errors import InputError
from pushforward.networks import ConditionEmbedding
from pushforward.paths.affine import Affine
from pushforward.paths.schedule import Schedule
from pushforward.predictions import Prediction
from pushforward.tensors import bcast

__all__ = ["Reparametrised"]


@dataclass(frozen=True)
class Reparametrised(Affine):
    """Join pairs as `Affine` does, and let the network work in coordinates shifted by the condition c: at time t it
    sees `z = x + o`, with `o = alpha mu1(c) + sigma mu0(c)`, and its velocity is that of z, `v = v_z - o'`.

    This is flow matching between `z0 = x0 + mu0(c)` and `z1 = x1 + mu1(c)`, loss and gradients included: z runs along
    `alpha z1 + sigma z0`. Because the field gives velocities, data and noise back in the coordinates of x, everything
    outside the network is as without shifts: sampling starts from source points, scores keep their meaning, and
    guidance mixes velocities of one and the same frame. The best possible loss does not depend on the shifts, so they
    cannot cheat; what they buy is an easier function for the network to learn.

    `mu0` (left out unless `shift_source`) and `mu1` (unless `shift_target`) are a linear layer, zero at first, of an
    embedding of the condition of `width` numbers. A row whose condition is absent is not shifted. Raises `InputError`
    where there are no conditions.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "chen2025carflow",
            "CAR-Flow: Condition-Aware Reparameterization Aligns Source and Target for Better Flow Matching",
            "Chen, Chen and Guo, Pengsheng and Song, Liangchen and Lu, Jiasen and Qian, Rui and Wang, Xinze and "
            "Fu, Tsu-Jui and Liu, Wei and Yang, Yinfei and Schwing, Alex",
            2025,
            arxiv="2509.19300",
        ),
    )
    shift_source: bool = True
    shift_target: bool = True
    width: int = 32

    def __post_init__(self) -> None:
        if self.width < 1 or not (self.shift_source or self.shift_target):
            raise InputError(f"Reparametrised needs a positive width, and a source or target to shift: got {self}")

    def wrapped(
        self, network: nn.Module, event_shape: tuple[int, ...], schema: Schema, predicts: tuple[Prediction, ...]
    ) -> nn.Module:
        """Return the network in shifted coordinates. Raises `InputError` for an empty schema."""
        if not schema:
            raise InputError("Reparametrised shifts each condition by its own amount, but there is no condition")
        shifts = _Shifts(event_shape, schema, self.width, (self.shift_source, self.shift_target))
        return _Shifted(network, shifts, self.schedule, predicts)


class _Shifts(nn.Module):
    """The two shifts of a condition: zero where there is none."""

    def __init__(self, event_shape: tuple[int, ...], schema: Schema, width: int, learned: tuple[bool, bool]) -> None:
        super().__init__()
        self.event_shape, self.names, self.learned = event_shape, tuple(schema), learned
        self.embedding = ConditionEmbedding(schema, width)
        self.last = nn.Linear(width, sum(learned) * math.prod(event_shape))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, condition: Condition | None, rows: int) -> tuple[Tensor, Tensor]:
        """Return `mu0, mu1: (rows, *event)`."""
        shifts = self.last(self.embedding(condition, rows)).reshape(rows, sum(self.learned), *self.event_shape)
        found = [condition[name] for name in self.names if name in condition] if condition else []
        if not found:
            return torch.zeros_like(shifts[:, 0]), torch.zeros_like(shifts[:, 0])
        missing = torch.stack([absent(column) for column in found]).all(0)
        shifts = shifts.masked_fill(bcast(missing, shifts), 0)
        parts = iter(shifts.unbind(1))
        mu0, mu1 = (next(parts) if learned else torch.zeros_like(shifts[:, 0]) for learned in self.learned)
        return mu0, mu1


class _Shifted(nn.Module):
    """A network that sees shifted states; what it predicts is shifted back, head by head."""

    def __init__(
        self, network: nn.Module, shifts: _Shifts, schedule: Schedule, predicts: tuple[Prediction, ...]
    ) -> None:
        super().__init__()
        self.network, self.shifts, self.schedule, self.predicts = network, shifts, schedule, predicts

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`."""
        mu0, mu1 = self.shifts(condition, x.shape[0])
        offset, speed = self.schedule.interpolate(mu0, mu1, t)
        still = torch.zeros_like(mu0)  # a score, and with it the noise it stands for, is the same in every frame
        moved = {"velocity": speed, "drift": speed, "data": mu1, "noise": mu0, "score": still, "denoiser": still}
        return self.network(x + offset, t, condition) - torch.cat([moved[kind] for kind in self.predicts], 1)
