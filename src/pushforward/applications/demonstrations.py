"""Demonstrations as training data: what an expert saw, and what it did next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.applications.episode import Episode
from pushforward.errors import InputError

__all__ = ["Demonstrations", "chunks"]


class Demonstrations(NamedTuple):
    """Training rows of a policy: `observations: (n, window d)`, the last ones joined, the chunk of actions that
    followed, `actions: (n, horizon, a)`, and how many actions of its episode came before, `moments: (n,)`.
    """

    observations: Tensor
    actions: Tensor
    moments: Tensor


def chunks(episodes: Sequence[Episode], *, window: int = 2, horizon: int = 4) -> Demonstrations:
    """Cut episodes into one row for every action in them: the last `window` observations, and the next `horizon`
    actions, that action first.

    Windows that would begin before an episode repeat its first observation, and chunks that would run beyond it its
    last action: zeros would be actions that nobody took. Raises `InputError` for no episodes, or an empty window or
    horizon.
    """
    if min(window, horizon) < 1 or not any(map(len, episodes)):
        raise InputError(f"chunks need actions, a window and a horizon, got {len(episodes)}, {window} and {horizon}")
    parts = zip(*(_cut(episode, window, horizon) for episode in episodes if len(episode)), strict=True)
    return Demonstrations(*map(torch.cat, parts))


def _cut(episode: Episode, window: int, horizon: int) -> Demonstrations:
    now = torch.arange(len(episode))[:, None]
    before = (now + torch.arange(1 - window, 1)).clamp(min=0)
    after = (now + torch.arange(horizon)).clamp(max=len(episode) - 1)
    return Demonstrations(episode.observations[before].flatten(1), episode.actions[after], now[:, 0])
