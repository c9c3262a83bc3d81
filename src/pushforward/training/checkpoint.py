"""Checkpoints: one checked file per saved step, the newest intact one is used."""

from __future__ import annotations

import warnings
from pathlib import Path

from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.storage import read_tensors, write_tensors
from pushforward.training.adamw import AdamW
from pushforward.training.ema import EMA

__all__ = ["Checkpoints"]


class Checkpoints:
    """Saves and restores the whole state of a training: weights, their average, and the optimiser's moments.

    Randomness needs no saving: every draw is a function of the seed and the step. Each file carries a checksum; a
    damaged one is named in a warning and the one before it is used. Weights that two parts of a model share are held
    once.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        """Keep the newest `keep` checkpoints in `directory`."""
        self.directory = directory
        self.keep = keep

    def files(self) -> list[Path]:
        """Return the checkpoints' files, oldest first."""
        return sorted(self.directory.glob("step-*.safetensors"))

    def save(self, step: int, module: nn.Module, ema: EMA, optimizer: AdamW) -> None:
        """Write the state after `step` steps and drop the oldest files beyond `keep`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        first = _first_names(module)
        model = {name: tensor for name, tensor in module.state_dict().items() if first[name] == name}
        parts = {"model": model, "ema": ema.state(), "optimizer": optimizer.state()}
        tensors = {f"{part}/{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        write_tensors(self.directory / f"step-{step:09d}.safetensors", tensors, {"step": str(step)})
        for old in self.files()[: -self.keep]:
            old.unlink(missing_ok=True)

    def restore(self, module: nn.Module, ema: EMA, optimizer: AdamW) -> int:
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
            held = _part("model", tensors)
            shared = {name: held[first] for name, first in _first_names(module).items() if first in held}
            try:
                module.load_state_dict(held | shared)
            except RuntimeError as error:
                raise InputError(f"{file} belongs to another model: {str(error).splitlines()[-1].strip()}") from error
            ema.load(_part("ema", tensors))
            optimizer.load(_part("optimizer", tensors))
            return int(metadata["step"])
        if files:
            raise InputError(f"every checkpoint in {self.directory} is damaged: start again without --resume")
        return 0


def _first_names(module: nn.Module) -> dict[str, str]:
    """Return, for every name in the state of a module, the first name that the same tensor has there."""
    firsts: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {name: firsts.setdefault(id(tensor), name) for name, tensor in state.items()}


def _part(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }
