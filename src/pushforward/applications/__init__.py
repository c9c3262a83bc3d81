"""Applications: what transports are put to use for, with the few things that each needs beside them."""

from pushforward.applications.demonstrations import Demonstrations, chunks
from pushforward.applications.episode import Episode
from pushforward.applications.policy import ActionPolicy, GenerativePolicy
from pushforward.applications.rollout import roll_out, seconds_per_action, success_rate
from pushforward.applications.two_route_expert import TwoRouteExpert

__all__ = [
    "ActionPolicy",
    "Demonstrations",
    "Episode",
    "GenerativePolicy",
    "TwoRouteExpert",
    "chunks",
    "roll_out",
    "seconds_per_action",
    "success_rate",
]
