"""The run directory: one configuration, checkpoints, a log, and at the end the transport."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pushforward.atomic import atomic_path
from pushforward.errors import InputError

__all__ = ["as_written", "is_main_process", "open_run", "read_config"]

FREE = {"steps", "device", "prefetch", "checkpoint_every", "keep", "log_every", "trackers"}
"""Options of the trainer that a resumed run may change: none but `steps` touches the weights, and more steps continue
the run.
"""


def is_main_process() -> bool:
    """Tell whether this is the process that writes: the first one under `accelerate launch` or `torchrun`, or the only
    one.
    """
    return os.environ.get("RANK", "0") == "0"


def open_run(out: str | Path, config: dict[str, Any], *, resume: bool, overwrite: bool) -> Path:
    """Make `out` ready for a fit and write the complete configuration there as `config.yaml`.

    Raises `InputError` when `out` already holds a run that is neither resumed nor overwritten, or when the run to
    resume was configured differently.
    """
    directory = Path(out)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file: the run needs a directory")
    if resume and overwrite:
        raise InputError("resume and overwrite exclude each other")
    held = directory / "config.yaml"
    if held.exists() and resume:
        _check_same(read_config(directory), config, directory)
    elif held.exists() and overwrite:
        _clear(directory)
    elif held.exists():
        raise InputError(
            f"{directory} already holds a run: continue it with --resume, replace it with --overwrite, "
            "or choose another --out"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the directory {directory}: {error.strerror}") from error
    with atomic_path(held) as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return directory


def read_config(directory: str | Path) -> dict[str, Any]:
    """Return the configuration of a run. Raises `InputError` when there is none or it is damaged."""
    file = Path(directory) / "config.yaml"
    if not file.exists():
        raise InputError(f"{directory} is not a run: it has no config.yaml")
    try:
        config = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is damaged: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise InputError(f"{file} is damaged: it holds no mapping")
    return config


def as_written(value: Any) -> Any:
    """Return what the configuration says about an input: its text, or what kind of thing it was."""
    if value is None or isinstance(value, str | Path):
        return None if value is None else str(value)
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return list(value)
    return f"<{type(value).__name__}>"


def _check_same(old: dict[str, Any], new: dict[str, Any], directory: Path) -> None:
    for key in new:
        before, now = _fixed(key, old.get(key)), _fixed(key, new[key])
        if before != now:
            raise InputError(
                f"cannot resume {directory}: its {key} was {before!r}, now {now!r}; "
                "use the same options or another --out"
            )


def _fixed(key: str, value: Any) -> Any:
    if key == "trainer" and isinstance(value, dict):
        return {name: option for name, option in value.items() if name not in FREE}
    return value


def _clear(directory: Path) -> None:
    for name in ("checkpoints", "stages", "adapter"):
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in (
        "config.yaml",
        "metrics.jsonl",
        "transport.json",
        "weights.safetensors",
        "report.html",
        "evaluation.json",
    ):
        (directory / name).unlink(missing_ok=True)
