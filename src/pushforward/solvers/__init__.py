"""Solvers: carry points along a field in time, and compute the density of where they arrive."""

from pushforward.solvers.acceleration import AccelerationSteps
from pushforward.solvers.bellman import StepCosts, bellman, euler_costs
from pushforward.solvers.compiled import Compiled
from pushforward.solvers.diffusion import Bump, Constant, Diffusion, Proportional, Vanishing
from pushforward.solvers.divergence import divergence, rademacher
from pushforward.solvers.dormand_prince import Control, integrate_adaptive
from pushforward.solvers.exponential import Exponential, ExponentialMultistep
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
from pushforward.solvers.jump import Jump
from pushforward.solvers.kl_bound import KLBound, kl_bound
from pushforward.solvers.likelihood import Density, log_density
from pushforward.solvers.mixture import MixtureODE, MixtureSDE
from pushforward.solvers.multistep import AdamsBashforth2, PseudoCorrector
from pushforward.solvers.noise_levels import NoiseLevels
from pushforward.solvers.policy import PolicySteps, policy_of
from pushforward.solvers.program import Program, RefinerStepper
from pushforward.solvers.renoised import Renoised
from pushforward.solvers.runge_kutta import TABLEAUS, RungeKutta, Tableau
from pushforward.solvers.solver import SDE, DormandPrince, FixedStep, GridSolver, Solver, choose_solver
from pushforward.solvers.stochastic import EulerMaruyama, StochasticHeun
from pushforward.solvers.stochastic_likelihood import DensityAlongPaths
from pushforward.solvers.transition import TransitionSampler
from pushforward.solvers.velocity import DriftField, Velocity
from pushforward.solvers.velocity_at_end import VelocityAtEnd
from pushforward.solvers.velocity_law import NestedSampler

__all__ = [
    "SDE",
    "TABLEAUS",
    "AccelerationSteps",
    "AdamsBashforth2",
    "Bump",
    "Compiled",
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
    "Exponential",
    "ExponentialMultistep",
    "FixedStep",
    "FromFile",
    "Grid",
    "GridRule",
    "GridSolver",
    "Hook",
    "Jump",
    "KLBound",
    "Karras",
    "LogitNormalQuantiles",
    "MixtureODE",
    "MixtureSDE",
    "NestedSampler",
    "NoiseLevels",
    "Piecewise",
    "PolicySteps",
    "Program",
    "Proportional",
    "PseudoCorrector",
    "RefinerStepper",
    "Renoised",
    "RungeKutta",
    "Shifted",
    "Solution",
    "Solver",
    "StepCosts",
    "Stepper",
    "StochasticHeun",
    "Tableau",
    "TransitionSampler",
    "Uniform",
    "Vanishing",
    "Velocity",
    "VelocityAtEnd",
    "bellman",
    "choose_solver",
    "divergence",
    "euler_costs",
    "integrate",
    "integrate_adaptive",
    "kl_bound",
    "log_density",
    "policy_of",
    "rademacher",
]
