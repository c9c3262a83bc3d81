"""The static figures of a report: point clouds, histograms, paths, training curves, quality against evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from torch import Tensor

from pushforward.report._figure import COLOURS, CURVES, MARKERS, draw, plain
from pushforward.report.data import QualityCurve

__all__ = ["Cloud", "View", "clouds", "histograms", "paths", "quality", "training", "view_of"]

_SMALL, _LARGE, _WIDE = 3.4, 4.2, (4.6, 3.0)  # inches: text stays readable at the width of a phone


@dataclass(frozen=True)
class View:
    """A window on the plane, one scale for both axes: its centre, half its width and height, the axes' names."""

    centre: tuple[float, float]
    half: tuple[float, float]
    axes: tuple[str, str]

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.half[1] / self.half[0]


@dataclass(frozen=True)
class Cloud:
    """Points `(n, 2)` in one colour; faint ones stand behind for comparison."""

    points: Tensor
    colour: str
    label: str = ""
    faint: bool = False


def view_of(fixed: Sequence[Tensor], pushed: Tensor, axes: tuple[str, str]) -> View:
    """Fit the window to the source and the target, all but their outermost points, and widen it for pushed points.

    It grows to twice its size at most, so that diverged points do not shrink the rest to a dot, and is never narrow.
    """
    low, high = _box(torch.cat(list(fixed)), 0.002)
    centre, half = (low + high) / 2, ((high - low) / 2).clamp_min(1e-9)
    if len(pushed):
        reach = (_box(pushed, 0.005) - centre).abs().amax(0)
        half = torch.maximum(half, torch.minimum(reach, 2 * half))
    half = 1.08 * torch.maximum(half, half.flip(0) * torch.tensor([0.8, 0.65], dtype=half.dtype))
    return View((float(centre[0]), float(centre[1])), (float(half[0]), float(half[1])), axes)


def _box(points: Tensor, share: float) -> Tensor:
    # torch.quantile refuses more than 16 million entries.
    return torch.from_numpy(np.quantile(points.numpy(), [share, 1 - share], axis=0))


def clouds(name: str, layers: Sequence[Cloud], view: View) -> str:
    """Scatter plots over one another, in one window."""

    def paint(axes: Axes) -> None:
        for layer in layers:
            alpha, size = (0.28, 7) if layer.faint else (0.75, 7)
            axes.scatter(
                *layer.points.T.numpy(), s=size, c=layer.colour, alpha=alpha, linewidths=0, rasterized=True,
                label=plain(layer.label) or None,
            )  # fmt: skip
        _frame(axes, view)
        if any(layer.label for layer in layers):
            axes.legend(loc="best", markerscale=2, handletextpad=0.2, borderaxespad=0.2, labelspacing=0.25)

    return draw(name, (_SMALL, 0.3 + 0.9 * _SMALL * view.aspect), paint)


def paths(name: str, states: Tensor, target: Tensor, view: View) -> str:
    """Trajectories `(T, k, 2)` as lines, from their starts (grey) to their ends (blue), over the target."""

    def paint(axes: Axes) -> None:
        axes.scatter(*target.T.numpy(), s=6, c=COLOURS["target"], alpha=0.3, linewidths=0, rasterized=True)
        axes.plot(*states.permute(2, 0, 1).numpy(), color=COLOURS["pushed"], alpha=0.45, linewidth=0.8, rasterized=True)
        for end, colour in ((states[0], "source"), (states[-1], "pushed")):
            axes.scatter(*end.T.numpy(), s=13, c=COLOURS[colour], linewidths=0, zorder=3, rasterized=True)
        _frame(axes, view)

    return draw(name, (_LARGE, 0.3 + 0.9 * _LARGE * view.aspect), paint)


