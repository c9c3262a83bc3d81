"""Optimal matching on few edges: shortest paths from all free rows at once, then as many augmentations as are tight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra, maximum_bipartite_matching

__all__ = ["Edges", "optimal_matching"]

Index = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """Edges `(i_k, j_k)` of an n by m cost matrix and what they cost, in order of rows, each once."""

    shape: tuple[int, int]
    i: Index
    j: Index
    cost: Values

    @staticmethod
    def of(shape: tuple[int, int], i: Index, j: Index, cost: Values) -> Edges:
        """Sort edges and drop the repeated ones."""
        flat, first = np.unique(i * shape[1] + j, return_index=True)
        return Edges(shape, *np.divmod(flat, shape[1]), cost[first])

    def joined(self, other: Edges) -> Edges:
        """Return the edges of both."""
        return Edges.of(
            self.shape, *(np.concatenate([getattr(self, k), getattr(other, k)]) for k in ("i", "j", "cost"))
        )

    @property
    def starts(self) -> NDArray[np.int32]:
        """Where each row's edges begin, and the number of all: `(n + 1,)`."""
        return np.searchsorted(self.i, np.arange(self.shape[0] + 1)).astype(np.int32)


def optimal_matching(edges: Edges, g: Values) -> tuple[Index, Values, Values]:
    """Return the perfect matching of least cost on the edges, the column of each row `(n,)`, with its potentials.

    A primal-dual method (Hopcroft and Karp's phases with costs; Gabow and Tarjan 1989). From any `g`, the largest
    feasible `f` makes some edges tight, `f_i + g_j = C_ij`. In every phase the distances from all free rows, in reduced
    costs and along the residual graph, are subtracted: all edges of the shortest-path forest become tight, and a
    largest matching of tight edges is taken. Rounding does not interfere: the forest is tight exactly, since its
    distances were added up in the same order. The edges must contain a perfect matching.
    """
    n = edges.shape[0]
    i, j, starts = edges.i, edges.j.astype(np.int32), edges.starts
    start = edges.cost - g[j]
    reduced = start - np.minimum.reduceat(start, starts[:-1])[i]
    column = _tight_matching(reduced, i, j, n)
    while (column < 0).any():
        to_row, to_column = _distances(reduced, j, starts, column)
        reduced = np.maximum(reduced + to_row[i] - to_column[j], 0)
        g = g + to_column
        column = _tight_matching(reduced, i, j, n)
    return column.astype(np.int64), np.minimum.reduceat(edges.cost - g[j], starts[:-1]), g


def _tight_matching(reduced: Values, i: Index, j: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """Return the column of each row in a largest matching of the edges without reduced cost, -1 where there is none."""
    tight = np.flatnonzero(reduced <= 0)
    starts = np.searchsorted(i[tight], np.arange(n + 1)).astype(np.int32)
    graph = csr_array((np.ones(len(tight), dtype=np.int8), j[tight], starts), shape=(n, n))
    return maximum_bipartite_matching(graph, perm_type="column")


def _distances(
    reduced: Values, j: NDArray[np.int32], starts: NDArray[np.int32], column: NDArray[np.int32]
) -> tuple[Values, Values]:
    """Return how far each row and column is from the free rows; what cannot be reached counts as the farthest.

    Nodes are columns, then free rows; a matched row is one with its column, from where its edges start.
    """
    n = len(column)
    free = np.flatnonzero(column < 0)
    node = column.astype(np.int64)
    node[free] = n + np.arange(len(free))
    row = np.full(n + len(free), -1)
    row[node] = np.arange(n)
    count = np.where(row >= 0, np.diff(starts)[row], 0)
    ends = np.cumsum(count)
    first = np.where(row >= 0, starts[row], 0)
    edge = np.arange(ends[-1]) + np.repeat(first - (ends - count), count)
    graph = csr_array((reduced[edge], j[edge], np.append(0, ends).astype(np.int32)), shape=(len(row), len(row)))
    distance = dijkstra(graph, indices=n + np.arange(len(free)), min_only=True)
    distance = np.minimum(distance, distance[np.isfinite(distance)].max())
    return distance[node], distance[:n]
