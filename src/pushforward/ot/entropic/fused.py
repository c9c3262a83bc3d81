"""Soft c-transforms and plan products on a GPU, each in one fused kernel: no tile ever leaves the chip."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry import SquaredEuclidean
from pushforward.ot.entropic.streamed import StreamedTransform
from pushforward.ot.entropic.tiles import centred, log_weights
from pushforward.ot.entropic.transform import SoftTransform
from pushforward.ot.problem import Problem

__all__ = ["FusedTransform", "fused_apply", "fused_available", "fused_displacement", "transform_of_points"]

LOG2E = math.log2(math.e)

ROWS, COLUMNS = 64, 32
"""Shape of the tile that a program holds in registers."""

DEPTH = 16
"""Dimensions of one step of an inner product: more of them spill out of the registers."""

DIRECT = 8
"""Dimensions up to which squared differences are summed; beyond, inner products are quicker."""

LARGEST = 128
"""Dimensions beyond which the matrix product is most of the work, and a library does it better."""


def fused_available(tensor: Tensor) -> bool:
    """Whether the fused kernels run where this tensor is: on a GPU, with Triton installed."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return (tensor.is_cuda or interpreted) and importlib.util.find_spec("triton") is not None


def transform_of_points(
    problem: Problem, epsilon: float, dtype: torch.dtype | None = None
) -> FusedTransform | StreamedTransform:
    """Return the quickest transform that holds no matrix, computing in `dtype`: fused if possible, else streamed."""
    dtype = problem.a.dtype if dtype is None else dtype
    if dtype == torch.float32 and _fits(problem):
        return FusedTransform(problem, epsilon)
    return StreamedTransform(problem, epsilon, dtype)


def _fits(problem: Problem) -> bool:
    if type(problem.cost) is not SquaredEuclidean or not fused_available(problem.a):
        return False
    x, y = problem.points()
    return x.shape[-1] <= LARGEST and max(x.numel(), y.numel()) < 1 << 31  # the kernels count in 32 bits


class FusedTransform(SoftTransform):
    """The conjugates of points under the squared Euclidean cost, in memory O(n + m), computed in float32 on a GPU.

    A program of the kernel holds a tile of rows in registers and walks through the columns. As in `StreamedTransform`
    the last conjugate is the shift that makes plain sums safe; where it is too far, the kernel itself takes the sums
    again with a running maximum, so that the host never waits. Potentials are in the dtype of the problem. Raises
    `InputError` where the kernels do not run: `transform_of_points` chooses.
    """

    def __init__(self, problem: Problem, epsilon: float) -> None:
        if not _fits(problem):
            raise InputError(
                f"FusedTransform needs points on a GPU, at most {LARGEST} dimensions, SquaredEuclidean() and the "
                "package triton: use transform_of_points, which falls back to StreamedTransform"
            )
        self.problem, self.epsilon = problem, epsilon
        self.points = _Points(*centred(*problem.detached().points()))
        self.log_a, self.log_b = log_weights(problem.a), log_weights(problem.b)
        self.f, self.g = (torch.full_like(weights, torch.nan) for weights in (self.log_a, self.log_b))

    @property
    def resolution(self) -> float:
        """L1 error of marginals that rounding may hide: no tolerance below it can be relied on."""
        largest = max(float(z.square().sum(-1).max()) for z in (self.points.x, self.points.y))
        return torch.finfo(torch.float32).eps / 2 * largest / self.epsilon

    def at(self, epsilon: float) -> FusedTransform:
        """Return the transform of the same problem at another regularisation."""
        other = copy(self)
        other.epsilon = epsilon
        return other

    @torch.no_grad()
    def rows(self, g: Tensor) -> Tensor:
        """Return the conjugate of `g`."""
        pairs = self.points.pairs(self.epsilon, g / self.epsilon + self.log_b)
        self.f = -self.epsilon * pairs.log_sums(self.f / self.epsilon)
        return self.f

    @torch.no_grad()
    def columns(self, f: Tensor) -> Tensor:
        """Return the conjugate of `f`."""
        pairs = self.points.T.pairs(self.epsilon, f / self.epsilon + self.log_a)
        self.g = -self.epsilon * pairs.log_sums(self.g / self.epsilon)
        return self.g


@torch.no_grad()
def fused_apply(problem: Problem, epsilon: float, f: Tensor, g: Tensor, v: Tensor) -> Tensor:
    """Return `P v` of the plan `a_i b_j exp((f_i + g_j - |x_i - y_j|^2) / epsilon)`: `(..., n, k)` of `v: (..., m, k)`.

    For `P^T u` exchange the sides: `fused_apply(Problem(b, a, cost, y, x), epsilon, g, f, u)`.
    """
    pairs = _Points(*centred(*problem.detached().points())).pairs(epsilon, g / epsilon + log_weights(problem.b))
    return pairs.product(f / epsilon + log_weights(problem.a), v)


