"""Checkpoints: one checked file per saved step, the newest intact one is used."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.storage import read_tensors, write_tensors
from pushforward.training.ema import EMA

__all__ = ["Checkpoints"]


class Checkpoints:
    """Saves and restores the whole state of a training: weights, their average, and the optimiser's moments.

    Randomness needs no saving: every draw is a function of the seed and the step. Each file carries a checksum; a
    damaged one is named in a warning and the one before it is used.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        """Keep the newest `keep` checkpoints in `directory`."""
        self.directory = directory
        self.keep = keep

    def files(self) -> list[Path]:
        """Return the checkpoints' files, oldest first."""
        return sorted(self.directory.glob("step-*.safetensors"))

    def save(self, step: int, module: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer) -> None:
        """Write the state after `step` steps and drop the oldest files beyond `keep`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        tensors = (
            _prefixed("model", module.state_dict()) | _prefixed("ema", ema.state()) | _optimizer_tensors(optimizer)
        )
        write_tensors(self.directory / f"step-{step:09d}.safetensors", tensors, {"step": str(step)})
        for old in self.files()[: -self.keep]:
            old.unlink(missing_ok=True)

    def restore(self, module: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer) -> int:
        """Load the newest intact checkpoint and return its number of steps; zero when there is none.

        Raises `InputError` when checkpoints exist but every one is damaged, or when they belong to another model.
        """
        files = self.files()
        for file in reversed(files):
            try:
                tensors, metadata = read_tensors(file)
            except InputError as error:
                warnings.warn(f"{error}; using the checkpoint before it", stacklevel=2)
                continue
            try:
                module.load_state_dict(_unprefixed("model", tensors))
            except RuntimeError as error:
                raise InputError(f"{file} belongs to another model: {str(error).splitlines()[-1].strip()}") from error
            ema.load(_unprefixed("ema", tensors))
            _load_optimizer(optimizer, tensors)
            return int(metadata["step"])
        if files:
            raise InputError(f"every checkpoint in {self.directory} is damaged: start again without --resume")
        return 0


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"optimizer/{index}/{name}": value for index, entries in state.items() for name, value in entries.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in _unprefixed("optimizer", tensors).items():
        index, name = path.split("/")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
