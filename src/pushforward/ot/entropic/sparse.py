"""A truncated kernel: only the entries that carry mass, found by screening all costs with good potentials."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from pushforward.ot.entropic.blocks import Walk
from pushforward.ot.entropic.transform import SoftTransform
from pushforward.ot.problem import Problem

__all__ = ["Candidates", "Matrix", "SparseTransform", "screen"]


@dataclass(frozen=True)
class Candidates:
    """Pairs of points in the order of the rows: row `i` has the columns `j[start[i]:start[i + 1]]`, at `costs`."""

    start: Tensor
    j: Tensor
    costs: Tensor
    shape: tuple[int, int]

    @property
    def i(self) -> Tensor:
        """Row of every pair."""
        return torch.repeat_interleave(torch.arange(self.shape[0], device=self.j.device), self.start.diff())

    def within(self, f: Tensor, g: Tensor, reach: float) -> Candidates:
        """Return the pairs with `C_ij - f_i - g_j <= reach`, and the cheapest of every row and column."""
        slack = self.costs - f.index_select(0, self.i) - g.index_select(0, self.j)
        of_row = torch.segment_reduce(slack, "min", offsets=self.start, axis=0)
        of_column = torch.full_like(g, torch.inf).scatter_reduce(0, self.j, slack, "amin")
        least = torch.maximum(of_row.index_select(0, self.i), of_column.index_select(0, self.j))
        return self.where((slack <= reach) | (slack <= least))

    def where(self, mask: Tensor) -> Candidates:
        """Return the pairs that a mask chooses."""
        chosen = mask.nonzero()[:, 0]
        before = torch.nn.functional.pad(mask.cumsum(0), (1, 0))
        take = lambda t: t.index_select(0, chosen)  # noqa: E731
        return Candidates(before.index_select(0, self.start), take(self.j), take(self.costs), self.shape)


def screen(walk: Walk, f: Tensor, g: Tensor, reach: float, most: int) -> Candidates | None:
    """Return the pairs with `C_ij - f_i - g_j < reach`, and the cheapest of every row and column.

    `f` must be about the conjugate of `g`, and the other way round. Returns None where more than `most` are found.
    """
    n, m = walk.problem.shape
    rows, counts, columns, costs, total = [], [], [], [], 0
    least = torch.full_like(g, torch.inf)
    for block in walk.near(f, g, reach):
        slack = block.cost - g[block.columns] - f[block.rows, None]
        least.scatter_reduce_(0, block.columns, slack.amin(0), "amin")
        found = slack <= slack.amin(1, keepdim=True).clamp_(min=reach)
        index = found.flatten().nonzero()[:, 0]
        rows.append(block.rows)
        counts.append(found.sum(1))
        columns.append(block.columns.index_select(0, index % len(block.columns)))
        costs.append(block.cost.flatten().index_select(0, index).to(g.dtype))
        total += len(index)
        if total > most:
            return None
    pairs = _in_order(torch.cat(rows), torch.cat(counts), torch.cat(columns), torch.cat(costs), (n, m))
    lonely = (least >= reach).nonzero()[:, 0]
    return pairs if len(lonely) == 0 else _with_cheapest(walk.problem, pairs, f, lonely)


def _in_order(rows: Tensor, counts: Tensor, j: Tensor, costs: Tensor, shape: tuple[int, int]) -> Candidates:
    """Bring runs of pairs, one run of `counts[k]` for each of `rows`, into the order of the rows."""
    place = rows.argsort()
    starts, lengths = (counts.cumsum(0) - counts)[place], counts[place]
    start = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    if bool((rows.diff() > 0).all()):
        return Candidates(start, j, costs, shape)
    source = torch.arange(len(j), device=j.device) + (starts - start[:-1]).repeat_interleave(lengths)
    return Candidates(start, j.index_select(0, source), costs.index_select(0, source), shape)


def _with_cheapest(problem: Problem, pairs: Candidates, f: Tensor, columns: Tensor) -> Candidates:
    """Add the cheapest pair of each of these columns, where it is not there yet."""
    some = problem.columns(columns)
    rows = (some - f[:, None]).argmin(0)
    index = torch.cat([pairs.i * problem.shape[1] + pairs.j, rows * problem.shape[1] + columns])
    costs = torch.cat([pairs.costs, some[rows, torch.arange(len(columns), device=rows.device)]])
    order = index.argsort(stable=True)
    index, costs = index[order], costs[order]
    fresh = torch.nn.functional.pad(index.diff() > 0, (1, 0), value=True)
    i, j = index[fresh] // problem.shape[1], index[fresh] % problem.shape[1]
    counts = torch.bincount(i, minlength=problem.shape[0])
    return Candidates(torch.nn.functional.pad(counts.cumsum(0), (1, 0)), j, costs[fresh], pairs.shape)


class Matrix:
    """A sparse matrix of values at candidate pairs, and its products with vectors.

    On the CPU by SciPy, whose products are the fastest there; elsewhere by torch.
    """

    def __init__(self, pairs: Candidates, values: Tensor) -> None:
        if values.device.type == "cpu":
            index = np.int32 if len(values) < 2**31 else np.int64
            parts = (values.numpy(), pairs.j.numpy().astype(index), pairs.start.numpy().astype(index))
            self.forward = csr_array(parts, shape=pairs.shape)
            self.backward = self.forward.T
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls its sparse matrices a beta feature
            self.forward = torch.sparse_csr_tensor(pairs.start, pairs.j, values, pairs.shape, check_invariants=False)
            self.backward = self.forward.to_sparse_coo().T.to_sparse_csr()

    def apply(self, v: Tensor) -> Tensor:
        """Return the product with `v: (m,)`."""
        return _product(self.forward, v)

    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return the product of the transpose with `u: (n,)`."""
        return _product(self.backward, u)


