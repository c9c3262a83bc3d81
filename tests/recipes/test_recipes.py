"""Recipes are well formed and judged rightly; `make recipes` runs them at their size."""

import dataclasses

import pytest
import torch
import yaml

from pushforward.configuration import build
from pushforward.errors import InputError
from pushforward.recipes import (
    EntropicCorrelation,
    Expectation,
    Experiment,
    Fit,
    ImageExperiment,
    LeaveOneTimeOut,
    OracleLikelihood,
    Outcome,
    Recipe,
    Result,
    Sheet,
    claims_table,
    experiments_of,
    find_recipe,
    recipe_names,
    run_recipe,
)

TINY = {
    "network": {"class_path": "MLP", "init_args": {"width": 8, "depth": 1}},
    "trainer": {"steps": 5, "batch_size": 16},
}


def smaller(experiment: Experiment) -> Experiment:
    """The same experiment with a tiny network and five steps."""
    if not isinstance(experiment, Fit):
        return experiment
    evaluation = experiment.evaluation | {"rows": 20, "likelihood_rows": 5}
    return dataclasses.replace(experiment, config=experiment.config | TINY, evaluation=evaluation)


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipe_is_well_formed(name):
    recipe = find_recipe(name)
    assert recipe.paper.arxiv and recipe.paper.year > 2000 and recipe.about and recipe.expect and len(recipe.seeds) == 3
    experiments = experiments_of(recipe)
    assert all(item.value.split("/")[0] in experiments for item in recipe.expect)
    for experiment in experiments.values():
        assert experiment.pieces()
        config = getattr(experiment, "config", {})
        for key in ("network", "coupling", "path", "objective", "solver"):
            build(config.get(key))


@pytest.mark.parametrize("name", [name for name in recipe_names() if find_recipe(name).full])
def test_full_size_is_the_same_recipe_with_other_numbers(name):
    recipe = find_recipe(name)
    full = recipe.at_full_size()
    assert full.name == f"{name}-full" and full.expect == recipe.expect and "80 GB" in recipe.full.takes
    small, large = experiments_of(recipe), experiments_of(full)
    assert small.keys() == large.keys() and set(recipe.full.experiments) <= small.keys()
    for label, experiment in large.items():
        assert type(experiment) is type(small[label])
        for key in ("network", "autoencoder"):
            build(getattr(experiment, key, None))
        for steps in ("steps", "latent_steps", "codec_steps"):
            assert getattr(experiment, steps, 1) >= getattr(small[label], steps, 1)


def test_one_size_only(recipe):
    with pytest.raises(InputError, match="one size only"):
        recipe.at_full_size()


@pytest.mark.parametrize("name", ["flow-matching", "i-cfm", "ot-cfm", "sb-cfm"])
def test_claims_name_figures_that_are_reported(name):
    """A misspelt figure would only show after minutes of training."""
    recipe = find_recipe(name)
    figures = {}
    for label, experiment in experiments_of(recipe).items():
        if isinstance(experiment, Fit):
            figures |= {f"{label}/{key}": value for key, value in smaller(experiment).run(0).items()}
    for item in recipe.expect:
        if item.value.split("/")[0] in {key.split("/")[0] for key in figures}:
            item.holds(figures)


def test_closed_forms_hold():
    assert OracleLikelihood(points=10, probes=256).run(0)["exact error"] < 1e-4
    assert EntropicCorrelation().run(0)["correlation error"] < 1e-3


RECIPE = """
title: T
about: A
paper: {key: k, title: T, authors: A, year: 2020, arxiv: "1"}
seeds: [0, 1, 2]
common: {class_path: Fit, init_args: {config: {source: ring}}}
experiments:
  a: {init_args: {config: {target: moons-torchdyn}}}
expect:
  - {value: a/x, at_most: 2.0, times: a/y}
  - {value: a/x, at_least: 100, known_miss: "it is 2, since it is"}
  - {value: a/x, at_most: 1.0}
"""


class Constant(Experiment):
    def run(self, seed):
        return {"x": 1.0 + seed, "y": 1.5}


