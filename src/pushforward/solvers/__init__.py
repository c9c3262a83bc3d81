"""Solvers: carry points along a field in time, and compute the density of where they arrive."""

from pushforward.solvers.diffusion import Bump, Constant, Diffusion, Proportional, Vanishing
from pushforward.solvers.divergence import divergence, rademacher
from pushforward.solvers.dormand_prince import Control, integrate_adaptive
from pushforward.solvers.grid import (
    Cosine,
    Explicit,
    FromFile,
    Grid,
    GridRule,
    Karras,
    LogitNormalQuantiles,
    Piecewise,
    Shifted,
    Uniform,
)
from pushforward.solvers.integrate import Hook, Solution, Stepper, integrate
from pushforward.solvers.kl_bound import KLBound, kl_bound
from pushforward.solvers.likelihood import Density, log_density
from pushforward.solvers.mixture import MixtureODE, MixtureSDE
from pushforward.solvers.multistep import AdamsBashforth2
from pushforward.solvers.noise_levels import NoiseLevels
from pushforward.solvers.runge_kutta import TABLEAUS, RungeKutta, Tableau
from pushforward.solvers.solver import SDE, DormandPrince, FixedStep, GridSolver, Solver, choose_solver
from pushforward.solvers.stochastic import EulerMaruyama, StochasticHeun
from pushforward.solvers.stochastic_likelihood import DensityAlongPaths
from pushforward.solvers.velocity import DriftField, Velocity
from pushforward.solvers.velocity_law import NestedSampler

__all__ = [
    "SDE",
    "TABLEAUS",
    "AdamsBashforth2",
    "Bump",
    "Constant",
    "Control",
    "Cosine",
    "Density",
    "DensityAlongPaths",
    "Diffusion",
    "DormandPrince",
    "DriftField",
    "EulerMaruyama",
    "Explicit",
    "FixedStep",
    "FromFile",
    "Grid",
    "GridRule",
    "GridSolver",
    "Hook",
    "KLBound",
    "Karras",
    "LogitNormalQuantiles",
    "MixtureODE",
    "MixtureSDE",
    "NestedSampler",
    "NoiseLevels",
    "Piecewise",
    "Proportional",
    "RungeKutta",
    "Shifted",
    "Solution",
    "Solver",
    "Stepper",
    "StochasticHeun",
    "Tableau",
    "Uniform",
    "Vanishing",
    "Velocity",
    "choose_solver",
    "divergence",
    "integrate",
    "integrate_adaptive",
    "kl_bound",
    "log_density",
    "rademacher",
]
