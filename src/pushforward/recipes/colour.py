"""Colour transfer: one photograph in the colours of another, by moving its pixels in the space of colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from pushforward.errors import InputError, optional_import
from pushforward.maps.gaussian import GaussianMap
from pushforward.maps.plan import PlanTransport
from pushforward.metrics import wasserstein2
from pushforward.ot import Relative, solve
from pushforward.randomness import seeded
from pushforward.recipes.data import data_folder
from pushforward.recipes.experiment import Experiment, Figures

__all__ = ["ColourTransfer", "Method", "photographs", "read_photograph", "transfer"]

Method: TypeAlias = Literal["unchanged", "deviations", "gaussian", "nearest", "entropic"]
Colours: TypeAlias = Callable[[Tensor], Tensor]
"""A map of colours `(n, 3)` to colours `(n, 3)`, each in [0, 1]."""

DAY, SUNSET = "colour_transfer/ocean_day.jpg", "colour_transfer/ocean_sunset.jpg"
LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class ColourTransfer(Experiment):
    """Give one photograph the colours of another by a map that is learnt from a sample of the pixels of both.

    `method` is the map: `unchanged` is none; `deviations` matches mean and deviation of each channel, `gaussian` the
    whole covariance; `nearest` gives a pixel the partner that its nearest neighbour in the sample has in the exact
    plan; `entropic` is the map of the entropic plan at `epsilon` times the mean cost. With a `smoothing` radius in
    pixels, the change of colour is smoothed along the photograph, not across its edges.

    Figures: `W2` between the colours of new pixels and those of the target, `W2 floor` between two samples of the
        target; `edges`, the correlation of the gradients' sizes before and after; `grain`, how much larger gradients
        have become in the flatter half of the source.

    The photographs are in the folder that the environment variable PUSHFORWARD_DATA names; where they are not, two of
    scikit-learn serve.
    """

    method: Method = "entropic"
    epsilon: float = 0.005
    smoothing: int = 0
    points: int = 2000
    width: int = 240

    def run(self, seed: int) -> Figures:
        """Learn from one sample of the pixels and measure on another."""
        source, target = photographs(self.width)
        changed = transfer(source, target, self.method, self.epsilon, self.smoothing, self.points, seed)
        order = [torch.randperm(image[..., 0].numel(), generator=seeded(seed, "pixels")) for image in (source, target)]
        tried = order[0][self.points : 2 * self.points]
        fresh, other = (target.flatten(0, 1)[order[1][k * self.points :][: self.points]] for k in (1, 2))
        reached, floor = wasserstein2(changed.flatten(0, 1)[tried], fresh), wasserstein2(other, fresh)
        return {"W2": float(reached), "W2 floor": float(floor)} | _structure(source, changed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        used = {"unchanged": [], "deviations": [], "gaussian": ["GaussianMap"], "nearest": ["solve"]}
        return ["ColourTransfer", *used.get(self.method, ["solve", "PlanTransport"])]


def photographs(width: int) -> tuple[Tensor, Tensor]:
    """Return the source and the target, each `(height, width, 3)` in [0, 1]."""
    folder = data_folder() or Path()
    paths = [folder / name for name in (DAY, SUNSET)]
    if all(path.is_file() for path in paths):
        first, second = (read_photograph(path, width) for path in paths)
        return first, second
    datasets = optional_import("sklearn.datasets", "digits", "colour transfer without photographs of your own")
    first, second = (
        _resized(Image.fromarray(datasets.load_sample_image(name)), width) for name in ("china.jpg", "flower.jpg")
    )
    return first, second


def read_photograph(path: str | Path, width: int) -> Tensor:
    """Read a photograph and scale it to `width` pixels: `(height, width, 3)` in [0, 1]."""
    try:
        with Image.open(path) as image:
            return _resized(image, width)
    except OSError as error:
        raise InputError(f"{path} is not a photograph that can be read: {error}") from error


def _resized(image: Image.Image, width: int) -> Tensor:
    height = round(image.height * width / image.width)
    small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(small)).float() / 255


def transfer(
    source: Tensor,
    target: Tensor,
    method: Method = "entropic",
    epsilon: float = 0.005,
    smoothing: int = 0,
    points: int = 2000,
    seed: int = 0,
) -> Tensor:
    """Return the photograph `source: (h, w, 3)` in the colours of `target: (h', w', 3)`.

    The map is learnt from `points` pixels of either, drawn with `seed`. Raises `InputError` for photographs of fewer.
    """
    if min(source[..., 0].numel(), target[..., 0].numel()) < points:
        raise InputError(f"the photographs have fewer than {points} pixels: ask for fewer points, or a larger width")
    pixels = [image.flatten(0, 1) for image in (source, target)]
    x, y = (p[torch.randperm(len(p), generator=seeded(seed, "pixels"))[:points]] for p in pixels)
    colours, index = pixels[0].unique(dim=0, return_inverse=True)
    changed = _learn(method, x, y, epsilon)(colours)[index].reshape(source.shape)
    if smoothing:
        changed = source + _smooth(changed - source, source, smoothing)
    return changed.clamp(0, 1)


def _learn(method: Method, x: Tensor, y: Tensor, epsilon: float) -> Colours:
    """Return the map of colours that takes the sample `x: (n, 3)` to `y: (n, 3)`."""
    if method == "unchanged":
        return lambda z: z
    if method == "deviations":
        return lambda z: y.mean(0) + (z - x.mean(0)) * y.std(0) / x.std(0)
    if method == "gaussian":
        return GaussianMap.fit(x, y).push
    if method == "nearest":
        image = solve(x, y).barycentric_map()
        return lambda z: torch.cat([image[torch.cdist(part, x).argmin(1)] for part in z.split(10_000)])
    return PlanTransport.of(solve(x, y, epsilon=Relative(epsilon, "mean"), tolerance=1e-3)).push


def _smooth(change: Tensor, guide: Tensor, radius: int, slack: float = 0.01) -> Tensor:
    """Smooth `change: (h, w, c)` by the guided filter: within windows of `2 radius + 1` pixels it becomes a linear
    function of the guide's luminance, so that edges of the guide stay edges.

    Source: He, Sun and Tang, *Guided image filtering* (2010), equations 5 to 8; applied to a change of colours as in
    Rabin, Delon and Gousseau, *Removing artefacts from color and contrast modifications* (2011).
    """
    light, values = _luminance(guide)[None], change.movedim(-1, 0)
    mean_light, mean_values = _box(light, radius), _box(values, radius)
    covariance = _box(light * values, radius) - mean_light * mean_values
    slope = covariance / (_box(light * light, radius) - mean_light**2 + slack)
    offset = mean_values - slope * mean_light
    return (_box(slope, radius) * light + _box(offset, radius)).movedim(0, -1)


def _box(values: Tensor, radius: int) -> Tensor:
    """Mean over windows of `values: (c, h, w)`."""
    return avg_pool2d(pad(values[None], (radius,) * 4, mode="reflect"), 2 * radius + 1, stride=1)[0]


def _luminance(image: Tensor) -> Tensor:
    return image @ image.new_tensor(LUMINANCE)


def _structure(before: Tensor, after: Tensor) -> Figures:
    """Compare the sizes of the gradients of luminance."""
    sizes = [_gradient(_luminance(image)).flatten() for image in (before, after)]
    edges = torch.corrcoef(torch.stack(sizes))[0, 1]
    flat = sizes[0] <= sizes[0].median()
    return {"edges": float(edges), "grain": float(sizes[1][flat].mean() / sizes[0][flat].mean())}


def _gradient(light: Tensor) -> Tensor:
    """Length of the finite differences of `light: (h, w)`: `(h - 1, w - 1)`."""
    return torch.hypot(light[1:, :-1] - light[:-1, :-1], light[:-1, 1:] - light[:-1, :-1])
