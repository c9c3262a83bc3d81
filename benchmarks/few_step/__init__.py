"""Every few-step method at one budget: `python -m benchmarks few_step`."""

from benchmarks.few_step.contest import BENCHMARK

__all__ = ["BENCHMARK"]
