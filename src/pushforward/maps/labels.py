"""What a symmetric flow reads off points: their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.conditions import Condition, decode
from pushforward.contracts import TrainedField
from pushforward.errors import InputError
from pushforward.paths import Symmetric
from pushforward.solvers import Solver

__all__ = ["Labels", "read_labels"]


@dataclass(frozen=True)
class Labels:
    """The `values` of each label in the user's terms, `(n,)` or `(n, width)`, and what is `expected`: probabilities
    `(n, K)` of a category in the order of the schema, `(n, classes, pixels)` of a mask of classes, or mean values.
    """

    values: dict[str, np.ndarray]
    expected: dict[str, Tensor]

    @classmethod
    def joined(cls, parts: list[Labels]) -> Labels:
        """Return the labels of several sets of points as one."""
        return cls(
            {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values},
            {name: torch.cat([part.expected[name] for part in parts]) for name in parts[0].expected},
        )


def read_labels(
    field: TrainedField,
    x: Tensor,
    condition: Condition | None,
    *,
    solver: Solver,
    draws: int = 1,
    generator: torch.Generator | None = None,
) -> Labels:
    """Run points `x: (n, *event)`, in the units of the network, backwards from t = 1 beside label noise, and read the
    labels where they end: means over `draws` noises.

    Raises `InputError` for a field without a `Symmetric` path, and for no draws.
    """
    path = field.path
    if not isinstance(path, Symmetric):
        raise InputError(f"no labels to read: they need a flow of --path Symmetric, this one has {type(path).__name__}")
    if draws < 1:
        raise InputError(f"draws must be at least 1, got {draws}")
    sums: dict[str, Tensor] = {}
    for _ in range(draws):
        state = path.with_noise(x, generator=generator)
        end = solver.solve(field, state, condition=condition, start=1.0, end=0.0, generator=generator).x
        sums = {name: sums.get(name, 0) + part for name, part in path.read(end).items()}
    blocks = {block.name: block for block in path.blocks}
    expected = {name: blocks[name].codec.expected(total / draws, blocks[name].column) for name, total in sums.items()}
    codes = {name: blocks[name].codec.decode(value, blocks[name].column) for name, value in expected.items()}
    return Labels(decode(codes, {name: block.column for name, block in blocks.items()}), expected)
