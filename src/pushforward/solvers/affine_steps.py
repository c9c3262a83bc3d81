"""Steps along an affine path: a state and its velocity determine both ends of a pair, and so every other state."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.contracts import Coefficients, ScheduleFn, VelocityField
from pushforward.errors import InputError
from pushforward.paths import Affine, Schedule

__all__ = ["advanced", "coefficients", "schedule_of", "transition"]


def schedule_of(field: VelocityField) -> ScheduleFn:
    """Return the schedule of the affine path that a field, trained or in closed form, belongs to. Raises `InputError`
    for any other path, and for a field that does not say.
    """
    path, own = getattr(field, "path", None), getattr(field, "schedule", None)
    if isinstance(path, Affine):
        return path.schedule
    if path is None and own is not None:
        return own
    found = type(field if path is None else path).__name__
    raise InputError(f"these steps follow an affine path, got {found}: take another solver, for example ab2")


def coefficients(schedule: ScheduleFn, t: float | Tensor) -> Coefficients:
    """Return the coefficients of a schedule at one time, or at times `(T,)`: `(1,)` or `(T,)` in float64. The
    derivatives are those at the nearest time where they are finite.
    """
    time = torch.as_tensor(t, dtype=torch.float64).reshape(-1)
    if not isinstance(schedule, Schedule):
        return schedule(time)
    here, near = schedule(time), schedule(time.clamp(*schedule.interval))
    return Coefficients(here.alpha, here.sigma, near.d_alpha, near.d_sigma)


def transition(now: Coefficients, then: Coefficients) -> tuple[Tensor, Tensor]:
    """Return the weights of the state and of its velocity in the state that the same pair has at another time."""
    keep = (then.sigma * now.d_alpha - then.alpha * now.d_sigma) / now.delta
    return keep, (then.alpha * now.sigma - then.sigma * now.alpha) / now.delta


def advanced(x: Tensor, v: Tensor, now: Coefficients, then: Coefficients) -> Tensor:
    """Return the state that the pair of the state `x` and the velocity `v` has at another time."""
    keep, forward = transition(now, then)
    return torch.add(float(keep) * x, v, alpha=float(forward))
