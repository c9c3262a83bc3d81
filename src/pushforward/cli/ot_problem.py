"""How a transport problem is written on the command line: short texts that become the arguments of `solve`."""

from __future__ import annotations

import math

import torch
import yaml
from torch import Tensor

from pushforward.cli.explain import Node, explain, insert
from pushforward.configuration import build
from pushforward.errors import InputError
from pushforward.geometry import Cost
from pushforward.measures import Empirical, Measure, as_measure, takes_shape
from pushforward.ot import KL, AtMost, Exact, KSparse, Quadratic, Relative, solve
from pushforward.ot.marginals import Marginal
from pushforward.ot.regularization import Regularization
from pushforward.tensors import check_same_event

__all__ = ["read_cost", "read_epsilon", "read_marginals", "read_regularization", "read_sides", "take_rows"]

STATISTICS = ("mean", "max", "std")


def read_epsilon(text: str | None) -> float | Relative | None:
    """Read `0.05`, in units of the cost, or `0.05 mean`, relative to the mean (max, std) of the costs."""
    if text is None:
        return None
    number, *rest = text.split() or [""]
    value = _number("--epsilon", number)
    if not rest:
        return value
    if len(rest) > 1 or rest[0] not in STATISTICS:
        raise InputError(f"--epsilon {text!r}: after the number comes one of {', '.join(STATISTICS)}, or nothing")
    return Relative(value, rest[0])


def read_cost(text: str) -> Cost:
    """Read `PNorm p=1 power=2`: a class, and its options."""
    name, *options = text.split() or [""]
    tree: Node = {}
    insert(tree, "cost", name)
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise InputError(f"--cost {text!r}: options are written NAME=VALUE, as in --cost 'PNorm p=1'")
        insert(tree, f"cost.{key}", ".inf" if value == "inf" else value)  # as YAML has it
    problem = explain(tree, solve, "ot")
    if problem:
        raise InputError(problem)
    arguments = {key: yaml.safe_load(child[""]) for key, child in tree["cost"].items() if key}
    return build({"class_path": name, "init_args": arguments})


def read_marginals(unbalanced: str | None, mass: float | None) -> tuple[Marginal, Marginal]:
    """Read the price `RHO`, or `RHO,RHO` for the two sides (`inf` for exact); with a `mass`, sums may be lower."""
    if unbalanced is not None and mass is not None:
        raise InputError("--unbalanced and --mass exclude each other: the price of losing mass, or how much is moved")
    if mass is not None:
        return AtMost(), AtMost()
    if unbalanced is None:
        return Exact(), Exact()
    prices = [_number("--unbalanced", part) for part in unbalanced.split(",")]
    if len(prices) > 2:
        raise InputError(f"--unbalanced takes one price or two, got {unbalanced!r}")
    first, second = (Exact() if price == math.inf else KL(price) for price in (prices[0], prices[-1]))
    return first, second


def read_regularization(quadratic: float | None, k_sparse: str | None) -> Regularization | None:
    """Read the penalties: `GAMMA`, or `K,GAMMA`."""
    if quadratic is not None and k_sparse is not None:
        raise InputError("--quadratic and --k-sparse exclude each other: --k-sparse K,GAMMA has the penalty in it")
    if quadratic is not None:
        return Quadratic(quadratic)
    if k_sparse is None:
        return None
    k, comma, gamma = k_sparse.partition(",")
    if not comma or not k.strip().isdigit():
        raise InputError(f"--k-sparse is K,GAMMA, a whole number and a penalty, as in 3,0.5; got {k_sparse!r}")
    return KSparse(int(k), _number("--k-sparse", gamma))


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{flag} must be a number, got {text!r}") from None


def read_sides(source: str, target: str) -> tuple[Measure, Measure]:
    """Read both sides; noise without a shape takes the other's. Raises `InputError` for points that are unlike."""
    if takes_shape(target):
        first = as_measure(source)
        second = as_measure(target, like=first)
    else:
        second = as_measure(target)
        first = as_measure(source, like=second)
    check_same_event(source, first.event_shape, target, second.event_shape)
    return first, second


def take_rows(
    measure: Measure, text: str, rows: int | None, *, block: int, seed: int, device: str
) -> tuple[Tensor, Tensor | None]:
    """Return points `(n, d)` in double precision and their weights: all rows, or `rows` of them at random.

    Two sides draw other `block`s, so that one data set can be compared with itself. Rows drawn by weight are alike.
    """
    if rows is not None and rows < 1:
        raise InputError(f"--rows must be at least 1, got {rows}")
    whole = isinstance(measure, Empirical) and (rows is None or rows >= len(measure))
    if isinstance(measure, Empirical) and whole:
        weight = measure.weight
        x = measure.x
    elif rows is None:
        raise InputError(f"{text} has no rows of its own: say how many to draw with --rows N")
    else:
        weight, x = None, measure.block(block, rows, seed=seed).x
    return x.flatten(1).to(device, torch.float64), None if weight is None else weight.to(device)
