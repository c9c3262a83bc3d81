"""What the contest found, as tables and as a picture: `python -m benchmarks.few_step.report` redraws it."""

from __future__ import annotations

import statistics
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from benchmarks.few_step.methods import COUNTS, FINE, FLOWS, methods
from benchmarks.markdown import quartiles, table
from benchmarks.results import load
from benchmarks.settings import Rows

__all__ = ["PLOT", "draw", "markdown"]

PLOT = Path(__file__).parent.parent.parent / "docs" / "images" / "few_step.png"
COLUMNS = (*COUNTS, FINE)
PICTURED = (
    *FLOWS, "flow matching, AB2", "2-rectified flow", "PeRFlow", "constant acceleration", "BOSS", "FlowTurbo",
    "MeanFlow", "MeanFlow, OT pairs", "alpha-Flow", "shortcut", "consistency", "Re-MeanFlow", "pi-Flow", "MDT-dist",
)  # fmt: skip
"""The methods of the picture, which could not show all."""
Found: TypeAlias = dict[str, dict[int, float]]
"""The median over seeds of the distance, by method and number of evaluations."""


def medians(rows: Rows) -> Found:
    """Return them for the rows of one task."""
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(row["name"], []).append(row)
    return {
        name: {int(n): statistics.median(row["distance"][n] for row in group) for n in group[0]["distance"]}
        for name, group in groups.items()
    }


def by_task(rows: Rows) -> dict[str, Rows]:
    """Return the rows of every task, the methods in their order and not in that of the runs."""
    order = {method.name: number for number, method in enumerate(methods(1))}
    found: dict[str, Rows] = {}
    for row in sorted((row for row in rows if "task" in row), key=lambda row: order.get(row["name"], len(order))):
        found.setdefault(row["task"], []).append(row)
    return found


def markdown(rows: Rows) -> str:
    """Return a table of each task, one of what steps cost, and one of what was to be reached."""
    parts = ["![Distance to the target against evaluations of the network](images/few_step.png)"]
    parts += [_task(title, mine) for title, mine in by_task(rows).items()]
    costs = [row for row in rows if "step" in row]
    parts += [_costs(costs)] if costs else []
    parts.append(_goals(rows))
    return "\n\n".join(parts) + "\n"


def _task(title: str, rows: Rows) -> str:
    found, first = medians(rows), rows[0]
    best = {n: min((values[n] for values in found.values() if n in values), default=0.0) for n in COLUMNS}
    base = _seconds(rows, FLOWS[0])
    lines = []
    for name, values in found.items():
        cells = [_cell(values.get(n), best[n]) for n in COLUMNS]
        mine = next(row for row in rows if row["name"] == name)
        if name not in FLOWS and FINE in values:
            cells[-1] += f" ({mine['evaluations'][str(FINE)]})"
        cost = _seconds(rows, name) / base if base else float("nan")
        lines.append([name, *cells, f"{mine['training_steps']:,}", f"{cost:.1f}x"])
    header = [first["measure"], *map(str, COLUMNS), "training steps", "training, CPU"]
    return f"**{title}** (the data themselves: {first['floor']:.3g}; seeds: {_seeds(rows)})\n\n{table(header, lines)}"


def _seeds(rows: Rows) -> str:
    """Return how many seeds there are of each method."""
    counts = {len(list(group)) for _, group in groupby(rows, key=lambda row: row["name"])}
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))


def _costs(rows: Rows) -> str:
    names, sizes = (list(dict.fromkeys(row[key] for row in rows)) for key in ("name", "size"))
    found = {(row["name"], row["size"]): row["step"] for row in rows}
    lines = [[name, *(quartiles(found[name, size]) for size in sizes)] for name in names]
    return table(["a step of training over flow matching's (CPU)", *sizes], lines)


def _seconds(rows: Rows, name: str) -> float:
    return statistics.median([row["training_cpu_seconds"] for row in rows if row["name"] == name] or [0.0])


def _cell(value: float | None, best: float) -> str:
    if value is None:
        return "-"
    text = f"{value:.3f}"
    return f"**{text}**" if value == best else text


def _goals(rows: Rows) -> str:
    """Return what was asked for, beside what was found."""
    lines = []
    for title, mine in by_task(rows).items():
        found = medians(mine)
        for count, within in ((4, 1.10), (1, 1.15)):
            if count == 1 and mine[0]["measure"] != "W2":
                continue
            name, value = min(((name, v[count]) for name, v in found.items() if count in v), key=lambda pair: pair[1])
            ratios = [value / found[flow][FINE] if flow in found else float("nan") for flow in FLOWS]
            said = ["met" if one <= within else "**missed**" for one in ratios]
            lines.append([
                f"{title}: {count} within {within - 1:.0%} of flow matching's {FINE}", name, f"{value:.3f}",
                *(f"{one:.2f}, {word}" for one, word in zip(ratios, said, strict=True)),
            ])  # fmt: skip
    for row in rows:
        if "step" in row and row["name"].startswith("MeanFlow"):
            ratio = f"{row['step'][1]:.2f}, {'met' if row['step'][1] <= 1.6 else '**missed**'}"
            lines.append([f"a step in at most 1.6 of flow matching's: {row['size']}", row["name"], "-", ratio, "-"])
    return table(["goal", "best", "distance", "over independent pairs", "over OT pairs"], lines)


def draw(rows: Rows, path: Path = PLOT) -> None:
    """Plot the distance against the number of evaluations, one panel for each task."""
    from matplotlib.figure import Figure

    tasks = by_task(rows)
    figure = Figure(figsize=(4.4 * len(tasks), 5.4), layout="constrained")
    for axes, (title, mine) in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks.items(), strict=True):
        found = medians(mine)
        for number, name in enumerate(PICTURED):
            values = found.get(name, {})
            style = {"color": f"C{number % 8}", "marker": "os"[number // 8], "markersize": 4, "linewidth": 1.0}
            axes.plot(list(values), list(values.values()), label=name, **style)
        axes.axhline(mine[0]["floor"], color="0.5", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", yscale="log", title=title, xlabel="evaluations of the network")
        axes.set_ylabel(mine[0]["measure"])
        axes.set_xticks(COLUMNS, [str(n) for n in COLUMNS])
        for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            set_formatter("{x:g}")
        axes.tick_params(axis="y", which="both", labelsize=7)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    record = load("few_step")
    assert record is not None, "not measured yet: python -m benchmarks few_step"
    draw(record["rows"])
