"""The classifier two-sample test: how well a small network tells two samples apart on rows it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.metrics._pairs import flat_pair, normal
from pushforward.metrics.metric import Metric

__all__ = ["ClassifierTwoSample", "Statistic", "classifier_two_sample"]

Statistic: TypeAlias = Literal["accuracy", "auc"]


def classifier_two_sample(
    x: Tensor, y: Tensor, *, statistic: Statistic = "accuracy", width: int = 64, steps: int = 300,
    generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Held-out score of a network (two hidden layers) trained to tell `x: (n, *event)` from `y: (m, *event)`: 1/2 is
    chance.

    The rows are shuffled and halved; a network trained on one half is scored on the other, both ways, and the two
    scores are averaged. Features are standardised by the training half. Both sides weigh the same in training and in
    the score, whatever their sizes.

    Args:
        x: `(n, *event)`, at least four rows.
        y: `(m, *event)`, at least four rows.
        statistic: `"accuracy"` is the mean of the shares of x and of y recognised; `"auc"` the probability that a row
            of y is given a higher score than a row of x.
        width: units of each hidden layer.
        steps: steps of Adam on batches of 256.
        generator: draws the halves, the initial weights and the batches.

    Returns a 0-d tensor in the dtype of x. Raises `InputError` for too few rows. It costs a training: not a quantity
    to differentiate.
    """
    x, y = flat_pair(x, y)
    if min(x.shape[0], y.shape[0]) < 4:
        raise InputError(f"a classifier needs at least four rows on each side, got {x.shape[0]} and {y.shape[0]}")
    x_halves, y_halves = _halves(x.detach(), generator), _halves(y.detach(), generator)
    scores = []
    for train, test in ((0, 1), (1, 0)):
        network = _fit(x_halves[train], y_halves[train], width, steps, generator)
        scores.append(_STATISTICS[statistic](network.logit(x_halves[test]), network.logit(y_halves[test])))
    return torch.stack(scores).mean().to(x.dtype)


def _halves(x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    device = x.device if generator is None else generator.device
    order = torch.randperm(x.shape[0], generator=generator, device=device).to(x.device)
    middle = x.shape[0] // 2
    return x[order[:middle]], x[order[middle:]]


@dataclass
class _Network:
    """Weights of the layers and the standardisation of the input; plain tensors, since modules draw from the global
    generator.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    shift: Tensor
    scale: Tensor

    def logit(self, x: Tensor) -> Tensor:
        """Log-odds of y, `(n,)`."""
        x = (x - self.shift) / self.scale
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = functional.silu(x @ weight + bias)
        return (x @ self.weights[-1] + self.biases[-1]).squeeze(-1)


def _fit(x: Tensor, y: Tensor, width: int, steps: int, generator: torch.Generator | None) -> _Network:
    network = _initial(torch.cat([x, y]), width, generator)
    parameters = [p.requires_grad_() for p in network.weights + network.biases]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            loss = sum(
                functional.softplus(sign * network.logit(_batch(side, generator))).mean()
                for side, sign in ((x, 1), (y, -1))
            )
            torch.as_tensor(loss).backward()
            optimiser.step()
            schedule.step()
    for parameter in parameters:
        parameter.requires_grad_(False)
    return network


def _initial(pooled: Tensor, width: int, generator: torch.Generator | None) -> _Network:
    sizes = [pooled.shape[1], width, width, 1]
    weights = [normal(a, b, like=pooled, generator=generator) / a**0.5 for a, b in pairwise(sizes)]
    scale = pooled.std(0)
    # A feature that does not vary carries no information: it is left at zero rather than divided by zero.
    return _Network(
        weights,
        [pooled.new_zeros(b) for b in sizes[1:]],
        pooled.mean(0),
        torch.where(scale > 0, scale, torch.ones_like(scale)),
    )


def _batch(x: Tensor, generator: torch.Generator | None, size: int = 128) -> Tensor:
    device = x.device if generator is None else generator.device
    return x[torch.randint(x.shape[0], (size,), generator=generator, device=device).to(x.device)]


def _accuracy(x_logits: Tensor, y_logits: Tensor) -> Tensor:
    recognised = (x_logits < 0).to(x_logits.dtype).mean() + (y_logits > 0).to(x_logits.dtype).mean()
    ties = (x_logits == 0).to(x_logits.dtype).mean() + (y_logits == 0).to(x_logits.dtype).mean()
    return (recognised + ties / 2) / 2


def _auc(x_logits: Tensor, y_logits: Tensor) -> Tensor:
    """Share of pairs in order, ties counting one half, by two binary searches."""
    ordered = x_logits.sort().values
    below = torch.searchsorted(ordered, y_logits) + torch.searchsorted(ordered, y_logits, right=True)
    return below.to(x_logits.dtype).mean() / (2 * ordered.shape[0])


_STATISTICS = {"accuracy": _accuracy, "auc": _auc}


@dataclass(frozen=True)
class ClassifierTwoSample(Metric):
    """Held-out accuracy (or area under the curve) of a small network: 1/2 when the samples cannot be told apart."""

    statistic: Statistic = "accuracy"
    width: int = 64
    steps: int = 300

    name: ClassVar[str] = "classifier test"
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "lopezpaz2017revisiting", "Revisiting Classifier Two-Sample Tests", "Lopez-Paz, David and Oquab, Maxime",
            2017, arxiv="1610.06545", venue="International Conference on Learning Representations",
        ),
    )  # fmt: skip

    def __call__(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> float:
        """Return `classifier_two_sample`."""
        return float(
            classifier_two_sample(
                x, y, statistic=self.statistic, width=self.width, steps=self.steps, generator=generator
            )
        )
