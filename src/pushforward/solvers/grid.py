"""Time grids: the nodes a fixed-step solver visits, as data, and the rules that lay them out."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.papers import ELUCIDATED_DIFFUSION, RECTIFIED_TRANSFORMERS

__all__ = [
    "Cosine",
    "Explicit",
    "FromFile",
    "Grid",
    "GridRule",
    "Karras",
    "LogitNormalQuantiles",
    "Piecewise",
    "Shifted",
    "Uniform",
    "check_nodes",
    "refine",
]

_SAME = 1e-6
"""Two times closer than this fraction of the interval are one node."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The nodes that a solver visits: strictly increasing, or strictly decreasing for integration backwards in time.

    `required` are times that must be among the nodes (the window ends of a piecewise flow). `meta` is free: where the
    grid comes from. Raises `InputError` for fewer than two nodes, nodes that are not finite or not strictly monotone,
    or a required time that is missing.

    >>> len(Grid(torch.tensor([0.0, 0.5, 1.0])))
    2
    """

    nodes: Tensor
    required: tuple[float, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes = check_nodes("grid", self.nodes)
        if len(nodes) < 2:
            raise InputError(f"grid has {len(nodes)} node, wanted at least two: where to start and where to end")
        object.__setattr__(self, "nodes", nodes)
        tolerance = _SAME * float((nodes[-1] - nodes[0]).abs())
        for time in self.required:
            if float((nodes - time).abs().min()) > tolerance:
                raise InputError(
                    f"grid lacks the node {time} that the model requires: add it, or use Piecewise(boundaries)"
                )

    def __len__(self) -> int:
        """Return the number of steps, one less than the nodes."""
        return len(self.nodes) - 1

    def requiring(self, times: Iterable[float]) -> Grid:
        """Return this grid, which must meet those of `times` inside it. Raises `InputError` where it does not."""
        low, high = sorted((self.start, self.end))
        return replace(self, required=(*self.required, *(time for time in times if low < time < high)))

    @property
    def start(self) -> float:
        """Time of the first node."""
        return float(self.nodes[0])

    @property
    def end(self) -> float:
        """Time of the last node."""
        return float(self.nodes[-1])


def check_nodes(name: str, nodes: Tensor | Sequence[float]) -> Tensor:
    """Return times as a float64 tensor on the CPU. Raises `InputError` unless they are finite, one-dimensional and
    strictly monotone.
    """
    if not isinstance(nodes, Tensor):
        nodes = torch.tensor(list(nodes), dtype=torch.float64)  # numbers keep all their digits
    nodes = nodes.detach().to("cpu", torch.float64)
    if nodes.ndim != 1 or not len(nodes):
        raise InputError(f"{name} has shape {tuple(nodes.shape)}, wanted a list of times")
    if not torch.isfinite(nodes).all():
        raise InputError(
            f"{name} has a non-finite time, first at position {int((~torch.isfinite(nodes)).nonzero()[0])}"
        )
    gaps = nodes.diff()
    if not ((gaps > 0).all() or (gaps < 0).all()):
        raise InputError(
            f"{name} must be strictly increasing or strictly decreasing, got {nodes.tolist()[:8]}: "
            "sort it and drop repeats"
        )
    return nodes


def refine(grid: Grid, nodes: Tensor) -> tuple[Grid, list[int]]:
    """Add `nodes` to a grid; return it with the position of each of them. Times within 1e-6 of the interval from a node
    count as that node.
    """
    tolerance = _SAME * abs(grid.end - grid.start)
    extra = nodes[(nodes[:, None] - grid.nodes).abs().amin(1) > tolerance]
    merged = torch.cat([grid.nodes, extra]).sort(descending=grid.end < grid.start).values
    where = (nodes[:, None] - merged).abs().argmin(1).tolist()
    return Grid(merged, grid.required, grid.meta), where


class GridRule(ABC):
    """Lays out a grid for any number of steps between any two times.

    A rule says where the nodes lie on the way from `min(start, end)` to `max(start, end)`; a grid that runs backwards
    visits the same nodes in reverse, so that inversion retraces the path of sampling.
    """

    def __call__(self, steps: int | None, start: float = 0.0, end: float = 1.0) -> Grid:
        """Return the grid of `steps` steps from `start` to `end`, both met exactly. Raises `InputError` for an
        impossible request.
        """
        if not (math.isfinite(start) and math.isfinite(end)) or start == end:
            raise InputError(f"start and end must be two different finite times, got start={start}, end={end}")
        nodes = self._between(steps, min(start, end), max(start, end))
        nodes[0], nodes[-1] = min(start, end), max(start, end)
        return Grid(
            nodes if start < end else nodes.flip(0),
            self._required(min(start, end), max(start, end)),
            {"rule": type(self).__name__},
        )

    @property
    def fixes_steps(self) -> bool:
        """Whether the rule has its own number of steps."""
        return False

    @abstractmethod
    def _between(self, steps: int | None, low: float, high: float) -> Tensor:
        """Return increasing float64 nodes from `low` to `high`."""

    def _required(self, low: float, high: float) -> tuple[float, ...]:
        return ()


def _unit(steps: int | None) -> Tensor:
    if steps is None or steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


class _Warp(GridRule):
    """A rule that is a monotone map of the unit interval onto itself, stretched over the times asked for."""

    @abstractmethod
    def warp(self, u: Tensor) -> Tensor:
        """Map `u` in [0, 1] to the fraction of the interval where the node lies."""

    def _between(self, steps: int | None, low: float, high: float) -> Tensor:
        return low + (high - low) * self.warp(_unit(steps))


@dataclass(frozen=True)
class Uniform(_Warp):
    """Equal steps.

    >>> Uniform()(4).nodes.tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """

    def warp(self, u: Tensor) -> Tensor:
        """Return `u`."""
        return u


@dataclass(frozen=True)
class Cosine(_Warp):
    """Nodes close together at both ends: `t = (1 - cos(pi u)) / 2`."""

    def warp(self, u: Tensor) -> Tensor:
        """Return `(1 - cos(pi u)) / 2`."""
        return (1 - torch.cos(math.pi * u)) / 2


@dataclass(frozen=True)
class Shifted(_Warp):
    """Nodes moved towards the source for `q > 1`, towards the target for `q < 1`: `t = u / (q - (q - 1) u)`."""

    q: float = 3.0
    references: ClassVar[tuple[Reference, ...]] = (RECTIFIED_TRANSFORMERS,)

    def __post_init__(self) -> None:
        _positive("q", self.q)

    def warp(self, u: Tensor) -> Tensor:
        """Return `u / (q - (q - 1) u)`."""
        return u / (self.q - (self.q - 1) * u)


@dataclass(frozen=True)
class Karras(_Warp):
    """The noise left falls as a power: `1 - t = (1 - u)^rho`, so that nodes crowd at the target; 1 is uniform."""

    rho: float = 7.0
    references: ClassVar[tuple[Reference, ...]] = (ELUCIDATED_DIFFUSION,)

    def __post_init__(self) -> None:
        _positive("rho", self.rho)

    def warp(self, u: Tensor) -> Tensor:
        """Return `1 - (1 - u)^rho`."""
        return 1 - (1 - u) ** self.rho


@dataclass(frozen=True)
class LogitNormalQuantiles(_Warp):
    """Nodes at the quantiles of a logit-normal law: `t = sigmoid(m + s Phi^-1(u))`: as dense as training times drawn
    from it.
    """

    m: float = 0.0
    s: float = 1.0
    references: ClassVar[tuple[Reference, ...]] = (RECTIFIED_TRANSFORMERS,)

    def __post_init__(self) -> None:
        _positive("s", self.s)

    def warp(self, u: Tensor) -> Tensor:
        """Return `sigmoid(m + s Phi^-1(u))`, 0 and 1 at the ends."""
        return torch.sigmoid(self.m + self.s * torch.special.ndtri(u))


@dataclass(frozen=True)
class Piecewise(GridRule):
    """Uniform inside each window between `boundaries`, all of which are nodes; steps are shared out evenly, the first
    windows taking the rest.
    """

    boundaries: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", tuple(float(b) for b in self.boundaries))
        check_nodes("boundaries", self.boundaries)

    def _required(self, low: float, high: float) -> tuple[float, ...]:
        return tuple(b for b in sorted(self.boundaries) if low < b < high)

    def _between(self, steps: int | None, low: float, high: float) -> Tensor:
        edges = torch.tensor([low, *self._required(low, high), high], dtype=torch.float64)
        windows = len(edges) - 1
        if steps is None or steps < windows:
            raise InputError(f"{steps} steps cannot cover {windows} windows: ask for at least {windows} steps")
        counts = [steps // windows + (i < steps % windows) for i in range(windows)]
        parts = [a + (b - a) * _unit(n)[:-1] for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]
        return torch.cat([*parts, edges[-1:]])


class _Given(GridRule):
    """A rule whose nodes are listed; they must begin and end where the integration does."""

    @property
    def fixes_steps(self) -> bool:
        """Whether the rule has its own number of steps: yes."""
        return True

    @abstractmethod
    def _listed(self) -> Tensor:
        """Return the nodes as given."""

    def _between(self, steps: int | None, low: float, high: float) -> Tensor:
        nodes = self._listed().sort().values
        if steps is not None and steps != len(nodes) - 1:
            raise InputError(f"{steps} steps asked for, but the grid has {len(nodes) - 1}: leave out one of the two")
        if max(abs(float(nodes[0]) - low), abs(float(nodes[-1]) - high)) > _SAME * (high - low):
            raise InputError(
                f"the grid covers [{float(nodes[0])}, {float(nodes[-1])}] but the solver goes "
                f"through [{low}, {high}]: both must agree"
            )
        return nodes


@dataclass(frozen=True)
class Explicit(_Given):
    """The nodes as listed, for example a learned grid."""

    nodes: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(Grid(check_nodes("grid", self.nodes)).nodes.tolist()))

    def _listed(self) -> Tensor:
        return torch.tensor(self.nodes, dtype=torch.float64)


@dataclass(frozen=True)
class FromFile(_Given):
    """The nodes in a file: `.npy`, `.json` (a list), or text with numbers separated by commas or white space."""

    path: str

    def _listed(self) -> Tensor:
        return Grid(torch.as_tensor(_read_nodes(Path(self.path)))).nodes.clone()


def _read_nodes(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False).astype(np.float64)
        text = path.read_text()
        numbers = json.loads(text) if path.suffix == ".json" else text.replace(",", " ").split()
        return np.asarray([float(number) for number in numbers])
    except OSError as error:
        raise InputError(f"cannot read the grid {str(path)!r}: {error.strerror or error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"the grid {str(path)!r} is not a list of numbers: {error}") from error


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} must be positive, got {value}")
