"""Recipes: one YAML for each published system, the experiments they run, and the table of what came out."""

from pushforward.recipes.bures import DeepLinearGenerator
from pushforward.recipes.colour import ColourTransfer
from pushforward.recipes.digits import DigitsByClass
from pushforward.recipes.experiment import Experiment, Fit
from pushforward.recipes.linearized import CloudsByShape, LinearizedDistances
from pushforward.recipes.newton import NewtonAgainstSinkhorn
from pushforward.recipes.oracles import EntropicCorrelation, OracleLikelihood, SchroedingerBridgeMarginals
from pushforward.recipes.recipe import Expectation, Recipe, find_recipe, recipe_names
from pushforward.recipes.run import Claim, Result, experiments_of, run_recipe
from pushforward.recipes.semidiscrete import CellStart, QuantileCells
from pushforward.recipes.sparse_transport import Cardinalities
from pushforward.recipes.table import claims_table, systems_table
from pushforward.recipes.trajectories import LeaveOneTimeOut

__all__ = [
    "Cardinalities", "CellStart", "Claim", "CloudsByShape", "ColourTransfer", "DeepLinearGenerator", "DigitsByClass",
    "EntropicCorrelation", "Expectation", "Experiment", "Fit", "LeaveOneTimeOut", "LinearizedDistances",
    "NewtonAgainstSinkhorn", "OracleLikelihood", "QuantileCells", "Recipe", "Result", "SchroedingerBridgeMarginals",
    "claims_table", "experiments_of", "find_recipe", "recipe_names", "run_recipe", "systems_table",
]  # fmt: skip
