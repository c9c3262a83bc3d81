"""Tensors on disk: one safetensors file with its own checksum, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from pushforward.atomic import atomic_path
from pushforward.errors import InputError

__all__ = ["read_tensors", "write_tensors"]


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write named tensors and text `metadata`, with a digest over both. Raises `InputError` when the disk refuses."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = dict(metadata or {})
    header["digest"] = _digest(held, header)
    with atomic_path(path) as temporary:
        try:
            save_file(held, temporary, header)
        except SafetensorError as error:  # its messages wrap the system's
            raise OSError(str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote. Raises `InputError` when the file is missing, truncated or altered."""
    if not path.exists():
        raise InputError(f"{path} is missing")
    try:
        with safe_open(os.fspath(path), "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    if metadata.pop("digest", "") != _digest(tensors, metadata):
        raise InputError(f"{path} is damaged: its checksum does not match its contents")
    return tensors, metadata


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(bytes(tensor.reshape(-1).view(uint8).numpy()))
    digest.update(repr(sorted(metadata.items())).encode())
    return digest.hexdigest()
