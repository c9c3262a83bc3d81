"""pushforward: move one probability distribution onto another.

>>> import pushforward as pf
>>> callable(pf.fit) and callable(pf.load)
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pushforward.citations import cite
from pushforward.errors import ConvergenceWarning, InputError, MissingExtra

if TYPE_CHECKING:
    from pushforward.distillation import distil
    from pushforward.maps import FlowTransport, Transport, evaluate, load
    from pushforward.measures import Empirical, Gaussian, GaussianMixture, Measure, as_measure
    from pushforward.training import Trainer, fit

__version__ = "0.1.0"

__all__ = [
    "ConvergenceWarning", "Empirical", "FlowTransport", "Gaussian", "GaussianMixture", "InputError", "Measure",
    "MissingExtra", "Trainer", "Transport", "as_measure", "cite", "distil", "evaluate", "fit", "load",
]  # fmt: skip

ROOMS = (
    "couplings", "distillation", "geometry", "maps", "measures", "metrics", "networks", "objectives", "ot", "paths",
    "recipes", "report", "solvers", "training",
)  # fmt: skip
"""The rooms of the library, importable as attributes: `pushforward.ot.solve`."""

_NAMES = {
    "distillation": ("distil",),
    "maps": ("FlowTransport", "Transport", "evaluate", "load"),
    "measures": ("Empirical", "Gaussian", "GaussianMixture", "Measure", "as_measure"),
    "training": ("Trainer", "fit"),
}


def __getattr__(name: str) -> Any:
    """Import a room when it, or a name of it, is first used: the command line shows its help without torch."""
    if name in ROOMS:
        return import_module(f"pushforward.{name}")
    for room, names in _NAMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"pushforward.{room}"), name)
            return value
    raise AttributeError(f"module 'pushforward' has no attribute {name!r}")
