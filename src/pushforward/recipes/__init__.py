"""Recipes: one YAML for each published system, the experiments they run, and the table of what came out."""

from pushforward.recipes.experiment import Experiment, Fit
from pushforward.recipes.recipe import Expectation, Recipe, find_recipe, recipe_names
from pushforward.recipes.run import Claim, Result, experiments_of, run_recipe
from pushforward.recipes.table import claims_table, systems_table

__all__ = [
    "Claim", "Expectation", "Experiment", "Fit", "Recipe", "Result", "claims_table", "experiments_of", "find_recipe", "recipe_names", "run_recipe",
    "systems_table",
]  # fmt: skip
