"""From a flow to a student that says policies: the flow's own network, with other heads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.networks.data_grid import DataGrid
from pushforward.networks.field import Field
from pushforward.networks.mixture_head import MixtureHead
from pushforward.networks.policy import Policy, PolicyNetwork
from pushforward.networks.residual import Adapter

__all__ = ["PolicyHead"]


@dataclass(frozen=True)
class PolicyHead(Adapter):
    """Train the network of a flow on as one that says policies: `head` with that network in the place of its own, all
    velocities the flow's at first.

    Give it to `fit` as the `adapter`, with the trained flow as `init` and the objective `PolicyImitation`.
    """

    references: ClassVar[tuple[Reference, ...]] = Policy.references
    head: MixtureHead | DataGrid = field(default_factory=MixtureHead)

    def adapted(self, field: Field) -> Field:
        """Return the field with the weights of `field`. Raises `InputError` for a network without an architecture, for
        one that sees states in coordinates of its path, and for weights that have no place.
        """
        head = replace(self.head, network=field.architecture)
        adapted = Field(head, field.path, field.event_shape, field.schema, "velocity", field.gaussian_source)
        network = adapted.network
        if not isinstance(network, PolicyNetwork):
            raise InputError(f"policies are said in plain states, not in {type(field.path).__name__}'s")
        fresh, own = network.network.state_dict(), field.network.state_dict()
        known = field.predicts == ("velocity",)
        for name, value in own.items():
            if name not in fresh:
                raise InputError(f"{type(field.architecture).__name__} cannot say policies: its {name} has no place")
            if fresh[name].shape == value.shape:
                fresh[name] = value
            elif known:
                fresh[name] = _for_each(network.velocities, value, fresh[name])
        network.network.load_state_dict(fresh)
        return adapted.train(field.training)


def _for_each(velocities: int, own: Tensor, fresh: Tensor) -> Tensor:
    """Return the weights of a last layer with those of one head in each of the first ones. Raises `InputError` where
    they are no multiple.
    """
    rows = velocities * len(own)
    if fresh.shape[1:] != own.shape[1:] or len(fresh) < rows:
        raise InputError(f"weights {tuple(own.shape)} of the flow do not fit heads of {tuple(fresh.shape)}")
    filled = fresh.clone()
    filled[:rows] = own.repeat(velocities, *[1] * (own.ndim - 1))
    return filled
