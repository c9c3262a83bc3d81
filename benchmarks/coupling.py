"""What does a coupling cost, and how good is it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks import peers
from benchmarks.markdown import quartiles, table
from benchmarks.problems import BareStep, Tables, tables
from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.timing import interleave, ratios, timed
from pushforward.contracts import Coupling
from pushforward.couplings import Independent, MinibatchOT

__all__ = ["BENCHMARK"]

FLOOR = "bare step"
BATCHES = 8
Couple: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def ours(coupling: Coupling) -> Couple:
    """A coupling of the library, as the stream calls it."""
    generator = torch.Generator().manual_seed(0)

    def couple(x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        pairs = coupling(x0, x1, generator=generator)
        return pairs.x0, pairs.x1

    return couple


def assignment(x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
    """The three lines that one would write with SciPy."""
    rows, columns = linear_sum_assignment(torch.cdist(x0, x1).square().double().numpy())
    return x0[torch.from_numpy(rows)], x1[torch.from_numpy(columns)]


def couplings(spread: float) -> dict[str, Couple]:
    """Every contender; `spread` is the mean cost of independent pairs, in which the entropic epsilon is measured."""
    found = {
        "pushforward Independent": ours(Independent()),
        "pushforward MinibatchOT": ours(MinibatchOT()),
        "pushforward MinibatchOT, entropic (epsilon 2 % of the mean cost)": ours(
            MinibatchOT(method="entropic", epsilon=0.02 * spread)
        ),
        "SciPy linear_sum_assignment": assignment,
    }
    if peers.installed("torchcfm"):
        found["torchcfm, exact"] = peers.couple_exactly()
    return found


def quality(couple: Couple, batches: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return the excess cost (0 for the optimal permutation, 1 for independent pairs) and the share of distinct
    targets kept.
    """
    total = lambda x0, x1: float((x0 - x1).square().sum())  # noqa: E731
    found = optimal = independent = distinct = 0.0
    for x0, x1 in batches:
        y0, y1 = couple(x0, x1)
        found += total(y0, y1)
        optimal += total(*assignment(x0, x1))
        independent += float(torch.cdist(x0, x1).square().mean()) * len(x0)
        distinct += len(y1.unique(dim=0)) / len(y1)
    return {"excess": (found - optimal) / (independent - optimal), "distinct": distinct / len(batches)}


def measure(data: Tables, dimension: int, batch: int, settings: Settings) -> Rows:
    """Time each coupling on the same batches in turn, and look at what it returned."""
    # blocks of shuffled epochs: no row twice, so that every repeated target is the coupling's doing
    batches = [
        (data.source.block(i, batch, seed=0).x, data.target.block(i, batch, seed=1).x)
        for i in range(2 if settings.smoke else BATCHES)
    ]
    spread = float(torch.cdist(*batches[0]).square().mean())
    found = couplings(spread)
    calls = 1 if settings.smoke else 2 if batch > 256 else 8
    timers = {name: timed(_in_turn(couple, batches), calls) for name, couple in found.items()}
    laps = interleave({FLOOR: timed(BareStep(dimension, batch), 3 * calls), **timers}, settings.rounds)
    case = {"dimension": dimension, "batch": batch}
    return [case | row | quality(found[row["name"]], batches) for row in ratios(laps, FLOOR) if row["name"] != FLOOR]


def _in_turn(couple: Couple, batches: list[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    calls = 0

    def work() -> object:
        nonlocal calls
        calls += 1
        return couple(*batches[calls % len(batches)])

    return work


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure every dimension and number of rows."""
    rows: Rows = []
    for dimension, batch in [(2, 32)] if settings.smoke else [(2, 256), (2, 1024), (64, 256), (64, 1024)]:
        rows += measure(tables(dimension), dimension, batch, settings)
        save(rows)


def markdown(rows: Rows) -> str:
    """Return a table with one line for each coupling and case."""
    header = ["", "d", "rows", "bare steps (CPU)", "excess cost", "distinct targets"]
    lines = [
        [
            row["name"],
            str(row["dimension"]),
            f"{row['batch']:,}",
            quartiles(row["cpu"]),
            f"{row['excess']:.3f}",
            f"{row['distinct']:.0%}",
        ]
        for row in rows
    ]
    return table(header, lines)


BENCHMARK = Benchmark(
    "coupling", "What does one coupling cost in bare training steps, and how far is it from the best?", run, markdown
)