class Picture(ImageExperiment):
    def shown(self, seed):
        return Outcome({"x": 1.0 + seed, "y": 1.5}, (Sheet("squares", torch.full((20, 1, 8, 8), seed / 4)),))


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return Recipe.read(tmp_path / "mine.yaml")


def test_common_parts_are_laid_under_every_experiment(recipe):
    assert recipe.experiments["a"]["init_args"]["config"] == {"source": "ring", "target": "moons-torchdyn"}


def test_claims_are_judged_by_medians(recipe, monkeypatch, tmp_path):
    monkeypatch.setattr("pushforward.recipes.run.experiments_of", lambda recipe: {"a": Constant()})
    result = run_recipe(recipe)
    assert [claim.verdict for claim in result.claims] == ["met", "known miss", "missed"]
    first = result.claims[0]
    assert (first.measured, first.bound, first.low, first.high) == (2.0, 3.0, 1.0, 3.0)
    assert not result.ok and "it is 2, since it is" in claims_table(result)
    file = result.save(tmp_path)
    assert Result.load(file, recipe) == result
    softer = dataclasses.replace(recipe, expect=(Expectation("a/x", at_most=2.5), Expectation("a/z", at_most=1.0)))
    with pytest.raises(InputError, match=r"out of date.*'a/z'.*run the recipe again"):
        Result.load(file, softer)
    softer = dataclasses.replace(recipe, expect=softer.expect[:1])
    assert [claim.verdict for claim in Result.load(file, softer).claims] == ["met"]


def test_sheets_are_those_of_the_first_seed_and_are_not_recorded(recipe, monkeypatch, tmp_path):
    monkeypatch.setattr("pushforward.recipes.run.experiments_of", lambda recipe: {"a": Picture(), "b": Constant()})
    result = run_recipe(recipe, seeds=(1, 2))
    assert list(result.sheets) == ["a"] and result.figures["a/x"] == [2.0, 3.0]
    assert (result.sheets["a"][0].images == 0.25).all() and Picture().run(3) == {"x": 4.0, "y": 1.5}
    file = result.save(tmp_path)
    assert "squares" not in file.read_text() and Result.load(file, recipe) == result


@pytest.mark.parametrize(
    "change, message",
    [
        ({"expect": [{"value": "a/x"}]}, "exactly one|needs one of"),
        ({"paper": {"key": "k"}}, "is not a recipe"),
        ({"experiments": {"a": {"class_path": "Ft"}}}, "did you mean 'Fit'"),
        ({"experiments": {"a": {"class_path": "MLP"}}}, "wanted an Experiment"),
        ({"surprise": 1}, "is not a recipe"),
    ],
)
def test_mistakes_are_named(change, message, tmp_path):
    content = yaml.safe_load(RECIPE)
    content.pop("common")
    content["experiments"]["a"] = {"class_path": "Fit", "init_args": {"config": {}}}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(content | change))
    with pytest.raises(InputError, match=message):
        experiments_of(Recipe.read(tmp_path / "bad.yaml"))


def test_unknown_names_are_named(recipe):
    with pytest.raises(InputError, match="did you mean 'ot-cfm'"):
        find_recipe("ot-cmf")
    with pytest.raises(InputError, match="no experiment reports the figure 'a/z'"):
        Expectation("a/z", at_most=1).holds({"a/x": 1.0})


def test_leave_one_time_out_on_made_up_snapshots(tmp_path, monkeypatch):
    import numpy as np

    random = np.random.default_rng(0)
    for t in range(3):
        np.save(tmp_path / f"{t}.npy", random.normal(size=(60, 2)) + 3 * t)
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))
    found = LeaveOneTimeOut("0.npy", "1.npy", "2.npy", config=TINY | {"trainer": {"steps": 300, "batch_size": 32}}).run(
        0
    )
    assert (
        found["W2"] < found["W2 nearest snapshot"] and found["W2 straight lines"] < 0.5 * found["W2 nearest snapshot"]
    )
