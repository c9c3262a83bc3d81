"""The table of systems: one row for each recipe, made from the recipes and from what was measured."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pushforward.recipes.recipe import Recipe, find_recipe, recipe_names
from pushforward.recipes.run import Claim, Result, experiments_of

__all__ = ["claims_table", "systems_table"]

HEAD = """# Table of systems

One row for each published system: its pieces, the recipe that tries it, what was expected and what was measured (median
over the seeds, range in brackets). Made by `pushforward recipe table`; run any row with `pushforward recipe run NAME`.

| system | paper | pieces | recipe | expected | measured | date |
| --- | --- | --- | --- | --- | --- | --- |
"""


def systems_table(results: Path) -> str:
    """Return the Markdown table of every shipped recipe; `results` holds the files that `recipe run --record` wrote."""
    return HEAD + "".join(_row(find_recipe(name), results / f"{name}.json") for name in recipe_names())


def _row(recipe: Recipe, file: Path) -> str:
    result = Result.load(file, recipe) if file.exists() else None
    pieces = dict.fromkeys(piece for experiment in experiments_of(recipe).values() for piece in experiment.pieces())
    measured = "<br>".join(_measured(claim) for claim in result.claims) if result else "not run"
    expected = "<br>".join(expectation.formula for expectation in recipe.expect)
    link = (
        f"[{recipe.paper.arxiv}](https://arxiv.org/abs/{recipe.paper.arxiv})"
        if recipe.paper.arxiv
        else recipe.paper.venue
    )
    cells = [
        recipe.title,
        f"{recipe.paper.title} ({recipe.paper.year}, {link})",
        ", ".join(f"`{piece}`" for piece in pieces),
    ]
    cells += [f"`{recipe.name}`", expected, measured, result.date if result else "-"]
    return "| " + " | ".join(cells) + " |\n"


def claims_table(result: Result) -> str:
    """Return what a run found as text: every claim with its measured median, range and verdict.

    A figure that is bound by another is shown with the bound's present value.
    """
    lines = []
    for claim in result.claims:
        lines.append(f"  {claim.verdict:10}  {claim.expectation.formula}")
        lines.append(f"              measured {_measured(claim)}, bound {claim.bound:.4g}")
        for text in (claim.expectation.claim, claim.expectation.known_miss):
            lines += textwrap.wrap(text, 110, initial_indent=" " * 14, subsequent_indent=" " * 14)
    return "\n".join(lines)


def _measured(claim: Claim) -> str:
    note = "" if claim.verdict == "met" else f" ({claim.verdict})"
    return f"{claim.measured:.4g} [{claim.low:.4g}, {claim.high:.4g}]{note}"
