"""Two measures as couplings see them before training."""

from pushforward.maps import Frame
from pushforward.measures import Empirical
from pushforward.training import FramedSides


def sides_of(source, target, condition=None):
    """Both in their own units; tensors become data sets."""
    measures = [Empirical(m) if hasattr(m, "shape") else m for m in (source,)]
    measures.append(Empirical(target, condition) if hasattr(target, "shape") else target)
    return FramedSides(tuple(measures), tuple(Frame(m.event_shape) for m in measures))
