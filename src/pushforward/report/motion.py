"""The data behind the time slider, small enough to travel inside the page."""

from __future__ import annotations

import base64
import json
from typing import Any

import torch
from torch import Tensor

from pushforward.report.images import data_uri, tile
from pushforward.report.plots import View

__all__ = ["image_motion", "point_motion"]

MOST_FRAMES, MOST_POINTS, MOST_PIXELS = 41, 600, 250_000


def point_motion(states: Tensor, times: Tensor, target: Tensor, view: View) -> str:
    """Encode trajectories `(T, k, 2)` and the target `(m, 2)` behind them as JSON."""
    frames = _frames(states.shape[0], MOST_FRAMES)
    return _json({
        "kind": "points", "times": _rounded(times[frames]), "aspect": view.aspect,
        "count": min(states.shape[1], MOST_POINTS),
        "states": _pack(states[frames][:, :MOST_POINTS], view), "target": _pack(target[:MOST_POINTS], view),
    })  # fmt: skip


def image_motion(states: Tensor, times: Tensor, columns: int, value_range: tuple[float, float]) -> str:
    """Encode trajectories of images `(T, k, channels, h, w)` as one tall picture, a grid for each time, as JSON."""
    _, k, _, height, width = states.shape
    frames = _frames(states.shape[0], max(2, min(MOST_FRAMES, MOST_PIXELS // (k * height * width))))
    grids = [torch.from_numpy(tile(states[frame], columns, value_range)) for frame in frames]
    return _json({
        "kind": "images", "times": _rounded(times[frames]), "width": grids[0].shape[1], "height": grids[0].shape[0],
        "sheet": data_uri(torch.cat(grids).numpy()),
    })  # fmt: skip


def _frames(available: int, most: int) -> Tensor:
    return torch.linspace(0, available - 1, min(available, most)).round().long()


def _rounded(times: Tensor) -> list[float]:
    return [round(float(t), 4) for t in times]


def _pack(points: Tensor, view: View) -> str:
    """Store coordinates as 16-bit integers, relative to twice the window so that points just outside stay outside."""
    unit = (points - points.new_tensor(view.centre)) / (2 * points.new_tensor(view.half))
    return base64.b64encode((unit.clamp(-1, 1) * 32767).round().numpy().astype("<i2").tobytes()).decode()


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
