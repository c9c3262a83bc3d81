"""Writing transports to disk and reading them back: JSON for what they are, safetensors for what they learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from pushforward.atomic import atomic_path
from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.maps.transport import Transport
from pushforward.storage import read_tensors, write_tensors

__all__ = ["load", "save_transport"]

FORMAT = 1


def save_transport(transport: nn.Module, directory: str | Path) -> Path:
    """Write the description of a transport module and its state; each file appears whole or not at all."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_tensors(directory / "weights.safetensors", transport.state_dict())
    with atomic_path(directory / "transport.json") as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, "transport": describe(transport)}, indent=1))
    return directory


def load(directory: str | Path, *, device: str = "cpu") -> Any:
    """Read the transport that `save` wrote to `directory`, in evaluation mode.

    Raises `InputError` naming the file that is missing, damaged or of a newer format.
    """
    directory = Path(directory)
    description = _read_json(directory / "transport.json")
    transport = build(description["transport"])
    if not isinstance(transport, Transport) or not isinstance(transport, nn.Module):
        raise InputError(f"{directory / 'transport.json'} does not describe a transport")
    _load_state(transport, directory / "weights.safetensors")
    return transport.to(device).eval()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"{path.parent} holds no transport: {path.name} is missing (is the fit still running?)")
    try:
        description = json.loads(path.read_text())
        newer = description["format"] > FORMAT
        description["transport"]["class_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if newer:
        raise InputError(f"{path} was written by a newer pushforward (format {description['format']}): update this one")
    return description


def _load_state(transport: nn.Module, path: Path) -> None:
    tensors, _ = read_tensors(path)
    try:
        transport.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path} belongs to another transport: {str(error).splitlines()[0]}") from error
