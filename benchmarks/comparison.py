"""What does each coupling give, on the same data? `python -m benchmarks.comparison` redraws the plot."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.markdown import table
from benchmarks.results import load
from benchmarks.settings import Benchmark, Rows, Settings
from pushforward.contracts import Coupling
from pushforward.couplings import GibbsWeights, Independent, MinibatchOT, NearestNoise, SemiDiscrete
from pushforward.geometry import PNorm
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, Gaussian, Measure, as_measure, digits
from pushforward.metrics import energy_distance, path_energy, straightness, wasserstein2
from pushforward.networks import MLP
from pushforward.randomness import seeded
from pushforward.recipes.coupled import coupling_figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["BENCHMARK", "PLOT", "draw"]

EVALUATIONS = (1, 2, 4, 8, 100)
POINTS = 4000
PLOT = Path(__file__).parent.parent / "docs" / "images" / "couplings.png"


@dataclass(frozen=True)
class Problem:
    """Two distributions to learn from, fresh points of each to judge by, and W2 between two sets of fresh targets."""

    source: Measure
    target: Empirical
    fresh: tuple[Tensor, Tensor]
    floor: float


def problems(smoke: bool) -> dict[str, Problem]:
    """Return the problems of the comparison."""
    gaussians, moons = as_measure("8gaussians-torchcfm"), as_measure("moons-torchdyn")
    n, rows = (60, 40) if smoke else (POINTS, 1000)
    images = digits()
    order = torch.randperm(len(images), generator=seeded(0, "halves"))
    train, held_out = (images.x[part].flatten(1)[: n if smoke else None] for part in order.chunk(2))
    noise, other = Gaussian.standard(64), len(held_out)
    return {
        "8 gaussians to moons": _planar(gaussians, moons, n, rows),
        "moons to 8 gaussians": _planar(moons, gaussians, n, rows),
        "noise to digits": Problem(
            noise, Empirical(train), (noise.sample(other, generator=seeded(0, "noise")), held_out),
            float(wasserstein2(train[:other], held_out)),
        ),
    }  # fmt: skip


def _planar(source: Measure, target: Measure, n: int, rows: int) -> Problem:
    some, again = (target.sample(rows, generator=seeded(0, name)) for name in ("fresh", "again"))
    learnt = [Empirical(side.sample(n, generator=seeded(0, "data", i))) for i, side in enumerate((source, target))]
    fresh = source.sample(rows, generator=seeded(0, "sources"))
    return Problem(learnt[0], learnt[1], (fresh, some), float(wasserstein2(again, some)))


def contenders(dimension: int, smoke: bool) -> dict[str, tuple[Coupling, int]]:
    """Return every coupling and how many batches it sees at once; epsilon is some 2 % of the cost of random pairs."""
    iterations = 20 if smoke else 1000
    return {
        "Independent": (Independent(), 1),
        "MinibatchOT": (MinibatchOT(), 1),
        "MinibatchOT, 4 batches": (MinibatchOT(), 4),
        "MinibatchOT, distance": (MinibatchOT(cost=PNorm(2)), 1),
        "MinibatchOT, entropic": (MinibatchOT("entropic", epsilon=0.05 * dimension), 1),
        "GibbsWeights": (GibbsWeights(), 1),
        "NearestNoise": (NearestNoise(), 1),
        "SemiDiscrete": (SemiDiscrete(iterations=iterations, tolerance=1.0), 1),
    }


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Train and judge every coupling on every problem, one seed after the other."""
    steps, batch, rows = (4, 16, []) if settings.smoke else (settings.steps, 256, [])
    for seed in settings.seeds:
        for title, problem in problems(settings.smoke).items():
            for name, (coupling, pool) in contenders(problem.target.event_shape[0], settings.smoke).items():
                trainer = Trainer(steps=steps, batch_size=batch, pool=pool, passes=1, device="cpu")
                transport = fit(
                    problem.source, problem.target, network=MLP(), coupling=coupling, trainer=trainer, seed=seed,
                    show_progress=False,
                )  # fmt: skip
                frames = (transport.source_frame, transport.target_frame)
                found = judge(transport, problem) | coupling_figures(coupling, problem.source, problem.target, frames)
                rows.append({"problem": title, "name": name, "seed": seed, "floor": problem.floor} | found)
                save(rows)
    if not settings.smoke:
        draw(rows, PLOT)


