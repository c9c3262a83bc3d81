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
    from pushforward.maps import FlowTransport, Transport, load
    from pushforward.measures import Empirical, Gaussian, GaussianMixture, Measure, as_measure
    from pushforward.training import Trainer, fit

__version__ = "0.1.0"

__all__ = [
    "ConvergenceWarning", "Empirical", "FlowTransport", "Gaussian", "GaussianMixture", "InputError", "Measure",
    "MissingExtra", "Trainer", "Transport", "as_measure", "cite", "fit", "load",
]  # fmt: skip

_ROOMS = {
    "maps": ("FlowTransport", "Transport", "load"),
    "measures": ("Empirical", "Gaussian", "GaussianMixture", "Measure", "as_measure"),
    "training": ("Trainer", "fit"),
}


def __getattr__(name: str) -> Any:
    """Import a room when a name of it is first used: the command line shows its help without waiting for torch."""
    for room, names in _ROOMS.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"pushforward.{room}"), name)
            return value
    raise AttributeError(f"module 'pushforward' has no attribute {name!r}")
