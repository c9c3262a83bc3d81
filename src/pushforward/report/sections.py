"""The sections of a report that are tables and curves: scores, quality, training, configuration, citations."""

from __future__ import annotations

import json

import yaml

from pushforward.metrics import Score
from pushforward.report import plots
from pushforward.report._html import Section, escape, figure, grid, picture
from pushforward.report.data import QualityCurve, ReportData

__all__ = [
    "citation_block",
    "citation_section",
    "configuration_section",
    "quality_section",
    "score_section",
    "training_section",
]

_TRAINING = {"loss": "Loss", "learning_rate": "Learning rate", "gradient_norm": "Gradient norm"}


def score_section(data: ReportData) -> Section | None:
    """The table of metrics, each beside its floor."""
    if not data.scores:
        return None
    baselines = any(item.baseline is not None for item in data.scores)
    columns = ["Metric", "Value", "Floor", "Value / floor", *(["Source", "Gap closed"] if baselines else [])]
    head = "".join(f'<th scope="col" class="{column.split()[0].lower()}">{column}</th>' for column in columns)
    rows = "".join(_score_row(item, baselines) for item in data.scores)
    lede = (
        "The floor is the same metric between two disjoint samples of the target, at the same sizes: no transport can "
        "be expected to score lower. A ratio of 1 is as good as fresh data."
    )
    if baselines:
        lede += " The gap closed is the share of the way from the source's own value down to the floor."
    table = f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return Section("scores", "Scores", lede, table)


def _score_row(item: Score, baselines: bool) -> str:
    ratio = "–" if item.ratio is None else f"{item.ratio:.2f}"
    cells = [f'<td class="value">{item.value:.3g}</td>', f"<td>{item.floor:.3g}</td>", f"<td>{ratio}</td>"]
    if baselines:
        baseline = "–" if item.baseline is None else f"{item.baseline:.3g}"
        cells += [f'<td class="source">{baseline}</td>', f"<td>{_gap(item)}</td>"]
    return f'<tr><th scope="row">{escape(item.name)}</th>{"".join(cells)}</tr>'


def _gap(item: Score) -> str:
    share = item.gap_closed
    if share is None or share != share:
        return "–"
    width = 100 * min(1.0, max(0.0, share))
    return f'{100 * share:.1f} %<span class="meter" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>'


def quality_section(data: ReportData) -> Section | None:
    """One chart of quality against evaluations for each metric."""
    by_metric: dict[str, list[QualityCurve]] = {}
    for curve in data.quality:
        by_metric.setdefault(curve.metric, []).append(curve)
    if not by_metric:
        return None
    lede = (
        "What each number of evaluations of the network buys. Lower is better; the dashed line is the floor, "
        "and a curve that is flat from the left needs few steps."
    )
    figures = []
    for index, (metric, curves) in enumerate(by_metric.items()):
        svg = plots.quality(f"quality{index}", curves, data.floors.get(metric))
        figures.append(figure(metric, "against function evaluations", picture(svg, _in_words(curves))))
    return Section("quality", "Quality against evaluations", lede, grid(figures, "two" if len(figures) > 1 else "one"))


def _in_words(curves: list[QualityCurve]) -> str:
    points = [", ".join(f"{v:.3g} at {n}" for n, v in zip(c.evaluations, c.values, strict=True)) for c in curves]
    return "; ".join(f"{curve.name}: {text}" for curve, text in zip(curves, points, strict=True))


def training_section(data: ReportData) -> Section | None:
    """Loss, learning rate and gradient norm against the step, as far as they were logged."""
    figures = []
    for key, heading in _TRAINING.items():
        values = [row[key] for row in data.losses if key in row]
        if values:
            alternative = (
                f"{heading}: {values[0]:.3g} at the start, {values[-1]:.3g} at the end, {len(values)} records."
            )
            figures.append(
                figure(heading, "", picture(plots.training(f"training-{key}", data.losses, key), alternative))
            )
    if not figures:
        return None
    lede = (
        "Faint: every record; bold: a running mean. The loss of a regression on noisy targets levels off above zero "
        "even for a perfect model."
    )
    return Section("training", "Training", lede, grid(figures, {1: "one", 2: "two"}.get(len(figures), "")))


def configuration_section(data: ReportData) -> Section | None:
    """The complete resolved configuration, folded."""
    if not data.config:
        return None
    simple = json.loads(json.dumps(data.config, default=str))
    text = yaml.safe_dump(simple, sort_keys=False, allow_unicode=True, default_flow_style=False)
    lines = text.count("\n")
    body = f"<details><summary>Show all {lines} lines</summary><pre>{escape(text)}</pre></details>"
    return Section("configuration", "Configuration", "Everything that determines this run, defaults included.", body)


def citation_section(data: ReportData) -> Section | None:
    """The BibTeX of every method used."""
    if not data.bibtex.strip():
        return None
    body = citation_block(data.bibtex)
    return Section("citations", "Please cite", "The papers behind the methods that this run used.", body)


def citation_block(bibtex: str) -> str:
    """Entries to copy."""
    button = '<button id="copy" type="button" hidden>Copy</button>'
    return f'<div class="code">{button}<pre id="bibtex">{escape(bibtex.strip())}</pre></div>'
