# type: ignore  (the language of kernels only looks like Python)
"""Triton kernels of entropic transport between points: one pass over all pairs, of which none is stored.

Exponents are to the base 2, `E_ij = bias_j - |x_i - y_j|^2` of points that carry the factor `sqrt(log2(e) / epsilon)`.
Points come transposed, `x: (batch, D, n)`, so that neighbouring threads read neighbouring numbers. A program owns a
tile of rows and walks through the columns; with `DIRECT` (few dimensions) it sums squared differences, otherwise it
takes inner products, `DEPTH` dimensions at a time: then `bias` contains `-|y_j|^2`, and `-|x_i|^2` is the caller's.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["conjugate_kernel", "product_kernel"]


@triton.jit
def _exponents(x, y, bias, rows, columns, n, m, D: tl.constexpr, DIRECT: tl.constexpr, DEPTH: tl.constexpr):
    """Return the exponents of a tile; minus infinity beyond the last column."""
    above, inside = rows < n, columns < m
    e = tl.zeros((rows.shape[0], columns.shape[0]), dtype=tl.float32)
    if DIRECT:
        for k in tl.static_range(D):
            xk = tl.load(x + k * n + rows, mask=above, other=0.0)
            yk = tl.load(y + k * m + columns, mask=inside, other=0.0)
            difference = xk[:, None] - yk[None, :]
            e = tl.fma(-difference, difference, e)
    else:
        for start in range(0, D, DEPTH):
            k = start + tl.arange(0, DEPTH)
            xk = tl.load(x + k[None, :] * n + rows[:, None], mask=above[:, None] & (k[None, :] < D), other=0.0)
            yk = tl.load(y + k[:, None] * m + columns[None, :], mask=(k[:, None] < D) & inside[None, :], other=0.0)
            e = tl.dot(xk, yk, e, input_precision="ieee")
        e = 2 * e
    return e + tl.load(bias + columns, mask=inside, other=-float("inf"))[None, :]


@triton.jit
def conjugate_kernel(
    x, y, shift, bias, out, n, m,
    D: tl.constexpr, DIRECT: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write `out_i = log2 sum_j 2^E_ij`, where `shift_i` is about `-out_i`.

    With the shift the sums are safe as they are: one exponential and one addition an entry, nothing between threads.
    Tiles of rows where it was not near (or is not a number) are summed again, with a running maximum.
    """
    problem = tl.program_id(1).to(tl.int64)
    x, y, bias = x + problem * n * D, y + problem * m * D, bias + problem * m
    shift, out = shift + problem * n, out + problem * n
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    s = tl.load(shift + rows, mask=rows < n, other=0.0)
    sums = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, m, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        sums += tl.exp2(_exponents(x, y, bias, rows, columns, n, m, D, DIRECT, DEPTH) + s[:, None])
    total = tl.sum(sums, 1)
    result = tl.log2(total) - s
    near = (total > 2.0**-60) & (total < 2.0**60)
    if tl.min(tl.where((rows >= n) | near, 1, 0), 0) == 0:
        top = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
        total = tl.zeros((ROWS,), dtype=tl.float32)
        for start in range(0, m, COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            e = _exponents(x, y, bias, rows, columns, n, m, D, DIRECT, DEPTH)
            higher = tl.maximum(top, tl.max(e, 1))
            total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(e - higher[:, None]), 1)
            top = higher
        result = top + tl.log2(total)
    tl.store(out + rows, result, mask=rows < n)


@triton.jit
def product_kernel(
    x, y, shift, bias, v, out, n, m, width,
    D: tl.constexpr, DIRECT: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """Write `out_ik = sum_j 2^(shift_i + E_ij) v_jk`, for `v: (batch, m, width)`, `WIDTH` columns a program."""
    problem = tl.program_id(1).to(tl.int64)
    x, y, bias, shift = x + problem * n * D, y + problem * m * D, bias + problem * m, shift + problem * n
    v, out = v + problem * m * width, out + problem * n * width
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    chosen = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)
    s = tl.load(shift + rows, mask=rows < n, other=0.0)
    product = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for start in tl.range(0, m, COLUMNS, num_stages=1):  # Triton 3.2 cannot pipeline these loads
        columns = start + tl.arange(0, COLUMNS)
        e = _exponents(x, y, bias, rows, columns, n, m, D, DIRECT, DEPTH)
        there = (columns[:, None] < m) & (chosen[None, :] < width)
        values = tl.load(v + columns[:, None] * width + chosen[None, :], mask=there, other=0.0)
        product = tl.dot(tl.exp2(e + s[:, None]), values, product, input_precision="ieee")
    there = (rows[:, None] < n) & (chosen[None, :] < width)
    tl.store(out + rows[:, None] * width + chosen[None, :], product, mask=there)
