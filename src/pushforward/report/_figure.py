"""One look for every figure, and figures as inline SVG that follow the page's light or dark colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pushforward.report._html import printable

__all__ = ["CLASSES", "COLOURS", "CURVES", "MARKERS", "draw", "plain"]

COLOURS = {"source": "#8b93a7", "target": "#e08a1e", "pushed": "#2f7fd1"}
"""Grey, orange and blue: apart for every kind of colour vision, and readable on white and on black."""

CLASSES = ("#2f7fd1", "#1b9e77", "#b2559d", "#8f6b29", "#d1495b", "#6a6fcf")
"""For the classes of pushed points: none that could be taken for the target or the source."""

CURVES = ("#2f7fd1", "#e08a1e", "#1b9e77", "#b2559d", "#8b93a7", "#a6761d")
MARKERS = ("o", "s", "^", "D", "v", "P")

# Colours that stand for the page's own: the style sheet gives them a value for light and for dark.
_TEXT, _MUTED, _GRID = "#010203", "#010204", "#010205"
_VARIABLES = {_TEXT: "var(--text)", _MUTED: "var(--muted)", _GRID: "var(--line)"}

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": _TEXT,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _GRID,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}


def draw(name: str, size: tuple[float, float], paint: Callable[[Axes], None]) -> str:
    """Let `paint` fill the axes of a figure of `size` inches; return inline SVG whose identifiers all start with
    `name`.
    """
    with matplotlib.rc_context(cast("Any", _STYLE | {"svg.hashsalt": name})):
        figure = Figure(figsize=size)
        paint(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None})
    return _inline(buffer.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """Cut what belongs to a file of its own (header, metadata, fixed size, fonts); make identifiers unique on the
    page.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.S)
    opening, rest = svg.split(">", 1)
    view = re.findall(r'viewBox="[^"]*"', opening)[0]
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', rest).replace("url(#", f"url(#{name}-")
    rest = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", rest)
    for colour, variable in _VARIABLES.items():
        rest = rest.replace(colour, variable)
    return f'<svg {view} aria-hidden="true">{rest}'


def plain(text: str) -> str:
    """Keep matplotlib from reading a dollar sign as the start of a formula."""
    return printable(text).replace("$", r"\$").replace("\n", " ")
