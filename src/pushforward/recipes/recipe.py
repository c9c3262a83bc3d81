"""A recipe: the YAML that states a published system's pieces, how it is tried on a laptop, and what must come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from pushforward.citations import Reference
from pushforward.errors import InputError, nearest

__all__ = ["Expectation", "FullSize", "Recipe", "find_recipe", "recipe_names"]


@dataclass(frozen=True)
class Expectation:
    """One claim: the median over seeds of the figure `value` is at most (at least) a number, or a number times another
    figure.

    `claim` says in words what the paper or the issue says; `known_miss` states, with figures, that it was not reached
    here and why: such a claim is reported, never counted as met, and does not fail the run.
    """

    value: str
    at_most: float | None = None
    at_least: float | None = None
    times: str | None = None
    claim: str = ""
    known_miss: str = ""

    def __post_init__(self) -> None:
        """Refuse claims without exactly one bound."""
        if (self.at_most is None) == (self.at_least is None):
            raise InputError(f"expectation on {self.value!r} needs one of at_most and at_least")

    @property
    def formula(self) -> str:
        """The claim as an inequality between figures."""
        sign, factor = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least)
        return f"{self.value} {sign} {factor:g}" + (f" × {self.times}" if self.times else "")

    def bound(self, figures: dict[str, float]) -> float:
        """Return the bound in the figure's own unit."""
        factor = self.at_most if self.at_most is not None else self.at_least
        assert factor is not None  # by __post_init__
        return factor * (self._figure(self.times, figures) if self.times else 1.0)

    def holds(self, figures: dict[str, float]) -> bool:
        """Tell whether the figures, medians over seeds, meet the claim."""
        value = self._figure(self.value, figures)
        return value <= self.bound(figures) if self.at_most is not None else value >= self.bound(figures)

    @staticmethod
    def _figure(name: str, figures: dict[str, float]) -> float:
        if name not in figures:
            raise InputError(f"no experiment reports the figure {name!r}{nearest(name, figures)}")
        return figures[name]


@dataclass(frozen=True)
class FullSize:
    """What changes where a recipe is run on a GPU of 80 GB: options of its `experiments`, laid over the small ones.

    `takes` says for how long, and whether that was measured or is an estimate.
    """

    takes: str
    experiments: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        """Hold seeds as a tuple, also when they come from YAML."""
        object.__setattr__(self, "seeds", tuple(self.seeds))


@dataclass(frozen=True)
class Recipe:
    """A published system: its paper, the experiments that try it, the seeds, and what must hold.

    `experiments` maps names to descriptions `{class_path, init_args}` of `Experiment` pieces. Each reports named
    figures; figure `f` of experiment `e` is called `e/f` in `expect`. In the file, `common` is laid under every
    experiment, and `closed_forms` are experiments without it.
    """

    name: str
    title: str
    about: str
    paper: Reference
    experiments: dict[str, dict[str, Any]]
    expect: tuple[Expectation, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    needs: str = ""
    """A data file that must be present, relative to the folder named by the environment variable PUSHFORWARD_DATA."""
    full: FullSize | None = None

    def at_full_size(self) -> Recipe:
        """Return the recipe at its size for a GPU, called `NAME-full`. Raises `InputError` where it has none."""
        if self.full is None:
            raise InputError(f"recipe {self.name} has one size only: leave out --full")
        experiments = {
            name: _merge(spec, self.full.experiments.get(name, {})) for name, spec in self.experiments.items()
        }
        return replace(self, name=f"{self.name}-full", experiments=experiments, seeds=self.full.seeds, full=None)

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe file. Raises `InputError` naming what is wrong with it."""
        try:
            content = yaml.safe_load(path.read_text())
            common = content.pop("common", {})
            experiments = {name: _merge(common, spec) for name, spec in content.pop("experiments").items()}
            experiments |= content.pop("closed_forms", {})
            paper = Reference(**content.pop("paper"))
            expect = tuple(Expectation(**item) for item in content.pop("expect"))
            seeds = tuple(content.pop("seeds", (0, 1, 2)))
            full = FullSize(**content.pop("full")) if "full" in content else None
            return cls(
                path.stem, paper=paper, experiments=experiments, expect=expect, seeds=seeds, full=full, **content
            )
        except (yaml.YAMLError, KeyError, TypeError, AttributeError, OSError) as error:
            raise InputError(f"{path} is not a recipe: {str(error).splitlines()[0]}") from error


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with pushforward."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def find_recipe(name: str) -> Recipe:
    """Return a shipped recipe by its name, or one of your own by the path of its file."""
    if name.endswith((".yaml", ".yml")):
        return Recipe.read(Path(name))
    if name not in recipe_names():
        raise InputError(f"no recipe {name!r}{nearest(name, recipe_names())}")
    with resources.as_file(_folder() / f"{name}.yaml") as path:
        return Recipe.read(path)


def _folder() -> Any:
    return resources.files("pushforward.recipes")


def _merge(base: Any, change: Any) -> Any:
    """Lay `change` over `base`, mappings key by key; a piece of another class replaces the whole piece."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    if "class_path" in change and change["class_path"] != base.get("class_path", change["class_path"]):
        return change
    return base | {key: _merge(base[key], value) if key in base else value for key, value in change.items()}
