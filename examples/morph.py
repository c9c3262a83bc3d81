"""Draw handwritten 3s on their way to 8s, the picture of the README; learnt unpaired, in half a minute on a CPU."""

import argparse
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch

import pushforward as pf
from pushforward.measures import digits
from pushforward.networks import MLP


def draw(quick: bool, output: Path) -> None:
    trainer = pf.Trainer(steps=5 if quick else 2500, batch_size=128, warmup=5)
    threes, eights = digits([3]).x, digits([8]).x
    transport = pf.fit(threes, eights, network=MLP(width=512, depth=3), trainer=trainer)
    path = transport.trajectory(threes[:6], times=torch.linspace(0, 1, 13)).path
    assert path is not None  # times were asked for
    framed = torch.nn.functional.pad(path[:, :, 0].clamp(-1, 1), (1, 1, 1, 1), value=-1.0)
    rows = torch.cat([torch.cat(list(states), 0) for states in framed], 1)
    figure = plt.figure(figsize=(13, 6), dpi=70)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(-rows, cmap="gray", interpolation="bilinear", vmin=-1, vmax=1)
    axes.axis("off")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)


if __name__ == "__main__":
    matplotlib.use("agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few steps only, to see that everything runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/morph.png"))
    options = parser.parse_args()
    draw(options.quick, options.output)
