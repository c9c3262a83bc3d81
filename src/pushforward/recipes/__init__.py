"""Recipes: one YAML for each published system, the experiments they run, and the table of what came out."""

from pushforward.recipes.bures import DeepLinearGenerator
from pushforward.recipes.car_flow import BayesLossOfShifts, ScaleCollapse, ShiftedClasses
from pushforward.recipes.classes import ClassesInThePlane
from pushforward.recipes.colour import ColourTransfer
from pushforward.recipes.coupled import CoupledDigits
from pushforward.recipes.digits import DigitsByClass
from pushforward.recipes.experiment import Experiment, Fit
from pushforward.recipes.gibbs import GaussianTilt, OffCentre
from pushforward.recipes.interpolants import GaussianInterpolant, InterpolantChoices, LikelihoodBound
from pushforward.recipes.kinetic import KineticClosedForms, KineticFlow
from pushforward.recipes.latent import LatentDigits
from pushforward.recipes.linearized import CloudsByShape, LinearizedDistances
from pushforward.recipes.neural_diffusion import LearnedNoising
from pushforward.recipes.newton import NewtonAgainstSinkhorn
from pushforward.recipes.oracles import EntropicCorrelation, OracleLikelihood, SchroedingerBridgeMarginals
from pushforward.recipes.recipe import Expectation, Recipe, find_recipe, recipe_names
from pushforward.recipes.restoration import InPainting, SuperResolution
from pushforward.recipes.run import Claim, Result, experiments_of, run_recipe
from pushforward.recipes.schroedinger import GaussianSchroedingerBridge
from pushforward.recipes.semidiscrete import CellStart, QuantileCells
from pushforward.recipes.sparse_transport import Cardinalities
from pushforward.recipes.table import claims_table, systems_table
from pushforward.recipes.trajectories import LeaveOneTimeOut

__all__ = [
    "BayesLossOfShifts",
    "Cardinalities",
    "CellStart",
    "Claim",
    "ClassesInThePlane",
    "CloudsByShape",
    "ColourTransfer",
    "CoupledDigits",
    "DeepLinearGenerator",
    "DigitsByClass",
    "EntropicCorrelation",
    "Expectation",
    "Experiment",
    "Fit",
    "GaussianInterpolant",
    "GaussianSchroedingerBridge",
    "GaussianTilt",
    "InPainting",
    "InterpolantChoices",
    "KineticClosedForms",
    "KineticFlow",
    "LatentDigits",
    "LearnedNoising",
    "LeaveOneTimeOut",
    "LikelihoodBound",
    "LinearizedDistances",
    "NewtonAgainstSinkhorn",
    "OffCentre",
    "OracleLikelihood",
    "QuantileCells",
    "Recipe",
    "Result",
    "ScaleCollapse",
    "SchroedingerBridgeMarginals",
    "ShiftedClasses",
    "SuperResolution",
    "claims_table",
    "experiments_of",
    "find_recipe",
    "recipe_names",
    "run_recipe",
    "systems_table",
]
