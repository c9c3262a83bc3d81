"""What a distillation with low-rank adapters changed, alone on disk."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from pushforward.atomic import atomic_path
from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.networks import Field, LowRank, changed_layers, merged, started
from pushforward.storage import read_tensors, write_tensors

__all__ = ["ADAPTER", "save_adapter", "with_adapter"]

ADAPTER, WEIGHTS, PREFIX = "adapter", "adapter_model.safetensors", "base_model.model."
"""The folder of a run that holds its adapter alone, the file with its weights, and how PEFT begins their names."""


def save_adapter(student: FlowTransport, directory: str | Path) -> Path:
    """Write the low-rank changes by which a flow was distilled, alone: what the adapter `LoRA` trained, and the
    student's network, path and solver in words. Returns the directory.

    Names and `adapter_config.json` are those of PEFT, which reads the changes of the layers. Raises `InputError` for a
    flow without changes.
    """
    directory, field = Path(directory), student.field
    layers = changed_layers(field.network)
    if not layers:
        raise InputError("this flow has no low-rank changes to save: distil with the adapter LoRA")
    directory.mkdir(parents=True, exist_ok=True)
    spec = field.architecture
    assert isinstance(spec, LowRank)  # or it had no changes
    parts = {"network": spec, "path": field.path, "solver": student.solver}
    described = {name: json.dumps(describe(part)) for name, part in parts.items()}
    write_tensors(directory / WEIGHTS, _trained(field), described)
    config = {
        "peft_type": "LORA", "r": spec.rank, "lora_alpha": spec.alpha or spec.rank, "target_modules": list(layers),
        "inference_mode": True,
    }  # fmt: skip
    with atomic_path(directory / "adapter_config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=1))
    return directory


def with_adapter(flow: FlowTransport, directory: str | Path, *, scale: float = 1.0) -> FlowTransport:
    """Return a flow with the changes that `save_adapter` wrote, `scale` times, merged into its weights, and with the
    solver of that student. Raises `InputError` where they do not fit.
    """
    tensors, described = read_tensors(Path(directory) / WEIGHTS)
    if not {"network", "path", "solver"} <= set(described):
        raise InputError(f"{directory} does not say how its adapter was trained: it was written by something else")
    spec, path, solver = (build(json.loads(described[name])) for name in ("network", "path", "solver"))
    field = started(spec, path, flow.field)
    own = _trained(field)
    if own.keys() != tensors.keys():
        raise InputError(f"the adapter in {directory} is damaged: it does not hold what its network trains")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(scale * tensors[name] if name.endswith(".lora_B.weight") else tensors[name])
    return FlowTransport(merged(field), solver, flow.source, *flow.frames, flow.names, flow.starts_from)


def _trained(field: Field) -> dict[str, Tensor]:
    """Return what is trained of a field by the names that PEFT gives it, views of its parameters."""
    trained: dict[str, Tensor] = {
        PREFIX + name: value for name, value in field.network.named_parameters()
        if value.requires_grad and ".parametrizations." not in name
    }  # fmt: skip
    for name, change in changed_layers(field.network).items():
        for factor, value in zip("AB", change.factors(), strict=True):
            trained[f"{PREFIX}{name}.lora_{factor}.weight"] = value
    return trained
