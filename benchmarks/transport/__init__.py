"""Optimal transport beside its peers: `python -m benchmarks transport_entropic_1024` and the like."""

from benchmarks.transport import batched, cuda, entropic, exact, memory, sliced, sweeps

__all__ = ["BENCHMARKS"]

BENCHMARKS = [
    *entropic.BENCHMARKS,
    *(module.BENCHMARK for module in (exact, sliced, batched, sweeps, memory, cuda)),
]