@torch.no_grad()
def fused_displacement(problem: Problem, epsilon: float, f: Tensor, g: Tensor) -> Tensor:
    """Return `sum_j P_ij (x_i - y_j)`, `(..., n, d)`: half the derivative of the entropic objective in `x`."""
    x, y = problem.detached().points()
    middle = y.mean(-2, keepdim=True)
    x, y = x - middle, y - middle
    product = fused_apply(problem, epsilon, f, g, torch.cat([torch.ones_like(y[..., :1]), y], -1))
    return product[..., :1] * x - product[..., 1:]


@dataclass(frozen=True)
class _Points:
    """The cost `p_i + q_j + |x_i - y_j|^2`."""

    x: Tensor
    y: Tensor
    p: Tensor
    q: Tensor

    @property
    def T(self) -> _Points:
        return _Points(self.y, self.x, self.q, self.p)

    def pairs(self, epsilon: float, bias: Tensor) -> _Pairs:
        """Prepare the exponents `bias_j - C_ij / epsilon`; what is rounded to float32 is rounded last."""
        unit = LOG2E / epsilon
        rest, bias = -unit * self.p, LOG2E * bias - unit * self.q
        if self.x.shape[-1] > DIRECT:
            rest, bias = rest - unit * self.x.square().sum(-1), bias - unit * self.y.square().sum(-1)
        top = bias.amax(-1, keepdim=True)  # a constant that is large on both sides would cost digits
        rest, bias = rest + top, bias - top
        x, y = (
            (math.sqrt(unit) * z).reshape(-1, *z.shape[-2:]).mT.to(torch.float32).contiguous()
            for z in (self.x, self.y)
        )  # fmt: skip
        return _Pairs(x, y, rest, bias.reshape(-1, y.shape[-1]).float().contiguous())


@dataclass(frozen=True)
class _Pairs:
    """Arguments of the kernels: points `(B, d, n)` in the unit in which exponents are to the base 2.

    `rest: (..., n)` is what the kernels leave out of the exponents of each row, in the dtype of the potentials.
    """

    x: Tensor
    y: Tensor
    rest: Tensor
    bias: Tensor

    def log_sums(self, shift: Tensor) -> Tensor:
        """Return the (natural) logarithm of every row's sum of exponentials; `shift` is about minus that."""
        out = torch.empty_like(self.x[:, 0])
        with torch.cuda.device_of(out):
            _kernel("conjugate_kernel")[self._grid()](
                self.x, self.y, self._shift(shift), self.bias, out, *self._sizes(), **self._tile()
            )
        return (out.reshape(self.rest.shape) + self.rest) / LOG2E

    def product(self, shift: Tensor, v: Tensor) -> Tensor:
        """Return `sum_j exp(shift_i + E_ij) v_jk`: `(..., n, k)` of `v: (..., m, k)`."""
        values = v.reshape(-1, *v.shape[-2:]).float().contiguous()
        width = values.shape[-1]
        chunk = min(64, max(16, 1 << (width - 1).bit_length()))
        out = values.new_empty(*self.x[:, 0].shape, width)
        with torch.cuda.device_of(out):
            _kernel("product_kernel")[(*self._grid(), -(-width // chunk))](
                self.x, self.y, self._shift(shift), self.bias, values, out, *self._sizes(), width,
                **self._tile(), WIDTH=chunk,
            )  # fmt: skip
        return out.reshape(*self.rest.shape, width).to(v.dtype)

    def _shift(self, shift: Tensor) -> Tensor:
        return (LOG2E * shift + self.rest).float().contiguous()

    def _grid(self) -> tuple[int, int]:
        return -(-self.x.shape[-1] // ROWS), self.x.shape[0]

    def _sizes(self) -> tuple[int, int]:
        return self.x.shape[-1], self.y.shape[-1]

    def _tile(self) -> dict[str, int | bool]:
        d = self.x.shape[1]
        return {"D": d, "DIRECT": d <= DIRECT, "DEPTH": DEPTH, "ROWS": ROWS, "COLUMNS": COLUMNS}


def _kernel(name: str) -> Any:
    """Return a kernel; Triton is imported when the first one is launched."""
    return getattr(importlib.import_module("pushforward.ot.entropic._triton_kernels"), name)
