"""Symmetric flows of images: one model that makes images of labels and reads labels off images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pushforward.errors import optional_import
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, OneHotMask
from pushforward.metrics import energy_distance
from pushforward.networks import MLP, UNet
from pushforward.objectives import Fixed, FlowMatching, SymmetricMatching
from pushforward.paths import Symmetric
from pushforward.randomness import seeded
from pushforward.recipes.digits import labels_of, read_as, real_sheet, split_digits
from pushforward.recipes.experiment import ImageExperiment, Outcome, Sheet
from pushforward.training import Trainer, fit

__all__ = ["LabelledDigits", "SegmentedDigits"]

PIECES = ["Symmetric", "SymmetricMatching", "Independent", "Affine"]
SHOWN = 20


@dataclass(frozen=True)
class LabelledDigits(ImageExperiment):
    """One flow of half of scikit-learn's digits, as vectors of 64 pixels, and of their labels, for `steps` steps; with
    `data="mnist"` of 8,000 of MNIST's test images. `width` is that of the network.

    Figures, on the other half: `accuracy` of its labels after one step back and one noise, `accuracy, 8 noises`, and
    `accuracy, 8 steps` of as many back, on average over 8 noises; beside `logistic regression`. Of digits that it makes
    in 25 Euler steps from labels, `read as asked` by the 5 nearest neighbours among the other half. The same, `plain
    read as asked`, of a flow that is told the label, with the same network, batches and steps.
    """

    steps: int = 2000
    rows: int = 1000
    width: int = 256
    data: Literal["digits", "mnist"] = "digits"

    def shown(self, seed: int) -> Outcome:
        """Fit both flows; read, and make."""
        train, held_out = split_digits(self.data, seed)
        flow, plain = (self._fit(train, seed, symmetric) for symmetric in (True, False))
        truth, wanted = labels_of(held_out), torch.arange(self.rows) % 10
        noise = torch.randn(self.rows, *train.event_shape, generator=seeded(seed, "noise"))
        made, told = (
            each.push(noise.flatten(1), {"label": wanted}, steps=25, method="euler").reshape(noise.shape)
            for each in (flow, plain)
        )

        def accuracy(steps: int, draws: int) -> float:
            generator = seeded(seed, "label", steps, draws)
            found = flow.label(held_out.x.flatten(1), steps=steps, draws=draws, generator=generator)
            return float((torch.as_tensor(found.values["label"]) == truth).double().mean())

        figures = {
            "accuracy": accuracy(1, 1), "accuracy, 8 noises": accuracy(1, 8), "accuracy, 8 steps": accuracy(8, 8),
            "logistic regression": _logistic(train, held_out),
            "read as asked": read_as(held_out, made, wanted), "plain read as asked": read_as(held_out, told, wanted),
        }  # fmt: skip
        rows = torch.arange(100).reshape(10, 10).T.flatten()
        return Outcome(figures, (Sheet("made, a row for each label", made[rows]), real_sheet(held_out)))

    def _fit(self, train: Empirical, seed: int, symmetric: bool) -> FlowTransport:
        trainer = Trainer(steps=self.steps, learning_rate=2e-3, ema=0.99)
        path, objective = (Symmetric(), SymmetricMatching()) if symmetric else (None, None)
        network, flat = MLP(width=self.width, depth=3, time_features=8), Empirical(train.x.flatten(1), train.condition)
        return fit("gaussian", flat, network=network, path=path, objective=objective, trainer=trainer, seed=seed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return [*PIECES, "OneHot", "MLP", "FlowMatching"]


@dataclass(frozen=True)
class SegmentedDigits(ImageExperiment):
    """Digits (of scikit-learn, or with `data="mnist"` of MNIST) under noise of deviation `noise`, and where the ink is:
    masks of 1 where the clean pixel is above -1/4. `channels` are those of the U-Net.

    Figures, the mean intersection over union with the masks of the held-out half: `overlap`, one step back of a
    symmetric flow, and `overlap, 8 noises`; `regression`, the same network trained as long on that one step alone
    (every time is 1, and labels are all that counts); `threshold`, the best grey value on the training half. `energy
    distance` of the images that the flow makes of the held-out masks, in 16 steps, to those that belong to them, and
    its `floor`, the training half.
    """

    steps: int = 300
    noise: float = 0.7
    channels: int = 16
    data: Literal["digits", "mnist"] = "digits"

    def shown(self, seed: int) -> Outcome:
        """Fit the flow and the baseline; segment, and make."""
        train, held_out = (
            self._noisy(half, seeded(seed, side)) for side, half in enumerate(split_digits(self.data, seed))
        )
        flow = self._fit(train, SymmetricMatching(), seed)
        regression = self._fit(train, SymmetricMatching(0.01, FlowMatching(time=Fixed(1.0))), seed)
        masks = _masks(held_out)
        x0 = torch.randn(held_out.x.shape, generator=seeded(seed, "noise"))
        made = flow.push(x0, {"mask": masks.flatten(1)}, steps=16)

        def segmented(transport: FlowTransport, draws: int) -> Tensor:
            found = transport.label(held_out.x, draws=draws, generator=seeded(seed, "label", draws))
            return torch.as_tensor(found.values["mask"]).reshape(masks.shape)

        once = segmented(flow, 1)
        figures = {
            "overlap": _overlap(once, masks), "overlap, 8 noises": _overlap(segmented(flow, 8), masks),
            "regression": _overlap(segmented(regression, 8), masks),
            "threshold": _overlap(held_out.x > _best_threshold(train), masks),
            "energy distance": float(energy_distance(made, held_out.x)),
            "energy distance floor": float(energy_distance(train.x, held_out.x)),
        }  # fmt: skip
        sheets = {
            "held out, under noise": held_out.x,
            "made of their masks, with noise": made,
            "their masks": 2 * masks - 1,
            "masks found in one step": 2 * once - 1,
        }
        return Outcome(figures, tuple(Sheet(name, images[:SHOWN].clamp(-1, 1)) for name, images in sheets.items()))

    def _noisy(self, clean: Empirical, generator: torch.Generator) -> Empirical:
        noise = torch.randn(clean.x.shape, generator=generator)
        return Empirical(clean.x + self.noise * noise, {"mask": (clean.x > -0.25).float().flatten(1)})

    def _fit(self, train: Empirical, objective: SymmetricMatching, seed: int) -> FlowTransport:
        trainer = Trainer(steps=self.steps, batch_size=64, learning_rate=2e-3, warmup=50, ema=0.98)
        network, path = UNet(channels=self.channels, attention=False), Symmetric({"mask": OneHotMask()})
        return fit("gaussian", train, network=network, path=path, objective=objective, trainer=trainer, seed=seed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return [*PIECES, "OneHotMask", "UNet", "Fixed"]


def _masks(measure: Empirical) -> Tensor:
    assert measure.condition is not None  # made with masks
    return measure.condition["mask"].reshape(measure.x.shape)


def _logistic(train: Empirical, held_out: Empirical) -> float:
    """Return the accuracy of multinomial logistic regression."""
    linear = optional_import("sklearn.linear_model", "digits", "logistic regression")
    model = linear.LogisticRegression(max_iter=2000).fit(train.x.flatten(1).numpy(), labels_of(train).numpy())
    return float(model.score(held_out.x.flatten(1).numpy(), labels_of(held_out).numpy()))


def _overlap(found: Tensor, masks: Tensor) -> float:
    """Return the mean intersection over union of masks."""
    found, masks = found.flatten(1) > 0.5, masks.flatten(1) > 0.5
    return float(((found & masks).sum(1) / (found | masks).sum(1)).double().mean())


def _best_threshold(train: Empirical) -> float:
    values = torch.linspace(-1.5, 1.5, 61).tolist()
    return max(values, key=lambda value: _overlap(train.x > value, _masks(train)))
