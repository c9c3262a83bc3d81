"""Believable reports from closed-form interpolation: no training, so they are quick and always the same."""

import math
from functools import cache

import pytest
import torch

from pushforward.metrics import EnergyDistance, SlicedWasserstein2, score
from pushforward.randomness import seeded
from pushforward.report import QualityCurve, ReportData, render

BIBTEX = """@article{lipman2023flow,
  title = {{Flow Matching for Generative Modeling}},
  author = {Lipman, Yaron and Chen, Ricky T. Q. and others},
  year = {2023},
  eprint = {2210.02747},
  archivePrefix = {arXiv},
  url = {https://arxiv.org/abs/2210.02747}
}"""

CONFIG = {
    "source": "8gaussians",
    "target": "moons",
    "coupling": {"class_path": "pushforward.couplings.MinibatchOT", "init_args": {"method": "exact"}},
    "solver": {"class_path": "pushforward.solvers.FixedStep", "init_args": {"method": "midpoint", "steps": 32}},
    "steps": 5000,
}


def moons(n, key):
    g = seeded("moons", key)
    angle, side = math.pi * torch.rand(n, generator=g), torch.randint(2, (n,), generator=g)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    return 3 * torch.where(side[:, None] == 0, upper, lower) - 1 + 0.2 * torch.randn(n, 2, generator=g)


def eight_gaussians(n, key):
    g = seeded("eight", key)
    angle = 2 * math.pi / 8 * torch.randint(8, (n,), generator=g)
    return 5 * torch.stack([angle.cos(), angle.sin()], 1) + 0.32 * torch.randn(n, 2, generator=g)


def bent(x0, x1, frames=33):
    times = torch.linspace(0, 1, frames)
    bulge = torch.roll(x1 - x0, 1, dims=-1) * torch.tensor([1.0, -1.0] * 50)[: x0.shape[-1]]
    return torch.stack([(1 - t) * x0 + t * x1 + 0.25 * torch.sin(math.pi * t) * bulge for t in times]), times


def log(steps=5000):
    g = seeded("log")
    noise = torch.randn(steps // 10, generator=g).tolist()
    return [
        {
            "step": 10 * i, "loss": (0.9 + 2.4 * math.exp(-i / 60)) * math.exp(0.12 * z),
            "learning_rate": 1e-3 * 0.5 * (1 + math.cos(math.pi * 10 * i / steps)),
        }
        for i, z in enumerate(noise)
    ]  # fmt: skip


def common(source, pushed, target, fresh):
    scores = score([SlicedWasserstein2(), EnergyDistance()], pushed, target, fresh, source=source)
    floor, worst = scores[0].floor, 4 * scores[0].value
    counts = [1, 2, 4, 8, 16, 100]
    curves = [
        QualityCurve(name, counts, [floor + worst * n**-power for n in counts], "sliced W2")
        for name, power in (("Euler", 1.0), ("midpoint", 1.6))
    ]
    return {
        "losses": log(), "quality": curves, "floors": {"sliced W2": floor}, "scores": scores,
        "config": CONFIG, "bibtex": BIBTEX,
        "summary": {
            "sliced W2": f"{scores[0].value:.3f}", "of the floor": f"{scores[0].ratio:.1f}×", "evaluations": "64",
            "coupling": "MinibatchOT (exact)",
            "path": "CondOT", "network": "MLP, 3 × 256", "trained": "5,000 steps in 41 s",
        },
    }  # fmt: skip


def plane(n=2000):
    source, target, fresh = eight_gaussians(n, 0), moons(n, 1), moons(n, 2)
    pushed = moons(n, 3) + 0.08 * torch.randn(n, 2, generator=seeded("error"))
    trajectory, times = bent(source[:500], pushed[:500])
    return ReportData(
        "8 gaussians → moons", source=source, target=target, pushed=pushed, trajectory=trajectory, times=times,
        **common(source, pushed, target, fresh),
    )  # fmt: skip


def space(n=1500, d=10):
    basis = torch.linalg.qr(torch.randn(d, d, generator=seeded("basis")))[0] * torch.linspace(2, 0.1, d)[:, None]

    def lift(x, key):
        rest = torch.randn(len(x), d - 2, generator=seeded("lift", key))
        return torch.cat([x, rest], 1) @ basis

    source, target, fresh = (
        lift(torch.randn(n, 2, generator=seeded("s")), 0),
        lift(moons(n, 1), 1),
        lift(moons(n, 2), 2),
    )
    pushed = lift(moons(n, 3), 3) * 1.05
    trajectory, times = bent(source[:400], pushed[:400])
    labels = ["control" if i % 3 else "treated" for i in range(n)]
    return ReportData(
        "Cells before → after treatment, 10 principal components", source=source, target=target, pushed=pushed,
        labels=labels,
        trajectory=trajectory, times=times, **common(source, pushed, target, fresh),
    )  # fmt: skip


def images(n=200, kinds=10, shape=(1, 8, 8)):
    """Blurred strokes at one angle a class, standing in for digits."""
    g = seeded("images")
    classes = torch.arange(n) % kinds
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, shape[1]), torch.linspace(-1, 1, shape[2]), indexing="ij")

    def strokes():
        angle = (math.pi / kinds * classes + 0.08 * torch.randn(n, generator=g))[:, None, None]
        across = rows * angle.cos() - columns * angle.sin() + 0.1 * torch.randn(n, 1, 1, generator=g)
        ink = torch.exp(-(across**2) / 0.06) * torch.exp(-(rows**2 + columns**2) / 1.4)
        return (2 * ink - 1)[:, None].expand(n, *shape).contiguous()

    target, fresh, pushed, source = strokes(), strokes(), strokes(), torch.randn(n, *shape, generator=g)
    pushed = pushed + 0.05 * torch.randn(n, *shape, generator=g)
    times = torch.linspace(0, 1, 33)
    trajectory = torch.stack([(1 - t) * source[:64] + t * pushed[:64] for t in times])
    return ReportData(
        "Digits by class from noise", source=source, target=target, pushed=pushed,
        labels=[str(int(k)) for k in classes],
        trajectory=trajectory, times=times, **common(source, pushed, target, fresh),
    )  # fmt: skip


@pytest.fixture(scope="session")
def pages():
    """The rendered page of each kind of data, made once."""
    return cache(lambda kind: render({"plane": plane, "space": space, "images": images}[kind]()))