@torch.no_grad()
def judge(transport: FlowTransport, problem: Problem) -> dict[str, float]:
    """Return W2 and the energy distance after each number of Euler steps, and what the finest paths cost."""
    x0, y = problem.fresh
    figures = {}
    for count in EVALUATIONS:
        made = transport.push(x0, steps=count, method="euler")
        figures |= {
            f"W2@{count}": float(wasserstein2(made, y)),
            f"energy distance@{count}": float(energy_distance(made, y)),
        }
    solution = transport.trajectory(x0, times=101, solver=FixedStep("euler", 100))
    assert solution.path is not None and solution.nodes is not None
    return figures | {
        "path energy": float(path_energy(solution.path, solution.nodes)),
        "straightness": float(straightness(solution.path, solution.nodes)),
    }


def medians(rows: Rows) -> dict[tuple[str, str], dict[str, float]]:
    """Return the median over seeds of every figure, by problem and coupling."""
    groups: dict[tuple[str, str], Rows] = {}
    for row in rows:
        groups.setdefault((row["problem"], row["name"]), []).append(row)
    figures = [key for key, value in rows[0].items() if not isinstance(value, str) and key != "seed"]
    return {key: {f: statistics.median(row[f] for row in group) for f in figures} for key, group in groups.items()}


def markdown(rows: Rows) -> str:
    """Return one table for each problem, and the plot."""
    found = medians(rows)
    header = ["", *(f"W2@{n}" for n in EVALUATIONS), *(f"ED@{n}" for n in (1, 4, 100))]
    header += ["path energy", "straightness", "ms a batch", "preparation, s", "targets used", "source deviation"]
    parts = ["![W2 against evaluations for every coupling and problem](images/couplings.png)"]
    for title in dict.fromkeys(problem for problem, _ in found):
        mine = {name: figures for (problem, name), figures in found.items() if problem == title}
        lines = [[name, *_cells(figures)] for name, figures in mine.items()]
        floor = next(figures["floor"] for figures in mine.values())
        parts.append(f"**{title}** (two sets of fresh targets: W2 = {floor:.3g})\n\n{table(header, lines)}")
    return "\n\n".join(parts) + "\n"


def _cells(values: dict[str, float]) -> list[str]:
    names = [f"W2@{n}" for n in EVALUATIONS] + [f"energy distance@{n}" for n in (1, 4, 100)]
    names += ["path energy", "straightness", "coupling milliseconds"]
    others = [
        f"{values['preparation seconds']:.1f}",
        f"{values['targets used']:.0%}",
        f"{values['source deviation']:.2f}",
    ]
    return [f"{values[name]:.3g}" for name in names] + others


def draw(rows: Rows, path: Path) -> None:
    """Plot W2 against the number of evaluations, one panel for each problem."""
    from matplotlib.figure import Figure

    found = medians(rows)
    titles = list(dict.fromkeys(problem for problem, _ in found))
    figure = Figure(figsize=(4 * len(titles), 3.8), layout="constrained")
    for axes, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True):
        mine = {name: figures for (problem, name), figures in found.items() if problem == title}
        for number, (name, figures) in enumerate(mine.items()):
            style = {"color": f"C{number}", "marker": "osv^DPX*"[number], "markersize": 4, "linewidth": 1.2}
            axes.plot(EVALUATIONS, [figures[f"W2@{n}"] for n in EVALUATIONS], label=name, **style)
        axes.axhline(next(iter(mine.values()))["floor"], color="0.5", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", yscale="log", title=title, xlabel="evaluations of the network")
        axes.set_xticks(EVALUATIONS, [str(n) for n in EVALUATIONS])
        for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            set_formatter("{x:g}")
    figure.axes[0].set_ylabel("W2 to fresh targets")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


BENCHMARK = Benchmark("couplings", "Which coupling gives what, at the same data, budget and seeds?", run, markdown)

if __name__ == "__main__":
    record = load(BENCHMARK.name)
    assert record is not None, "not measured yet: python -m benchmarks couplings"
    draw(record["rows"], PLOT)
