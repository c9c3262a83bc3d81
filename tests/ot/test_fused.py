"""Fused kernels: the interpreter's and a GPU's results against the matrix, and machine code for real targets."""

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from pushforward.errors import InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot.entropic.fused import (
    FusedTransform,
    fused_apply,
    fused_available,
    fused_displacement,
    transform_of_points,
)
from pushforward.ot.entropic.streamed import StreamedTransform
from pushforward.ot.problem import pose

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
needs_gpu = pytest.mark.skipif(not fused_available(torch.zeros(1).to("cuda" if torch.cuda.is_available() else "cpu")),
                               reason="needs a GPU, and triton")  # fmt: skip

INTERPRETED = """
    import torch
    from pushforward.geometry import SquaredEuclidean
    from pushforward.ot.entropic.fused import FusedTransform, fused_apply, fused_displacement, transform_of_points
    from pushforward.ot.problem import pose

    def check(d, batch, n=70, m=40, epsilon=0.5, dtype=torch.float32):
        g = torch.Generator().manual_seed(0)
        x, y = torch.randn(*batch, n, d, generator=g) + 3, torch.randn(*batch, m, d, generator=g) + 3.5
        b = torch.rand(*batch, m, generator=g)
        b[..., :5] = 0
        x, y, b = x.to(dtype), y.to(dtype), b.to(dtype)
        problem = pose(x, y, None, b / b.sum(-1, keepdim=True), SquaredEuclidean())
        transform = transform_of_points(problem, epsilon, torch.float32)
        assert isinstance(transform, FusedTransform)
        cost, log_b = problem.dense(), problem.b.log()[..., None, :]
        close = lambda ours, exact: torch.testing.assert_close(ours, exact, atol=3e-5, rtol=1e-5)
        potential = torch.zeros(*batch, m, dtype=dtype)
        for size in (0, 0.1, 500):  # far jumps take the safe branch, near ones the quick one
            potential = potential + size * torch.randn(*batch, m, generator=g).to(dtype)
            f = transform.rows(potential)
            # potentials of this size are rounded by more than the errors allowed between small ones
            scale = max(1.0, float(potential.abs().max()))
            exact = -epsilon * torch.logsumexp((potential[..., None, :] - cost) / epsilon + log_b, -1)
            torch.testing.assert_close(f / scale, exact / scale, atol=3e-5, rtol=1e-5)
        f = transform.rows(torch.zeros(*batch, m, dtype=dtype))
        assert f.dtype == dtype
        potential = transform.columns(f)
        close(potential, -epsilon * torch.logsumexp((f[..., :, None] - cost) / epsilon, -2)
              - epsilon * problem.a[..., :1].log())
        P = problem.a[..., None] * problem.b[..., None, :]
        P = P * ((f[..., None] + potential[..., None, :] - cost) / epsilon).exp()
        v = torch.randn(*batch, m, 70, generator=g).to(dtype)  # more columns than a program takes
        close(fused_apply(problem, epsilon, f, potential, v), P @ v)
        moved = (P[..., None] * (x[..., :, None, :] - y[..., None, :, :])).sum(-2)
        close(fused_displacement(problem, epsilon, f, potential), moved)

    check(2, ())
    check(3, (2,), n=20)
    check(20, (), n=20, dtype=torch.float64)
"""

COMPILED = """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from pushforward.ot.entropic._triton_kernels import conjugate_kernel, product_kernel
    from pushforward.ot.entropic.fused import COLUMNS, DEPTH, DIRECT, ROWS

    for D, kernel, tensors, numbers, extra in (
        (3, conjugate_kernel, "x y shift bias out", "n m", {}),
        (64, product_kernel, "x y shift bias v out", "n m width", {"WIDTH": 16}),
    ):
        sizes = {"D": D, "DIRECT": D <= DIRECT, "DEPTH": DEPTH, "ROWS": ROWS, "COLUMNS": COLUMNS, **extra}
        signature = {**dict.fromkeys(tensors.split(), "*fp32"), **dict.fromkeys(numbers.split(), "i32")}
        source = ASTSource(kernel, {**signature, **dict.fromkeys(sizes, "constexpr")}, sizes)
        compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32))
        assert "ex2" in compiled.asm["ptx"] and compiled.asm["cubin"]
"""


def run(script, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@needs_triton
def test_interpreted_kernels_are_the_sums_written_out():
    """Triton reads TRITON_INTERPRET when it is imported, hence another process."""
    run(INTERPRETED, TRITON_INTERPRET="1")


@needs_triton
def test_kernels_compile_for_a_real_gpu(tmp_path):
    """The interpreter takes what the compiler refuses."""
    run(COMPILED, TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")


def test_without_a_gpu_points_are_streamed():
    x = torch.randn(10, 2)
    problem = pose(x, x, None, None, SquaredEuclidean())
    assert not fused_available(x) and isinstance(transform_of_points(problem, 0.1), StreamedTransform)
    with pytest.raises(InputError, match="transform_of_points, which falls back to StreamedTransform"):
        FusedTransform(problem, 0.1)


@needs_gpu
@pytest.mark.parametrize("d", [1, 3, 8, 9, 64, 128])
def test_gpu_agrees_with_the_matrix(d):
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, d, generator=g).cuda() for n in (1000, 777))
    problem, epsilon = pose(x, y, None, None, SquaredEuclidean()), 0.2 * d
    transform = transform_of_points(problem, epsilon)
    assert isinstance(transform, FusedTransform)
    potential, double = torch.zeros(777).cuda(), pose(x.double(), y.double(), None, None, SquaredEuclidean())
    for _ in range(5):
        f = transform.rows(potential)
        potential = transform.columns(f)
    exact = StreamedTransform(double, epsilon)
    torch.testing.assert_close(f.double(), exact.rows(potential.double()), atol=1e-3 * epsilon, rtol=1e-4)
    E = (f[:, None] + potential - problem.dense()) / epsilon
    P = E.exp() / (1000 * 777)
    torch.testing.assert_close(fused_apply(problem, epsilon, f, potential, y), P @ y, atol=1e-6, rtol=1e-3)
    moved = P.sum(1, keepdim=True) * x - P @ y
    torch.testing.assert_close(fused_displacement(problem, epsilon, f, potential), moved, atol=1e-6, rtol=1e-3)


@needs_gpu
@pytest.mark.parametrize("problem", [
    lambda x: pose(x.double(), x.double(), None, None, SquaredEuclidean()),
    lambda x: pose(x, x, None, None, PNorm(2)),
    lambda x: pose(x.repeat(1, 100), x.repeat(1, 100), None, None, SquaredEuclidean()),
])  # fmt: skip
def test_gpu_streams_what_the_kernels_do_not_know(problem):
    assert isinstance(transform_of_points(problem(torch.randn(10, 2).cuda()), 0.1), StreamedTransform)
