"""From two files of samples to a prediction: cells before and after a treatment, the dose as a condition."""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import pushforward as pf
from pushforward.measures import read, write_samples


def make_files(folder: Path) -> None:
    """Write made-up measurements of three genes: the treatment shifts the first two in proportion to its dose."""
    random = np.random.default_rng(0)
    before, after = random.normal(size=(2, 600, 3))
    dose = random.uniform(0, 2, 600)
    after[:, :2] += dose[:, None] * np.array([2.0, -1.0])
    np.savetxt(folder / "before.csv", before, delimiter=",", header="g1,g2,g3", comments="")
    np.savetxt(folder / "after.csv", np.c_[after, dose], delimiter=",", header="g1,g2,g3,dose", comments="")


def main(quick: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        transport = pf.fit(
            str(folder / "before.csv"), str(folder / "after.csv") + ":g1,g2,g3", condition="dose", out=folder / "run",
            trainer=pf.Trainer(steps=5 if quick else 1500, batch_size=128, warmup=5),
        )  # fmt: skip
        cells = read(str(folder / "before.csv")).x
        for dose in (0.5, 1.5):
            moved = transport.push(cells, {"dose": dose})
            print(f"dose {dose}: mean change of g1, g2, g3 = {(moved - cells).mean(0).numpy().round(2)}")
        write_samples(folder / "predicted.csv", moved, names=("g1", "g2", "g3"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few steps only, to see that everything runs")
    main(parser.parse_args().quick)
