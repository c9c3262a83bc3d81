"""Images as grids, encoded into the page itself."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from matplotlib.image import imsave
from torch import Tensor

__all__ = ["data_uri", "filmstrip", "tile"]


def tile(images: Tensor, columns: int, value_range: tuple[float, float], gap: int = 1) -> np.ndarray:
    """Lay images `(n, channels, h, w)` out in rows of `columns`: `(H, W, 4)` bytes, with transparent gaps between them.

    `value_range` is what is shown as black and white; values beyond it are clipped, those that are not finite shown
    grey.
    """
    n, _, height, width = images.shape
    rows = max(1, -(-n // columns))
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for index, pixels in enumerate(_bytes(images, value_range)):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width, :3] = pixels
        sheet[top : top + height, left : left + width, 3] = 255
    return sheet


def _bytes(images: Tensor, value_range: tuple[float, float]) -> np.ndarray:
    low, high = value_range
    unit = (images.detach().to("cpu", torch.float32) - low) / (high - low)
    pixels = (unit.nan_to_num(0.5, 0.5, 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def filmstrip(states: Tensor, frames: int, value_range: tuple[float, float]) -> tuple[np.ndarray, Tensor]:
    """Show trajectories `(T, k, channels, h, w)` as one row each, at `frames` times evenly chosen: the sheet, and the
    chosen indices.
    """
    chosen = torch.linspace(0, states.shape[0] - 1, min(frames, states.shape[0])).round().long()
    strip = states[chosen].transpose(0, 1).flatten(0, 1)
    return tile(strip, len(chosen), value_range), chosen


def data_uri(sheet: np.ndarray) -> str:
    """Encode `(H, W, 4)` bytes as a PNG inside an address, so that the page needs no second file."""
    buffer = io.BytesIO()
    imsave(buffer, sheet, format="png", metadata={"Software": "pushforward"})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
