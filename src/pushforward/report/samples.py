"""The sections of a report that show points: the three samples, and the way between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.report import plots
from pushforward.report._figure import CLASSES, COLOURS
from pushforward.report._html import Section, escape, figure, grid, image, picture
from pushforward.report.data import ReportData
from pushforward.report.images import data_uri, filmstrip, tile
from pushforward.report.motion import image_motion, point_motion
from pushforward.report.plots import Cloud, View
from pushforward.report.projection import Projection, fit_projection

__all__ = ["sample_section", "trajectory_section"]

MOST_POINTS, MOST_CLASSES, MOST_STRIPS, COLUMNS = 2000, 6, 12, 8

_COVER = (
    "The pushed points should cover the target, which is repeated faintly behind them: no region missed, none invented."
)
_PLANAR = " All three are shown in one window."
_PROJECTED = (
    " All are projected on the two main directions (PC 1, PC 2) of source and target together; "
    "what differs in other directions is not seen here."
)


@dataclass(frozen=True)
class _Plane:
    """The samples as points of the plane, all in one window."""

    data: ReportData

    @cached_property
    def projection(self) -> Projection:
        """Fitted on source and target."""
        return fit_projection(self.data.source, self.data.target)

    @cached_property
    def clouds(self) -> dict[str, Tensor]:
        """The samples there are, as `(n, 2)`, no more than `MOST_POINTS` of each."""
        parts = {"source": self.data.source, "target": self.data.target, "pushed": _finite(self.data.pushed)}
        return {name: self.projection(x[:MOST_POINTS]) for name, x in parts.items() if x is not None}

    @cached_property
    def view(self) -> View:
        """The window that holds them."""
        fixed = [points for name, points in self.clouds.items() if name != "pushed"]
        return plots.view_of(fixed, self.clouds["pushed"], self.projection.axes)


def sample_section(data: ReportData) -> Section:
    """Source, target and pushed points: histograms, scatter plots or image grids, by the shape of an event."""
    if data.is_image:
        figures = _image_figures(data)
        lede = (
            "The pushed images should look as if drawn from the target: as sharp, as varied, and none of them a copy."
        )
    elif data.target.shape[1:].numel() == 1:
        figures = [_histogram(data)]
        lede = "The pushed density (blue) should cover the target's (orange)."
    else:
        figures = _cloud_figures(_Plane(data))
        lede = _COVER + (_PLANAR if data.target.shape[1:].numel() == 2 else _PROJECTED)
    lost = len(data.pushed) - len(_finite(data.pushed))
    if lost:
        lede += f" {lost} pushed rows are not finite and are left out."
    return Section("samples", "Samples", lede, grid(figures, {1: "one", 2: "two"}.get(len(figures), "")))


def _finite(x: Tensor) -> Tensor:
    return x[torch.isfinite(x.flatten(1)).all(1)]


def _histogram(data: ReportData) -> str:
    parts = {"target": data.target, "source": data.source, "pushed": _finite(data.pushed)}
    samples = {name: x.detach().cpu().flatten() for name, x in parts.items() if x is not None}
    sizes = ", ".join(f"{len(x)} {name} points" for name, x in samples.items())
    return figure("Densities", sizes, picture(plots.histograms("histogram", samples), f"Histograms of {sizes}."))


def _cloud_figures(plane: _Plane) -> list[str]:
    figures = []
    for name, points in plane.clouds.items():
        layers = _pushed_layers(plane) if name == "pushed" else [Cloud(points, COLOURS[name])]
        svg = plots.clouds(f"cloud-{name}", layers, plane.view)
        figures.append(
            figure(
                name.capitalize(),
                f"{len(points)} points",
                picture(svg, f"Scatter plot of {len(points)} {name} points."),
                swatch=name,
            )
        )
    return figures


def _pushed_layers(plane: _Plane) -> list[Cloud]:
    """The target faintly behind the pushed points, which are coloured by class where there are few classes."""
    points, labels = plane.clouds["pushed"], plane.data.labels
    behind = Cloud(plane.clouds["target"], COLOURS["target"], faint=True)
    kinds = list(dict.fromkeys(labels or []))
    if not 2 <= len(kinds) <= MOST_CLASSES or labels is None:
        return [behind, Cloud(points, COLOURS["pushed"])]
    keep = torch.isfinite(plane.data.pushed.flatten(1)).all(1).tolist()
    finite = [label for label, kept in zip(labels, keep, strict=True) if kept][:MOST_POINTS]
    rows = {kind: torch.tensor([label == kind for label in finite]) for kind in sorted(kinds)}
    return [behind, *(Cloud(points[mask], CLASSES[index], kind) for index, (kind, mask) in enumerate(rows.items()))]


def _image_figures(data: ReportData) -> list[str]:
    kinds = sorted(set(data.labels or []))[:MOST_STRIPS]
    by_class = len(kinds) > 1
    count = COLUMNS * (max(4, len(kinds)) if by_class else COLUMNS)  # sheets as tall as the strips beside them
    figures = []
    for name, x in (("source", data.source), ("target", data.target), ("pushed", None if by_class else data.pushed)):
        if x is not None:
            sheet = _sheet(x[:count], data, f"Grid of {name} images.")
            figures.append(figure(name.capitalize(), f"{len(x)} images", sheet, swatch=name))
    if by_class:
        figures.append(
            figure("Pushed", f"{len(data.pushed)} images, a row for each class", _strips(data, kinds), swatch="pushed")
        )
    return figures


def _sheet(x: Tensor, data: ReportData, alternative: str) -> str:
    return image(data_uri(tile(x, COLUMNS, data.image_range)), alternative)


def _strips(data: ReportData, kinds: list[str]) -> str:
    rows = []
    for kind in kinds:
        index = torch.tensor([row for row, label in enumerate(data.labels or []) if label == kind][:COLUMNS])
        strip = _sheet(data.pushed[index], data, f"Pushed images of class {kind}.")
        rows.append(f"<span>{escape(kind)}</span>{strip}")
    return f'<div class="strips">{"".join(rows)}</div>'


def trajectory_section(data: ReportData) -> Section | None:
    """The paths: a static figure, and a moving one under a time slider (which needs JavaScript)."""
    if data.trajectory is None or data.times is None:
        return None
    finite = torch.isfinite(data.trajectory.transpose(0, 1).flatten(1)).all(1)
    states, times = data.trajectory[:, finite], data.times.detach().cpu()
    if not len(states[0]):
        return None
    static, motion = _image_trajectory(data, states, times) if data.is_image else _point_trajectory(data, states, times)
    lede = (
        "Each point from the source (t = 0) to where it is pushed (t = 1). Straight, evenly paced paths need few steps."
    )
    return Section("paths", "Paths", lede, grid([_moving(motion, data.is_image), static], "two"))


def _point_trajectory(data: ReportData, states: Tensor, times: Tensor) -> tuple[str, str]:
    plane = _Plane(data)
    flat = torch.stack([plane.projection(state) for state in states])
    target = plane.clouds["target"]
    shown = flat[:, :100]
    svg = plots.paths("paths-static", shown, target[:1000], plane.view)
    words = f"{shown.shape[1]} paths from their starts (grey) to their ends (blue), over the target (orange)"
    return figure("All times at once", f"{words}.", picture(svg, words)), point_motion(flat, times, target, plane.view)


def _image_trajectory(data: ReportData, states: Tensor, times: Tensor) -> tuple[str, str]:
    sheet, chosen = filmstrip(states[:, :COLUMNS], COLUMNS, data.image_range)
    ticks = "".join(f"<span>{float(t):.2f}</span>" for t in times[chosen])
    strip = image(
        data_uri(sheet), "Each row is one image, from the source at the left to the pushed image at the right."
    )
    static = figure("All times at once", "One image a row; the time below.", f'{strip}<div class="ticks">{ticks}</div>')
    return static, image_motion(states[:, : COLUMNS**2], times, COLUMNS, data.image_range)


def _moving(motion: str, pixels: bool) -> str:
    """The canvas, its slider and button, and the data they show; hidden until the script runs."""
    words = "All images at the time below." if pixels else "Points (blue) at the time below, over the target (orange)."
    controls = (
        '<div class="controls"><button type="button">Play</button>'
        '<input type="range" min="0" max="1000" value="1000" aria-label="Time"><output aria-live="off"></output></div>'
    )
    canvas = f'<canvas role="img" aria-label="{words}"{" class=pixels" if pixels else ""}></canvas>'
    holder = f'<script type="application/json" id="motion-data">{motion.replace("<", chr(92) + "u003c")}</script>'
    caption = f"<figcaption><b>One time</b> {words}</figcaption>"
    return f'<figure id="motion" hidden>{caption}{canvas}{controls}{holder}</figure>'
