"""`pushforward recipe`: list, show, run, table."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import yaml

from pushforward.atomic import atomic_path
from pushforward.cli.arguments import Mark
from pushforward.cli.data import Output
from pushforward.cli.main import dispatch
from pushforward.cli.terminal import bold
from pushforward.errors import InputError, nearest
from pushforward.recipes import Recipe, Result, claims_table, find_recipe, recipe_names, run_recipe, systems_table
from pushforward.recipes.data import data_folder

__all__ = ["ACTIONS", "run"]

RESULTS, REPORTS = "docs/results", "reports"


def list_recipes() -> None:
    """List the recipes that come with pushforward."""
    recipes = [find_recipe(name) for name in recipe_names()]
    width = max((len(recipe.name) for recipe in recipes), default=0) + 2
    for recipe in recipes:
        print(f"{recipe.name:{width}}{recipe.title} ({recipe.paper.year})")


def show(name: str) -> None:
    """Show what a recipe runs and what must come out.

    Args:
        name: a recipe, or the path of a recipe file of your own.
    """
    recipe = find_recipe(name)
    paper = recipe.paper
    print(f"{bold(recipe.title)}\n{textwrap.fill(recipe.about.strip(), 100)}\n")
    number = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
    print(f"{bold('Paper')}\n  {paper.title}\n  {paper.authors}, {paper.year}{number}\n")
    seeds = ", ".join(map(str, recipe.seeds))
    print(f"{bold('Experiments')} (seeds {seeds})\n{_indented(recipe.experiments)}")
    claims = [{key: value for key, value in vars(item).items() if value not in (None, "")} for item in recipe.expect]
    print(f"{bold('What must hold')}\n{_indented(claims)}", end="")
    if recipe.full is not None:
        print(f"\n{bold('At full size')} ({recipe.full.takes})\n{_indented(recipe.full.experiments)}", end="")


def run_recipes(
    name: list[str],
    *,
    all: bool = False,
    full: bool = False,
    seeds: int | None = None,
    record: Annotated[str | None, Mark(shows="DIR", bare=RESULTS)] = None,
    report: Annotated[str | None, Mark(shows="DIR", bare=REPORTS)] = None,
) -> int:
    """Run recipes and print what was measured beside what was expected.

    Ends with exit code 1 when a claim is missed.

    Args:
        name: recipes, or paths of recipe files of your own.
        all: run every recipe that comes with pushforward; those whose data are not there are passed over.
        full: run at the size for one GPU of 80 GB, where the recipe has one; recipe show tells how long that takes.
        seeds: number of seeds, instead of those of the recipe.
        record: keep the figures as NAME.json in this directory (docs/results if none is named).
        report: write NAME.html to this directory (reports if none is named): the claims, every figure, and a sheet of
            samples where a recipe makes images.

    Examples:
        pushforward recipe run ot-cfm --seeds 1
        pushforward recipe run digits --report
    """
    if bool(name) == all:
        raise InputError("name the recipes to run, or give --all, and not both")
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {seeds}")
    missed = False
    for recipe in [find_recipe(each) for each in (recipe_names() if all else name)]:
        obstacle = _obstacle(recipe, full)
        if obstacle and not all:
            raise InputError(f"recipe {recipe.name} {obstacle}")
        if obstacle:
            print(f"{recipe.name}: passed over, it {obstacle}")
        else:
            missed |= not _run_one(recipe.at_full_size() if full else recipe, seeds, record, report)
    return 1 if missed else 0


def _run_one(recipe: Recipe, seeds: int | None, record: str | None, report: str | None) -> bool:
    result = run_recipe(recipe, seeds=None if seeds is None else tuple(range(seeds)), tell=_tell)
    print(f"{bold(recipe.name)}: {_verdict(result)}\n{claims_table(result)}")
    if record is not None:
        print(f"  recorded in {result.save(Path(record))}")
    if report is not None:
        from pushforward.report import report_recipe  # it imports matplotlib, which the other commands do not need

        print(f"  the report is {report_recipe(recipe, result, Path(report))}")
    return result.ok


def _verdict(result: Result) -> str:
    known = sum(claim.verdict == "known miss" for claim in result.claims)
    but = f", but for {known} known miss{'es' * (known > 1)}" if known else ""
    return f"every claim holds{but}" if result.ok else "a claim was missed"


def table(directory: str = RESULTS, *, output: Output | None = None) -> None:
    """Make the table of systems from the recipes and what was recorded.

    Args:
        directory: where recipe run --record wrote.
        output: a Markdown file; standard output if not given.

    Examples:
        pushforward recipe table docs/results -o docs/systems.md
    """
    text = systems_table(Path(directory))
    if output is None:
        print(text, end="")
        return
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"the table is in {output}")


ACTIONS: dict[str, Callable[..., int | None]] = {"list": list_recipes, "show": show, "run": run_recipes, "table": table}


def run(argv: list[str]) -> int:
    """Run one of the actions."""
    if not argv:
        raise InputError(f"missing what to do: pushforward recipe {' | '.join(ACTIONS)}")
    if argv[0] not in ACTIONS:
        raise InputError(f"recipe has no action {argv[0]!r}{nearest(argv[0], ACTIONS)}")
    return dispatch(ACTIONS[argv[0]], argv[1:], f"recipe {argv[0]}")


def _obstacle(recipe: Recipe, full: bool) -> str:
    """Say why a recipe cannot be run, empty when it can: data or a size that it lacks."""
    if full and recipe.full is None:
        return "has one size only: leave out --full"
    folder = data_folder()
    if not recipe.needs or (folder and (folder / recipe.needs).exists()):
        return ""
    place = f" ({folder})" if folder else ""
    return f"needs {recipe.needs} in the folder that the environment variable PUSHFORWARD_DATA names{place}"


def _indented(value: object) -> str:
    plain = json.loads(json.dumps(value))  # a copy without shared parts, which YAML would write as anchors
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)
    return "".join(f"  {line}\n" for line in text.splitlines())


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr)
