"""Running recipes: every experiment with every seed, medians, and each claim beside what was measured."""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pushforward.atomic import atomic_path
from pushforward.configuration import find_class
from pushforward.errors import InputError
from pushforward.recipes.experiment import Experiment, Sheet
from pushforward.recipes.recipe import Expectation, Recipe

__all__ = ["Claim", "Result", "experiments_of", "run_recipe"]


@dataclass(frozen=True)
class Claim:
    """An expectation with its verdict: `met`, `missed`, or `known miss`; `measured` is the median, `low` and `high`
    the range over seeds.
    """

    expectation: Expectation
    measured: float
    bound: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Result:
    """What a run of a recipe measured: every figure of every experiment by seed, and the claims; and, as long as it is
    in memory, the images that experiments made with the first seed.
    """

    recipe: str
    date: str
    seeds: tuple[int, ...]
    figures: dict[str, list[float]]
    claims: tuple[Claim, ...]
    sheets: dict[str, tuple[Sheet, ...]] = field(default_factory=dict, compare=False)

    @property
    def ok(self) -> bool:
        """Whether no claim was missed beyond those known."""
        return all(claim.verdict != "missed" for claim in self.claims)

    def save(self, directory: Path) -> Path:
        """Write the figures to `NAME.json`, from which the table of systems is made."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.recipe}.json"
        measured = asdict(replace(self, sheets={}))
        del measured["claims"], measured["sheets"]
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(measured, indent=1) + "\n")
        return path

    @classmethod
    def load(cls, path: Path, recipe: Recipe) -> Result:
        """Read what `save` wrote and judge the claims that the recipe makes now.

        Raises `InputError` where the recipe has come to speak of figures that were not measured then.
        """
        measured: dict[str, Any] = json.loads(path.read_text())
        try:
            claims = _claims(recipe, measured["figures"])
        except InputError as error:
            raise InputError(f"{path} is out of date: {error}; run the recipe again") from error
        return cls(measured["recipe"], measured["date"], tuple(measured["seeds"]), measured["figures"], claims)


def run_recipe(
    recipe: Recipe, *, seeds: tuple[int, ...] | None = None, tell: Callable[[str], None] = lambda line: None
) -> Result:
    """Run every experiment of `recipe` with every seed and judge its claims by the medians.

    `tell` receives a line as each experiment ends. Raises `InputError` for a recipe that names unknown pieces or
    figures.
    """
    seeds = recipe.seeds if seeds is None else seeds
    experiments = experiments_of(recipe)
    figures: dict[str, list[float]] = {}
    sheets: dict[str, tuple[Sheet, ...]] = {}
    for name, experiment in experiments.items():
        for seed in seeds:
            found = experiment.shown(seed)
            for figure, value in found.figures.items():
                figures.setdefault(f"{name}/{figure}", []).append(value)
            if found.sheets:
                sheets.setdefault(name, found.sheets)
        tell(f"{recipe.name}: {name} done ({len(seeds)} seeds)")
    return Result(recipe.name, datetime.date.today().isoformat(), seeds, figures, _claims(recipe, figures), sheets)


def experiments_of(recipe: Recipe) -> dict[str, Experiment]:
    """Build the experiments of a recipe by name. Raises `InputError` for unknown classes or options."""
    return {name: _experiment(name, spec) for name, spec in recipe.experiments.items()}


def _experiment(name: str, spec: dict[str, Any]) -> Experiment:
    cls = find_class(spec["class_path"])
    if not issubclass(cls, Experiment):
        raise InputError(f"experiment {name!r} is a {cls.__name__}, wanted an Experiment")
    try:
        return cls(**spec.get("init_args", {}))  # descriptions inside stay descriptions: each run builds its own pieces
    except TypeError as error:
        raise InputError(f"experiment {name!r}: {error}") from error


def _claims(recipe: Recipe, figures: dict[str, list[float]]) -> tuple[Claim, ...]:
    medians = {name: statistics.median(values) for name, values in figures.items()}
    return tuple(_judge(expectation, medians, figures) for expectation in recipe.expect)


def _judge(expectation: Expectation, medians: dict[str, float], figures: dict[str, list[float]]) -> Claim:
    held = expectation.holds(medians)
    verdict = "met" if held else "known miss" if expectation.known_miss else "missed"
    values = figures[expectation.value]
    return Claim(expectation, medians[expectation.value], expectation.bound(medians), min(values), max(values), verdict)
