"""Recipes: one YAML for each published system, the experiments they run, and the table of what came out."""

from pushforward.recipes.acceleration import AcceleratedRing, CrossingPairs
from pushforward.recipes.bellman import BellmanGrids, BellmanRefinement
from pushforward.recipes.blockwise import BlockwiseDigits
from pushforward.recipes.bures import DeepLinearGenerator
from pushforward.recipes.car_flow import BayesLossOfShifts, ScaleCollapse, ShiftedClasses
from pushforward.recipes.classes import ClassesInThePlane
from pushforward.recipes.colour import ColourTransfer
from pushforward.recipes.coupled import CoupledDigits
from pushforward.recipes.digits import DigitsByClass
from pushforward.recipes.experiment import Experiment, Fit, ImageExperiment, Outcome, Sheet
from pushforward.recipes.flowturbo import CachedSlopes, VelocityRefiner
from pushforward.recipes.gibbs import GaussianTilt, OffCentre
from pushforward.recipes.interpolants import GaussianInterpolant, InterpolantChoices, LikelihoodBound
from pushforward.recipes.kinetic import KineticClosedForms, KineticFlow
from pushforward.recipes.latent import LatentDigits
from pushforward.recipes.latent_images import LatentImages
from pushforward.recipes.latent_tasks import LatentTasks
from pushforward.recipes.linearized import CloudsByShape, LinearizedDistances
from pushforward.recipes.neural_diffusion import LearnedNoising
from pushforward.recipes.newton import NewtonAgainstSinkhorn
from pushforward.recipes.oracles import EntropicCorrelation, OracleLikelihood, SchroedingerBridgeMarginals
from pushforward.recipes.perflow import WindowedStudents
from pushforward.recipes.posterior import PosteriorInThePlane
from pushforward.recipes.recipe import Expectation, Recipe, find_recipe, recipe_names
from pushforward.recipes.restoration import InPainting, SuperResolution
from pushforward.recipes.run import Claim, Result, experiments_of, run_recipe
from pushforward.recipes.schroedinger import GaussianSchroedingerBridge
from pushforward.recipes.semidiscrete import CellStart, QuantileCells
from pushforward.recipes.solvers import SolverOrders, SolverTable, StochasticSolvers
from pushforward.recipes.sparse_transport import Cardinalities
from pushforward.recipes.students import Students
from pushforward.recipes.symmetric import LabelledDigits, SegmentedDigits
from pushforward.recipes.table import claims_table, systems_table
from pushforward.recipes.target_noise import PairNoise, TargetNoise
from pushforward.recipes.trajectories import LeaveOneTimeOut

__all__ = [
    "AcceleratedRing",
    "BayesLossOfShifts",
    "BellmanGrids",
    "BellmanRefinement",
    "BlockwiseDigits",
    "CachedSlopes",
    "Cardinalities",
    "CellStart",
    "Claim",
    "ClassesInThePlane",
    "CloudsByShape",
    "ColourTransfer",
    "CoupledDigits",
    "CrossingPairs",
    "DeepLinearGenerator",
    "DigitsByClass",
    "EntropicCorrelation",
    "Expectation",
    "Experiment",
    "Fit",
    "GaussianInterpolant",
    "GaussianSchroedingerBridge",
    "GaussianTilt",
    "ImageExperiment",
    "InPainting",
    "InterpolantChoices",
    "KineticClosedForms",
    "KineticFlow",
    "LabelledDigits",
    "LatentDigits",
    "LatentImages",
    "LatentTasks",
    "LearnedNoising",
    "LeaveOneTimeOut",
    "LikelihoodBound",
    "LinearizedDistances",
    "NewtonAgainstSinkhorn",
    "OffCentre",
    "OracleLikelihood",
    "Outcome",
    "PairNoise",
    "PosteriorInThePlane",
    "QuantileCells",
    "Recipe",
    "Result",
    "ScaleCollapse",
    "SchroedingerBridgeMarginals",
    "SegmentedDigits",
    "Sheet",
    "ShiftedClasses",
    "SolverOrders",
    "SolverTable",
    "StochasticSolvers",
    "Students",
    "SuperResolution",
    "TargetNoise",
    "VelocityRefiner",
    "WindowedStudents",
    "claims_table",
    "experiments_of",
    "find_recipe",
    "recipe_names",
    "run_recipe",
    "systems_table",
]
