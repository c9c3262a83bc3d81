"""Weights that move from one field to another: into a wider network, and as a difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.contracts import Path
from pushforward.errors import InputError
from pushforward.networks.field import Field

__all__ = ["WeightDelta", "carried_over", "placed"]


def carried_over(field: Field, path: Path) -> Field:
    """Return a field of the same architecture on another path that starts with the weights of `field`.

    Where the path tells the network more than before (`Windows`), or wraps it once more as its `network`, what there is
    beyond the weights of `field` is zero, so that it says the same at first. Raises `InputError` for a network that was
    given as a module, and where the weights do not fit.
    """
    fresh = Field(field.architecture, path, field.event_shape, field.schema, field.predicts, field.gaussian_source)
    own, weights = field.state_dict(), fresh.state_dict()
    places = {new: old for old, new in placed(own, weights).items()}
    unlike = [name for name, old in places.items() if name not in weights or weights[name].shape != own[old].shape]
    if unlike:
        raise InputError(f"the weights of the trained network do not fit the new one, first {unlike[0]}")
    fresh.load_state_dict(
        {name: own[places[name]] if name in places else torch.zeros_like(value) for name, value in weights.items()}
    )
    return fresh.train(field.training)


def placed(own: Iterable[str], weights: Iterable[str]) -> dict[str, str]:
    """Return where the weights of a field lie among those of one that may hold its network in another, by name."""
    known = set(weights)
    return {name: name if name in known else name.replace("network.", "network.network.", 1) for name in own}


@dataclass(frozen=True)
class WeightDelta:
    """What training changed in the weights of a field, by name: it can be added to any other of the same architecture,
    a fine-tuned sibling above all.

    >>> from pushforward.networks import MLP
    >>> from pushforward.paths import Affine
    >>> before, after = (Field(MLP(width=8), Affine(), (2,), {}) for _ in range(2))
    >>> moved = WeightDelta.between(before, after).added(before)
    >>> torch.allclose(moved.network.first.weight, after.network.first.weight)
    True
    """

    weights: Mapping[str, Tensor]

    @classmethod
    def between(cls, before: Field, after: Field) -> WeightDelta:
        """Return `after - before`. Raises `InputError` unless both have the same weights."""
        old, new = before.state_dict(), after.state_dict()
        _check_alike(old, new)
        return cls({name: new[name] - old[name] for name in old if old[name].is_floating_point()})

    def added(self, field: Field, scale: float = 1.0) -> Field:
        """Return a copy of a field with `scale` times the difference added. Raises `InputError` where it has other
        weights.
        """
        copy = deepcopy(field)
        own = copy.state_dict()
        _check_alike(self.weights, {name: value for name, value in own.items() if value.is_floating_point()})
        copy.load_state_dict(own | {name: own[name] + scale * change for name, change in self.weights.items()})
        return copy


def _check_alike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    shapes = [{name: tuple(value.shape) for name, value in each.items()} for each in (one, other)]
    unlike = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
    if unlike:
        raise InputError(f"two fields of one architecture are needed, but their weights differ, first {unlike[0]}")
