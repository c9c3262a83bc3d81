"""The page about a recipe: its claims, what it made, and every figure by seed."""

from __future__ import annotations

import statistics
from pathlib import Path

from pushforward.recipes import Claim, Recipe, Result, Sheet
from pushforward.report._html import Section, escape, figure, grid, image
from pushforward.report.images import data_uri, tile
from pushforward.report.page import write_page
from pushforward.report.sections import citation_block

__all__ = ["report_recipe"]

SMALLEST = 24
"""Images with fewer pixels across are drawn larger, each pixel as a square."""

COLUMNS = {1: "one", 2: "two", 4: "two"}
"""How wide so many sheets are laid out, where not three in a row."""


def report_recipe(recipe: Recipe, result: Result, directory: Path) -> Path:
    """Write `NAME.html` to a directory: the claims beside what was measured, the images that experiments made with the
    first seed, and every figure. Returns the path of the page, which needs no other file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    held = sum(claim.verdict == "met" for claim in result.claims)
    facts = {"claims that hold": f"{held} of {len(result.claims)}", "seeds": str(len(result.seeds)), "run": result.date}
    sections = [_claims(recipe, result), *_sheets(result), _figures(result)]
    citation = citation_block(recipe.paper.bibtex())
    sections.append(Section("citation", "Please cite", "The paper that this recipe tries.", citation))
    return write_page(recipe.title, facts, sections, directory / f"{recipe.name}.html")


def _claims(recipe: Recipe, result: Result) -> Section:
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Measured", "Range", "Bound", "Verdict"))
    rows = "".join(_claim_row(claim) for claim in result.claims)
    return Section("claims", "What must hold", recipe.about.strip(), _table(head, rows))


def _claim_row(claim: Claim) -> str:
    expectation = claim.expectation
    words = escape(expectation.claim or expectation.value)
    notes = (expectation.formula, expectation.known_miss)
    small = "".join(f"<br><small>{escape(note)}</small>" for note in notes if note)
    sign = "at most" if expectation.at_most is not None else "at least"
    cells = [
        f"{claim.measured:.4g}",
        f"{claim.low:.4g} to {claim.high:.4g}",
        f"{sign} {claim.bound:.4g}",
        claim.verdict,
    ]
    return f'<tr><th scope="row" class="words">{words}{small}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _sheets(result: Result) -> list[Section]:
    sections = []
    for name, sheets in result.sheets.items():
        cards = [figure(sheet.caption.capitalize(), f"{len(sheet.images)} images", _image(sheet)) for sheet in sheets]
        lede = f"Made with seed {result.seeds[0]}: to be judged beside the real ones."
        laid_out = grid(cards, COLUMNS.get(len(cards), ""))
        sections.append(Section(f"sheet-{name.replace(' ', '-')}", name.capitalize(), lede, laid_out))
    return sections


def _image(sheet: Sheet) -> str:
    scale = -(-SMALLEST // sheet.images.shape[-1])
    large = sheet.images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    return image(data_uri(tile(large, sheet.columns, (-1.0, 1.0), gap=2)), f"Grid of images: {sheet.caption}.")


def _figures(result: Result) -> Section:
    names = ["Figure", "Median", *(f"seed {seed}" for seed in result.seeds)]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_number(value)}</td>" for value in (statistics.median(values), *values))
        + "</tr>"
        for name, values in result.figures.items()
    )
    return Section("figures", "Every figure", "As each experiment reported it, by seed.", _table(head, rows))


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def _table(head: str, rows: str) -> str:
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