def _frame(axes: Axes, view: View) -> None:
    axes.set_xlim(view.centre[0] - view.half[0], view.centre[0] + view.half[0])
    axes.set_ylim(view.centre[1] - view.half[1], view.centre[1] + view.half[1])
    axes.set_aspect("equal")
    axes.set_xlabel(view.axes[0])
    axes.set_ylabel(view.axes[1], labelpad=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def histograms(name: str, samples: dict[str, Tensor]) -> str:
    """Densities of one-dimensional samples `{"source" | "target" | "pushed": (n,)}`."""
    low, high = _box(
        torch.cat([values for key, values in samples.items() if key != "pushed"])[:, None], 0.002
    ).flatten()
    bins = np.linspace(float(low - 0.1 * (high - low)), float(high + 0.1 * (high - low)) + 1e-9, 61).tolist()

    def paint(axes: Axes) -> None:
        for key, values in samples.items():
            filled = key == "target"
            axes.hist(
                values.numpy(), bins, density=True, histtype="stepfilled" if filled else "step", color=COLOURS[key],
                alpha=0.45 if filled else 1.0, linewidth=0 if filled else 1.6, label=key,
            )  # fmt: skip
        axes.set_xlabel("x")
        axes.set_ylabel("density")
        axes.legend()

    return draw(name, _WIDE, paint)


def training(name: str, rows: Sequence[dict[str, float]], key: str) -> str:
    """One column of the training log against the step: every value faintly, and their running mean."""
    points = np.array([(row["step"], row[key]) for row in rows if key in row and math.isfinite(row[key])]).reshape(
        -1, 2
    )
    step, value = points.T

    def paint(axes: Axes) -> None:
        window = 1 if key == "learning_rate" else max(1, len(value) // 40)
        if window > 1:
            thin = slice(None, None, -(-len(value) // 800))
            axes.plot(step[thin], value[thin], color=CURVES[0], alpha=0.25, linewidth=0.8)
        axes.plot(*_running_mean(step, value, window), color=CURVES[0])
        if key == "loss":
            _value_axis(axes, value.tolist(), 20)
        axes.set_xlabel("training step")
        axes.set_ylabel(plain(key.replace("_", " ")))

    return draw(name, _WIDE, paint)


def _running_mean(step: np.ndarray, value: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each stretch of `window` values at the middle of the stretch, thinned to a few hundred points."""
    if window == 1:
        return step, value
    total = np.concatenate([[0.0], value.cumsum()])
    ends = np.unique(np.linspace(window, len(value), 300).astype(int))
    return step[ends - 1 - window // 2], (total[ends] - total[ends - window]) / window


def quality(name: str, curves: Sequence[QualityCurve], floor: float | None) -> str:
    """Curves of one metric against the number of evaluations, with the floor as a dashed line."""

    def paint(axes: Axes) -> None:
        for index, curve in enumerate(curves):
            colour, marker = CURVES[index % len(CURVES)], MARKERS[index % len(MARKERS)]
            axes.plot(curve.evaluations, curve.values, color=colour, marker=marker, label=plain(curve.name))
        if floor is not None:
            axes.axhline(floor, color=COLOURS["source"], linestyle=(0, (4, 3)), linewidth=1.2, label="floor")
        _evaluation_axis(axes, sorted({n for curve in curves for n in curve.evaluations}))
        values = [v for curve in curves for v in curve.values] + ([floor] if floor is not None else [])
        _value_axis(axes, values, 10)
        axes.set_ylabel(plain(curves[0].metric))
        axes.legend()

    return draw(name, _WIDE, paint)


def _value_axis(axes: Axes, values: list[float], span: float) -> None:
    """A logarithmic axis for positive values that span more than `span`, with plain numbers; else one that starts at
    zero.
    """
    if not values or min(values) < 0:
        return
    if min(values) == 0 or max(values) <= span * min(values):
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 1000 * min(values) else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _evaluation_axis(axes: Axes, counts: list[int]) -> None:
    """A logarithmic axis whose ticks are the counts themselves, those that do not collide."""
    if counts[0] > 0:
        axes.set_xscale("log", base=2)
    ticks = [
        n for index, n in enumerate(counts) if index == 0 or counts[index - 1] == 0 or n / counts[index - 1] > 1.25
    ]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("function evaluations")
