"""Networks of which only low-rank changes of the weights are trained."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pushforward.conditions import Schema
from pushforward.contracts import Path
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.field import Field
from pushforward.networks.weights import placed

__all__ = ["LowRank", "changed_layers", "merged", "started"]

MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
ORIGINAL = "parametrizations.weight.original"


@dataclass(frozen=True)
class LowRank(Architecture):
    """A `network` whose weights stay as they are but for `W + (alpha / rank) B A`, with A of `rank` rows and B of as
    many columns, zero at first: these alone are trained.

    Changed are linear and convolutional layers in whose name the regular expression `layers` is found, by default all.
    `whole` names parameters that are trained as they are, since nothing was there before them. `alpha` is `rank` if not
    given.
    """

    network: Architecture
    rank: int = 8
    alpha: float | None = None
    layers: str = ""
    whole: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", tuple(self.whole))
        if self.rank < 1 or (self.alpha is not None and not self.alpha > 0):
            raise InputError(f"a low rank is at least 1, and alpha positive, got {self.rank} and {self.alpha}")

    @property
    def scale(self) -> float:
        """What `B A` is multiplied by."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` where no layer is changed."""
        network = self.network.build(event_shape, schema, heads)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(self._whole(name))
        found = [
            module for name, module in network.named_modules()
            if isinstance(module, MATRICES) and re.search(self.layers, name) and not self._whole(f"{name}.weight")
        ]  # fmt: skip
        if not found:
            raise InputError(f"no layer of {type(self.network).__name__} has a name in which {self.layers!r} is found")
        for module in found:
            parametrize.register_parametrization(module, "weight", LowRankChange(module.weight, self.rank, self.scale))
        return network

    def _whole(self, name: str) -> bool:
        # parameters are named as those of a field, of which a network is a part
        return any(f".{full}".endswith(f".{name}") for full in self.whole)


class LowRankChange(nn.Module):
    """`W -> W + scale up down`, with `down: (rank, in)` and `up: (out, rank)`, the entries of a filter in a row."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.scale, self.shape = scale, weight.shape
        self.down = nn.Parameter(torch.empty(rank, columns).uniform_(-1, 1) * columns**-0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + self.scale * (self.up @ self.down).reshape(self.shape)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return both as the weights of layers of their own, one like the changed layer and one of single points: views
        of the parameters.
        """
        inner = self.shape[2:]
        return self.down.unflatten(1, self.shape[1:]), self.up.reshape(*self.up.shape, *(1 for _ in inner))


def changed_layers(network: nn.Module) -> dict[str, LowRankChange]:
    """Return the changes of a network's layers, by the name of the layer."""
    return {
        name.removesuffix(".parametrizations.weight.0"): module
        for name, module in network.named_modules() if isinstance(module, LowRankChange)
    }  # fmt: skip


def started(spec: LowRank, path: Path, field: Field) -> Field:
    """Return a field of `spec` on a path that starts with the weights of `field`, and no changes of them. Raises
    `InputError` where they do not fit.
    """
    fresh = Field(spec, path, field.event_shape, field.schema, field.predicts, field.gaussian_source)
    own, weights = field.state_dict(), fresh.state_dict()
    names = {name.replace(ORIGINAL, "weight"): name for name in weights}
    places = {names.get(place, place): old for old, place in placed(own, names).items()}
    unlike = [name for name, old in places.items() if name not in weights or weights[name].shape != own[old].shape]
    if unlike:
        raise InputError(f"the weights of the trained network do not fit beside low-rank changes, first {unlike[0]}")
    fresh.load_state_dict(weights | {name: own[old] for name, old in places.items()})
    return fresh.train(field.training)


def merged(field: Field) -> Field:
    """Return a field of the network itself, with the changes added to its weights. Raises `InputError` for a field
    without any.
    """
    spec = field.architecture
    if not isinstance(spec, LowRank):
        raise InputError(f"a {type(spec).__name__} has no low-rank changes to merge")
    weights = {name: value for name, value in field.state_dict().items() if ".parametrizations." not in name}
    for name, module in field.named_modules():
        if isinstance(module, MATRICES) and parametrize.is_parametrized(module, "weight"):
            weights[f"{name}.weight"] = module.weight.detach()
    plain = Field(spec.network, field.path, field.event_shape, field.schema, field.predicts, field.gaussian_source)
    plain.load_state_dict(weights)
    return plain.train(field.training)
