"""pushforward: move one probability distribution onto another.

>>> import pushforward as pf
>>> callable(pf.fit) and callable(pf.load)
True
"""

from pushforward.citations import cite
from pushforward.errors import ConvergenceWarning, InputError, MissingExtra
from pushforward.maps import FlowTransport, Transport, load
from pushforward.measures import Empirical, Gaussian, GaussianMixture, Measure, as_measure
from pushforward.training import Trainer, fit

__version__ = "0.1.0"

__all__ = [
    "ConvergenceWarning", "Empirical", "FlowTransport", "Gaussian", "GaussianMixture", "InputError", "Measure", "MissingExtra", "Trainer",
    "Transport", "as_measure", "cite", "fit", "load",
]  # fmt: skip
