"""The training loop: `loss = objective(field, coupling(x0, x1, condition), path)`, again and again, resumable at any
moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives import Objective
from pushforward.randomness import seeded
from pushforward.training.adamw import AdamW
from pushforward.training.checkpoint import Checkpoints
from pushforward.training.ema import EMA
from pushforward.training.interrupts import held_interrupts
from pushforward.training.log import Row, TrainingLog, progress_line
from pushforward.training.stream import PairStream

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Diverged", "Trainer"]


class Diverged(RuntimeError):
    """The loss became non-finite; the last good state was saved and the message says where."""


class _Step(nn.Module):
    """One evaluation of the objective as a module, so that data parallelism and mixed precision can wrap it; with the
    average of the field that the objective makes targets with, if it does.
    """

    def __init__(self, field: Field, objective: Objective) -> None:
        super().__init__()
        self.field = field
        self.average = None if objective.target_average() is None else _copied(field).requires_grad_(False)
        self.objective = objective if self.average is None else objective.with_targets_of(self.average)

    def forward(self, pairs: Pairs, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        objective = self.objective.at(progress)
        loss = objective(self.field, pairs, self.field.path, generator=generator)
        return loss.total, {"loss": loss.total.detach()} | loss.terms


def _copied(field: Field) -> Field:
    """Return a copy of a field, with the frozen parameters of the field itself: an autoencoder can be large."""
    frozen = {id(parameter): parameter for parameter in field.parameters() if not parameter.requires_grad}
    return deepcopy(field, frozen)


@dataclass(frozen=True)
class Trainer:
    """How a field is trained: AdamW with a warmed-up, decaying rate, clipped gradients and averaged weights.

    Runs through Accelerate: on the CPU or a GPU as found, in bfloat16 when asked, on several processes or machines
    under `accelerate launch` (`batch_size` is then the batch of all together). Every draw is a function of the seed and
    the step, so a run that is killed and resumed ends with the same bits.

    Args:
        steps: number of optimiser steps.
        batch_size: pairs per step.
        pool: batches the coupling sees together; larger pools give better couplings, solved once per `pool` steps.
            `None` is what the coupling is best at (`Coupling.pool_rows`): one batch for most.
        passes: how often a coupled pair is used, each time at a new time and in another batch: the coupling then costs
            `1 / passes` of what it did, for that many fewer pairs in a run. `None` is 4 for couplings that are dear.
        learning_rate: the rate after warm-up.
        warmup: steps over which the rate rises linearly from zero.
        decay: how the rate goes on after the warm-up, to zero at the last step or not at all.
        weight_decay: decoupled weight decay.
        clip: largest norm of the gradient; `None` leaves it alone.
        ema: decay of the weights' average, 0 for none.
        precision: arithmetic of the forward and backward pass.
        device: `auto` takes an accelerator when there is one.
        compile: compile the network with `torch.compile`.
        prefetch: pools, or windows of `passes` pools, the coupling is solved ahead in a worker; 0 solves in the
            training thread.
        checkpoint_every: steps between checkpoints.
        keep: checkpoints kept.
        log_every: steps between rows of `metrics.jsonl`.
        trackers: experiment trackers by Accelerate's names (`tensorboard`, `wandb`, `mlflow`).
    """

    steps: int = 5000
    batch_size: int = 256
    pool: int | None = None
    passes: int | None = None
    learning_rate: float = 1e-3
    warmup: int = 200
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = 0.0
    clip: float | None = 1.0
    ema: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu"] = "auto"
    compile: bool = False
    prefetch: int = 2
    checkpoint_every: int = 1000
    keep: int = 2
    log_every: int = 50
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse impossible numbers before any work."""
        for name in ("steps", "batch_size", "pool", "passes", "checkpoint_every", "keep", "log_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"trainer.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("warmup", "prefetch", "weight_decay"):
            if getattr(self, name) < 0:
                raise InputError(f"trainer.{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise InputError(f"trainer.ema must lie in [0, 1), got {self.ema}")
        if not self.learning_rate > 0 or (self.clip is not None and not self.clip > 0):
            raise InputError(
                f"trainer.learning_rate and trainer.clip must be positive, got {self.learning_rate} and {self.clip}"
            )
        object.__setattr__(self, "trackers", tuple(self.trackers))

    def rate(self, step: int) -> float:
        """Return the learning rate of step number `step` (from zero)."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        factor = {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "linear": 1 - progress, "constant": 1.0}[
            self.decay
        ]
        return self.learning_rate * factor

    def run(
        self,
        field: Field,
        objective: Objective,
        stream: PairStream,
        *,
        seed: int = 0,
        directory: Path | None = None,
        resume: bool = False,
        show_progress: bool | None = None,
    ) -> list[Row]:
        """Train `field` in place, leaving the averaged weights in it, and return the rows of the log.

        With a `directory`, checkpoints and `metrics.jsonl` are written there, and `resume` continues from the newest
        intact one. Raises `Diverged` when the loss stops being finite, after saving the last good state.
        """
        accelerator = self._accelerator(directory)
        stream = self._shard(stream, accelerator, seed)
        module = _Step(field, objective).to(accelerator.device)
        trained = (parameter for parameter in module.parameters() if parameter.requires_grad)
        optimizer = AdamW(trained, weight_decay=self.weight_decay)
        ema = EMA(module, self.ema)
        checkpoints = Checkpoints(directory / "checkpoints", self.keep) if directory else None
        first = checkpoints.restore(module, ema, optimizer) if checkpoints and resume else 0
        main = accelerator.is_main_process
        log_file = directory / "metrics.jsonl" if directory and main else None
        with (
            progress_line(self.steps, first, show_progress if main else False) as listeners,
            self._tracking(accelerator) as trackers,
            torch.random.fork_rng(),
            stream.prefetched(first, self.steps, ahead=self.prefetch) as batches,
        ):
            log = TrainingLog(log_file, self.log_every, first, listeners + trackers)
            loop = _Loop(self, accelerator, module, optimizer, ema, checkpoints if main else None, log, seed)
            loop.run(first, batches)
        with ema.swapped():
            averaged = {name: value.clone() for name, value in field.state_dict().items()}
        field.load_state_dict(averaged)
        return log.rows

    def _shard(self, stream: PairStream, accelerator: Accelerator, seed: int) -> PairStream:
        """Give each process its share of the batch and pools of its own."""
        ranks = accelerator.num_processes
        if self.batch_size % ranks:
            raise InputError(f"trainer.batch_size is {self.batch_size}, which {ranks} processes cannot share equally")
        share = self.batch_size // ranks
        stream = replace(stream, batch_size=share, seed=seed, rank=accelerator.process_index, ranks=ranks)
        return stream.arranged(self.pool, self.passes)

    def _accelerator(self, directory: Path | None) -> Accelerator:
        from accelerate import Accelerator  # slow to import, and only training needs it
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state()  # otherwise a second fit in this process could not choose another precision
        return Accelerator(
            mixed_precision="bf16" if self.precision == "bfloat16" else "no",
            cpu=self.device == "cpu",
            log_with=list(self.trackers) or None,
            project_dir=directory,
        )

    @contextmanager
    def _tracking(self, accelerator: Accelerator) -> Iterator[tuple]:
        if not self.trackers:
            yield ()
            return
        accelerator.init_trackers("pushforward")
        yield (lambda row: accelerator.log({k: v for k, v in row.items() if k != "step"}, step=int(row["step"])),)
        accelerator.end_training()


class _Loop:
    """The loop itself, with everything it holds on to."""

    def __init__(
        self, trainer: Trainer, accelerator: Accelerator, module: _Step, optimizer: AdamW, ema: EMA,
        checkpoints: Checkpoints | None, log: TrainingLog, seed: int,
    ) -> None:  # fmt: skip
        self.trainer, self.accelerator, self.seed = trainer, accelerator, seed
        self.module, self.ema, self.checkpoints, self.log = module, ema, checkpoints, log
        self.optimizer = optimizer
        decay = module.objective.target_average()
        self.target_ema = None if decay is None else EMA(module.field, decay, module.average)
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.has_dropout = any(
            isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in module.modules()
        )
        self.device = accelerator.device
        self.wrapped = accelerator.prepare(module)
        if trainer.compile:
            for field in (module.field, *([] if module.average is None else [module.average])):
                field.network.compile()

    def run(self, first: int, batches: Iterator[Pairs]) -> None:
        """Take every batch from step `first` on; an interrupt ends the step, saves, and goes on its way."""
        generator = torch.Generator(self.device)
        self.module.train()
        try:
            with held_interrupts() as interrupts:
                for step, pairs in enumerate(batches, start=first):
                    self._step(step, pairs, generator)
                    done = step + 1
                    if done % self.trainer.checkpoint_every == 0 or done == self.trainer.steps or interrupts:
                        self._save(done)
                    if interrupts:
                        raise KeyboardInterrupt
        finally:
            self.module.eval()

    def _step(self, step: int, pairs: Pairs, generator: torch.Generator) -> None:
        trainer, rate = self.trainer, self.trainer.rate(step)
        key = (self.seed, "objective", self.accelerator.process_index, step)
        generator.manual_seed(seeded(*key).initial_seed())
        if self.has_dropout:
            torch.manual_seed(generator.initial_seed())  # dropout draws from the global stream
        if self.device.type != "cpu":
            pairs = pairs.to(self.device, non_blocking=True)
        total, terms = self.wrapped(pairs, generator, step / trainer.steps)
        self._check(step, total)
        for parameter in self.parameters:
            parameter.grad = None
        total.backward()
        divisor = None
        if trainer.clip is not None:
            terms["gradient_norm"] = self._gradient_norm()
            divisor = (terms["gradient_norm"] / trainer.clip).clamp_(min=1.0)
        self.optimizer.step(rate, divisor)
        self.ema.update(step)
        if self.target_ema is not None:
            self.target_ema.update(step)
        self.log.add(step + 1, terms, rate)

    def _gradient_norm(self) -> Tensor:
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        # as torch.nn.utils.get_total_norm, without sorting by device, which takes as long as a small network's norm
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # pyright: ignore[reportPrivateImportUsage]

    def _check(self, step: int, total: Tensor) -> None:
        """Stop at the first non-finite loss, before it reaches the weights; an accelerator is asked now and then."""
        due = self.device.type == "cpu" or step % self.trainer.log_every == 0
        if not due or math.isfinite(total.item()):
            return
        saved = "no state was saved: there is no run directory"
        if self.device.type == "cpu" and self.checkpoints:
            self._save(step)
        if self.checkpoints and self.checkpoints.files():
            saved = f"the last good state is {self.checkpoints.files()[-1]}"
        raise Diverged(
            f"the loss is {total.item()} at step {step}; {saved}. Try a smaller trainer.learning_rate or trainer.clip"
        )

    def _save(self, step: int) -> None:
        if self.checkpoints:
            self.checkpoints.save(step, self.module, self.ema, self.optimizer)
