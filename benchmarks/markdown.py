"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["mean_and_deviation", "quartiles", "table"]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are figures."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def quartiles(values: Sequence[float] | None) -> str:
    """Return a median with its quartiles: `1.03 [1.01-1.06]`; a dash for nothing."""
    if values is None:
        return "-"
    low, middle, high = (_ratio(value) for value in values)
    return f"{middle} [{low}-{high}]"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def mean_and_deviation(values: Sequence[float]) -> str:
    """Return `0.293 +- 0.008`: the mean and the sample standard deviation."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.3f}"
    deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.3f} +- {deviation:.3f}"
