"""Experiments: what a recipe runs. Each takes a seed and reports named figures."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from pushforward.configuration import build
from pushforward.maps import FlowTransport, evaluate
from pushforward.measures import as_measure
from pushforward.training import fit_config

__all__ = ["Experiment", "Fit", "ImageExperiment", "Outcome", "Sheet", "class_names"]

Figures = dict[str, float]


@dataclass(frozen=True)
class Sheet:
    """Images `(n, C, H, W)` in [-1, 1] that a person can judge, laid out in rows of `columns`."""

    caption: str
    images: Tensor
    columns: int = 10


class Outcome(NamedTuple):
    """What an experiment found, and what it has to show."""

    figures: Figures
    sheets: tuple[Sheet, ...] = ()


class Experiment(ABC):
    """Something that can be tried with a seed. `pieces` are what it uses, for citations and the table of systems."""

    @abstractmethod
    def run(self, seed: int) -> Figures:
        """Run once and return the figures by name."""

    def shown(self, seed: int) -> Outcome:
        """Run once and return the figures with sheets of images, of which most experiments have none."""
        return Outcome(self.run(seed))

    def pieces(self) -> list[str]:
        """Return the class names of the pieces used, in order."""
        return []


class ImageExperiment(Experiment):
    """An experiment that has images to show."""

    @abstractmethod
    def shown(self, seed: int) -> Outcome:
        """Run once and return the figures and the images."""

    def run(self, seed: int) -> Figures:
        """Run once and return the figures by name."""
        return self.shown(seed).figures


@dataclass(frozen=True)
class Fit(Experiment):
    """Fit a transport and evaluate it: figures `W2`, `W2 floor`, `W2@N` (at N evaluations), `path energy`, and so
    on.

    `config` holds arguments of `pushforward.fit` (pieces as `{class_path, init_args}`), `evaluation` those of
    `pushforward.evaluate`; `held_out` names another source and target to evaluate on.
    """

    config: dict[str, Any]
    evaluation: dict[str, Any] = field(default_factory=dict)
    held_out: dict[str, str] = field(default_factory=dict)

    def run(self, seed: int) -> Figures:
        """Fit with this seed, evaluate, and flatten the evaluation."""
        started = time.perf_counter()
        transport = fit_config(self.config | {"seed": seed})
        seconds = time.perf_counter() - started
        return self._evaluate(transport, seed) | {"training seconds": seconds}

    def _evaluate(self, transport: FlowTransport, seed: int) -> Figures:
        target = as_measure(
            self.held_out.get("target", self.config["target"]), condition=self.config.get("condition", ())
        )
        source = as_measure(self.held_out.get("source", self.config["source"]), like=target)
        found = evaluate(transport, source, target, seed=1000 + seed, **build(self.evaluation))
        figures = found.paths | found.likelihood | {"evaluations": float(found.evaluations)}
        if "negative log-likelihood, floor" in figures:
            figures["likelihood excess"] = (
                figures["negative log-likelihood"] - figures["negative log-likelihood, floor"]
            )
        for score in found.scores:
            figures |= {score.name: score.value, f"{score.name} floor": score.floor}
            if score.baseline is not None:
                figures[f"{score.name} source"] = score.baseline
                figures[f"{score.name} source squared"] = score.baseline**2
        for name, points in found.curves.items():
            figures |= {f"{name}@{steps}": value for steps, value in points}
        return figures

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration."""
        return class_names(self.config)


def class_names(value: Any) -> list[str]:
    """Return the names of the classes in a description, outermost first."""
    if not isinstance(value, dict):
        return []
    own = [value["class_path"].rpartition(".")[2]] if "class_path" in value else []
    return own + [name for item in value.values() for name in class_names(item)]
