"""Put the sections together into one file that needs no other."""

from __future__ import annotations

import os
from importlib.resources import files
from itertools import islice
from pathlib import Path
from string import Template

from pushforward.atomic import atomic_path
from pushforward.report._html import Section, definitions, escape
from pushforward.report.data import ReportData
from pushforward.report.samples import sample_section, trajectory_section
from pushforward.report.sections import (
    citation_section,
    configuration_section,
    quality_section,
    score_section,
    training_section,
)

__all__ = ["render", "write_page", "write_report"]

HEADLINES = 3


def write_report(data: ReportData, path: str | os.PathLike[str]) -> Path:
    """Write a report as one self-contained HTML file and return its path.

    Samples (as they are in one and two dimensions, on principal axes above, as grids for images), scores, paths with
    a time slider, quality against evaluations, training curves, configuration and citations; sections without data
    are left out. The page loads nothing, is readable without JavaScript, and follows the reader's light or dark
    setting. Opened as `report.html#t=0.5` the slider stands there.

    Raises `InputError` where the file cannot be written; an existing file is then as it was.
    """
    return _write(render(data), path)


def render(data: ReportData) -> str:
    """Return the page. The same data give the same bytes."""
    return _page(data.title, data.summary, _sections(data))


def write_page(title: str, facts: dict[str, str], sections: list[Section], path: str | os.PathLike[str]) -> Path:
    """Write a page of one's own sections as one self-contained file; the first three facts stand in its header."""
    return _write(_page(title, facts, sections), path)


def _write(text: str, path: str | os.PathLike[str]) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _page(title: str, summary: dict[str, str], sections: list[Section]) -> str:
    facts = list(summary.items())
    body = [definitions("facts", dict(facts[HEADLINES:])), *(section.render() for section in sections)]
    return Template(_part("template.html")).substitute(
        title=escape(title),
        style=_part("style.css").strip(),
        script=_part("slider.js").strip(),
        headline=definitions("headline", dict(islice(facts, HEADLINES))),
        nav="".join(f'<a href="#{section.anchor}">{escape(section.heading)}</a>' for section in sections),
        sections="\n".join(part for part in body if part),
    )


def _sections(data: ReportData) -> list[Section]:
    sections = [
        sample_section(data), score_section(data), trajectory_section(data), quality_section(data),
        training_section(data), configuration_section(data), citation_section(data),
    ]  # fmt: skip
    return [section for section in sections if section is not None]


def _part(name: str) -> str:
    return files("pushforward.report").joinpath(name).read_text(encoding="utf-8")