def _product(matrix: Any, vector: Tensor) -> Tensor:
    return matrix @ vector if isinstance(matrix, Tensor) else torch.from_numpy(matrix @ vector.numpy())


class SparseTransform(SoftTransform):
    """The conjugates over candidate pairs only, for a single problem.

    The kernel has potentials absorbed and is made anew when the arguments leave them by more than `REACH` epsilons.
    """

    REACH = 100.0

    def __init__(self, candidates: Candidates, a: Tensor, b: Tensor, epsilon: float) -> None:
        self.candidates, self.a, self.b, self.epsilon = candidates, a, b, epsilon
        self.i = candidates.i
        self.values: Tensor | None = None
        self.f0, self.g0 = a.new_zeros(()), b.new_zeros(())

    def at(self, epsilon: float) -> SparseTransform:
        """Return the transform over the same pairs at another regularisation."""
        return SparseTransform(self.candidates, self.a, self.b, epsilon)

    def rows(self, g: Tensor) -> Tensor:
        """Return the conjugate of `g`."""
        self._come_near(g, self.g0, None, g)
        v = self.b * ((g - self.g0) / self.epsilon).exp()
        return self.f0 - self.epsilon * self.kernel.apply(v).log()

    def columns(self, f: Tensor) -> Tensor:
        """Return the conjugate of `f`."""
        self._come_near(f, self.f0, f, None)
        u = self.a * ((f - self.f0) / self.epsilon).exp()
        return self.g0 - self.epsilon * self.kernel.transpose_apply(u).log()

    def shares(self, f: Tensor, g: Tensor, least: float) -> Candidates:
        """Return the pairs whose share `P_ij / a_i` of their row is above `least`, with the shares for costs."""
        self._come_near(g, self.g0, None, g)
        assert self.values is not None
        u = ((f - self.f0) / self.epsilon).exp()
        v = self.b * ((g - self.g0) / self.epsilon).exp()
        share = self.values * v.index_select(0, self.candidates.j) * u.index_select(0, self.i)
        return Candidates(self.candidates.start, self.candidates.j, share, self.candidates.shape).where(share > least)

    def _come_near(self, new: Tensor, absorbed: Tensor, f: Tensor | None, g: Tensor | None) -> None:
        if self.values is None or not bool((new - absorbed).abs().max() < self.REACH * self.epsilon):
            self.values = self._absorb(f, g)
            self.kernel = Matrix(self.candidates, self.values)

    def _absorb(self, f: Tensor | None, g: Tensor | None) -> Tensor:
        """Make the kernel of one potential; the other one is its hard conjugate, so that the largest entries are 1."""
        j, costs = self.candidates.j, self.candidates.costs
        if g is None:
            assert f is not None
            g = torch.full_like(self.b, torch.inf).scatter_reduce(0, j, costs - f.index_select(0, self.i), "amin")
        slack = costs - g.index_select(0, j)
        if f is None:
            f = torch.segment_reduce(slack, "min", offsets=self.candidates.start, axis=0)
        self.f0, self.g0 = f, g
        return ((f.index_select(0, self.i) - slack) / self.epsilon).clamp_(min=-600.0).exp_()
