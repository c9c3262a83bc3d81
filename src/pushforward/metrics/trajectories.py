"""What the paths of a flow cost, and how straight they are."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["path_energy", "straightness"]


def path_energy(states: Tensor, nodes: Tensor, velocities: Tensor | None = None) -> Tensor:
    """Mean kinetic energy of paths, `E integral |v|^2 dt`: never less than the squared W2 between its ends on a unit
    interval.

    Args:
        states: `(T, B, *event)`, the states at the nodes.
        nodes: `(T,)`, increasing times.
        velocities: `(T, B, *event)` at the nodes, integrated by the trapezium rule. `None` takes the paths as
            straight between nodes (an underestimate where they bend there).

    Returns a 0-d tensor, in the squared unit of the states per unit of time. Raises `InputError` for shapes or nodes
    that do not fit.

    >>> path_energy(torch.tensor([[[0.0]], [[1.0]], [[3.0]]]), torch.tensor([0.0, 0.5, 1.0]))  # 0.5 (2^2 + 4^2)
    tensor(10.)
    """
    _check(states, nodes, velocities)
    return _integral(_speeds(states, nodes, velocities), nodes)


def straightness(states: Tensor, nodes: Tensor, velocities: Tensor | None = None) -> Tensor:
    """Mean departure of paths from straight lines at constant speed, `E integral |v - (x_1 - x_0)|^2 dt`: zero when
    one step is exact.

    Arguments, result and errors are those of `path_energy`; on an interval other than [0, 1] the constant velocity is
    the displacement over the duration.

    >>> straightness(torch.tensor([[[0.0]], [[1.0]], [[3.0]]]), torch.tensor([0.0, 0.5, 1.0]))  # 10 - 3^2
    tensor(1.)
    """
    _check(states, nodes, velocities)
    mean_velocity = (states[-1] - states[0]) / (nodes[-1] - nodes[0])
    return _integral(_speeds(states, nodes, velocities) - mean_velocity, nodes)


def _speeds(states: Tensor, nodes: Tensor, velocities: Tensor | None) -> Tensor:
    """Velocities at the nodes `(T, B, *event)`, or the constant ones between them `(T - 1, B, *event)`."""
    if velocities is not None:
        return velocities
    return torch.diff(states, dim=0) / torch.diff(nodes).reshape(-1, *([1] * (states.ndim - 1)))


def _integral(values: Tensor, nodes: Tensor) -> Tensor:
    """Integral over time of the mean squared norm of `values`, given at the nodes or constant between them."""
    squared = values.flatten(2).square().sum(2).mean(1)
    if values.shape[0] == nodes.shape[0]:
        return torch.trapezoid(squared, nodes)
    return (squared * torch.diff(nodes)).sum()


def _check(states: Tensor, nodes: Tensor, velocities: Tensor | None) -> None:
    if states.ndim < 3 or states.shape[0] < 2 or states.shape[1] < 1:
        raise InputError(
            f"states have shape {tuple(states.shape)}, wanted (times, rows, *event) with at least two times"
        )
    if nodes.shape != states.shape[:1]:
        raise InputError(f"nodes have shape {tuple(nodes.shape)}, wanted ({states.shape[0]},), one for each state")
    if not (torch.diff(nodes) > 0).all():
        raise InputError("nodes must increase")
    if velocities is not None and velocities.shape != states.shape:
        raise InputError(
            f"velocities have shape {tuple(velocities.shape)}, wanted that of the states, {tuple(states.shape)}"
        )
