"""The peers, behind the few functions that the benchmarks need; a peer that is not installed is left out, and said to
be.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

__all__ = [
    "PathSampler",
    "VelocityFn",
    "condot",
    "couple_exactly",
    "diffusers_loops",
    "euler_solvers",
    "installed",
    "matcher",
    "torchcfm_mlp",
    "torchdiffeq_dopri5",
    "torchdiffeq_fixed",
]

PathSampler: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""`(x0, x1) -> (t, x_t, velocity)`."""
VelocityFn: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@cache
def installed(name: str) -> bool:
    """Tell whether a peer can be imported, and say on standard error when it cannot."""
    found = importlib.util.find_spec(name) is not None
    if not found:
        print(f"{name} is not installed, its rows are left out: `make bench` installs it", file=sys.stderr)
    return found


def _get(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def matcher(exact: bool) -> PathSampler:
    """TorchCFM's I-CFM or OT-CFM with sigma 0."""
    kind = "ExactOptimalTransportConditionalFlowMatcher" if exact else "ConditionalFlowMatcher"
    return _get("torchcfm.conditional_flow_matching", kind)(sigma=0.0).sample_location_and_conditional_flow


def couple_exactly() -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """TorchCFM's exact coupling: `(x0, x1) -> (x0[i], x1[j])`."""
    return _get("torchcfm.optimal_transport", "OTPlanSampler")(method="exact").sample_plan


def torchcfm_mlp() -> nn.Module:
    """TorchCFM's own network for the plane, three hidden layers of 256, called with x and t side by side."""
    return _get("torchcfm.models", "MLP")(dim=2, w=256, time_varying=True)


def condot() -> PathSampler:
    """flow_matching's straight path."""
    path = _get("flow_matching.path", "CondOTProbPath")()

    def sample(x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        point = path.sample(t=torch.rand(len(x0)), x_0=x0, x_1=x1)
        return point.t, point.x_t, point.dx_t

    return sample


def euler_solvers(velocity: VelocityFn, steps: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Euler with `steps` steps as each installed peer does it: functions of the start."""
    grid = torch.linspace(0, 1, steps + 1)
    solvers: dict[str, Callable[[Tensor], Tensor]] = {}
    if installed("torchdiffeq"):
        odeint = _get("torchdiffeq", "odeint")
        solvers["torchdiffeq"] = lambda x: odeint(lambda t, y: velocity(y, t.expand(len(y))), x, grid, method="euler")[
            -1
        ]
    if installed("flow_matching"):
        solver = _get("flow_matching.solver", "ODESolver")(velocity_model=lambda x, t: velocity(x, t.expand(len(x))))
        solvers["flow_matching"] = lambda x: solver.sample(x, step_size=None, time_grid=grid, method="euler")
    return solvers


def torchdiffeq_dopri5(velocity: VelocityFn, tolerance: float) -> Callable[[Tensor], Tensor]:
    """torchdiffeq's Dormand-Prince 5(4) with the same absolute and relative tolerance."""
    odeint, ends = _get("torchdiffeq", "odeint"), torch.tensor([0.0, 1.0])
    return lambda x: odeint(
        lambda t, y: velocity(y, t.expand(len(y))), x, ends, rtol=tolerance, atol=tolerance, method="dopri5"
    )[-1]


def torchdiffeq_fixed(velocity: VelocityFn, method: str, steps: int) -> Callable[[Tensor], Tensor]:
    """torchdiffeq's solver of fixed steps: `euler`, `midpoint`, `heun2` or `rk4`."""
    odeint, grid = _get("torchdiffeq", "odeint"), torch.linspace(0, 1, steps + 1)
    return lambda x: odeint(lambda t, y: velocity(y, t.expand(len(y))), x, grid, method=method)[-1]


SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpm++2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
}


def diffusers_loops(velocity: VelocityFn, steps: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The loop of a diffusers pipeline, by method: each scheduler with `steps` evaluations of `velocity`, whose values
    it takes for what it expects of a network.
    """

    def loop(kind: str, options: dict[str, Any]) -> Callable[[Tensor], Tensor]:
        scheduler = _get("diffusers", kind)(**options)

        def sample(x: Tensor) -> Tensor:
            scheduler.set_timesteps(steps)  # as every pipeline does for every call; it also resets the memory
            for time in scheduler.timesteps:
                out = velocity(x, (1 - time / 1000).expand(len(x)))
                x = scheduler.step(out, time, x).prev_sample
            return x

        return sample

    return {name: loop(*described) for name, described in SCHEDULERS.items()}
