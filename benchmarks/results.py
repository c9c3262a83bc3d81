"""Where measurements are kept: one JSON file per benchmark, with what is needed to read the figures."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.settings import Rows, Settings
from pushforward.atomic import atomic_path

__all__ = ["RESULTS", "load", "save"]

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "scipy", "POT", "torchdiffeq", "diffusers", "torchcfm", "flow_matching")
PACKAGES += ("ott-jax", "jax", "geomloss", "mdot-tnt", "regot", "MultiScaleOT", "lapx")


def save(name: str, settings: Settings, rows: Rows, folder: Path = RESULTS) -> Path:
    """Write the rows of a benchmark with the date, the versions and the processor."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    record = {
        "benchmark": name,
        "date": datetime.date.today().isoformat(),
        "machine": _machine(),
        "versions": _versions(),
    }
    with atomic_path(file) as temporary:
        temporary.write_text(
            json.dumps(record | {"settings": asdict(settings), "rows": _rounded(rows)}, indent=1) + "\n"
        )
    return file


def load(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """Return what was saved, or `None`."""
    file = folder / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def _machine() -> dict[str, Any]:
    return {"cpu": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _rounded(value: Any) -> Any:
    """Keep four digits: the rest is noise, and makes every difference between two runs hard to read."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
