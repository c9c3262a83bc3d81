"""Labels read off samples, from the command line; and flows that start from an encoded condition."""

from pathlib import Path

import numpy as np
import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.measures import digits, write_samples

QUICK = ["--network", "MLP", "--network.width", "16", "--trainer.steps", "150", "--trainer.batch_size", "64", "--quiet"]
QUICK += ["--trainer.learning_rate", "0.01", "--trainer.warmup", "5", "--trainer.ema", "0.9"]
SYMMETRIC = ["--path", "Symmetric", "--objective", "SymmetricMatching", *QUICK]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two classes far apart, as a table."""
    monkeypatch.chdir(tmp_path)
    kind = np.array(["left", "right"])[np.arange(400) % 2]
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) + 8 * (torch.arange(400) % 2)[:, None]
    write_samples("points.csv", x, names=("u", "v"), columns={"kind": kind})


def test_one_run_makes_and_reads(here, capsys):
    assert main(["fit", "gaussian", "points.csv", "--condition", "kind", "--out", "run", *SYMMETRIC]) == 0
    assert main(["push", "run", "gaussian", "--rows", "6", "--condition", "kind=left,right", "-o", "made.csv"]) == 0
    assert Path("made.csv").read_text().startswith("u,v,kind\n")
    assert main(["label", "run", "points.csv", "-o", "read.csv", "--known", "--draws", "2"]) == 0
    printed = capsys.readouterr().out
    assert "400 rows labelled in read.csv" in printed
    assert float(printed.split("; ")[-1].split("%")[0]) > 85
    lines = Path("read.csv").read_text().splitlines()
    assert lines[0] == "u,v,kind,kind probability" and len(lines) == 401
    assert {line.split(",")[2] for line in lines[1:]} == {"left", "right"}
    np.savetxt("bare.csv", np.zeros((3, 2)), delimiter=",", header="u,v", comments="")
    assert main(["label", "run", "bare.csv", "-o", "bare-read.npz"]) == 0
    found = np.load("bare-read.npz")
    assert found["kind"].shape == (3,) and found["x"].shape == (3, 2)


def test_images_are_sorted_and_masks_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = digits([0, 1])
    write_samples("images.npz", images.x, columns={"mask": (images.x > 0).float().flatten(1).numpy()})
    small = ["--trainer.steps", "3"]
    run = ["fit", "gaussian", "digits:label=0", "--condition", "label", "--out", "classes", *SYMMETRIC, *small]
    assert main(run) == 0
    assert main(["label", "classes", "digits:label=0", "-o", "sorted"]) == 0
    assert [folder.name for folder in Path("sorted").iterdir()] == ["0"]
    codec = ["--path.codecs", '{"mask": {"class_path": "OneHotMask"}}']
    run = ["fit", "gaussian", "images.npz", "--condition", "mask", "--out", "masks", *SYMMETRIC, *codec, *small]
    assert main(run) == 0
    assert main(["label", "masks", "images.npz", "-o", "masks.npz", "--known"]) == 0
    assert np.load("masks.npz")["mask"].shape == (len(images), 64)


def test_a_flow_from_an_encoded_condition(here):
    options = ["--path", "EncodedSource", "--objective", "CrossFlow", "--coupling", "NullTargets", *QUICK]
    assert main(["fit", "gaussian", "points.csv", "--condition", "kind", "--out", "run", *options]) == 0
    push = ["push", "run", "gaussian", "--rows", "40", "--condition", "kind=right", "--guidance", "2", "-o", "made.npy"]
    assert main(push) == 0
    assert np.load("made.npy").mean() > 4
    assert main(["pull", "run", "points.csv", "-o", "back.csv"]) == 0
    assert pf.load("run").target_columns == ("kind",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("label plain points.csv -o q.csv", "--path Symmetric"),
        ("pull run points.csv -o q.csv", "read its label"),
        ("push run gaussian --rows 3 --condition kind=left --guidance 2 -o q.csv", "no effect"),
        ("label run bare.csv -o q.csv --known", "kind"),
        ("label run points.csv -o q.csv --draws 0 --known", "at least 1"),
    ],
)
def test_mistakes_are_one_line(here, capsys, words, message):
    np.savetxt("bare.csv", np.zeros((3, 2)), delimiter=",", header="u,v", comments="")
    quick = ["--condition", "kind", "--trainer.steps", "2"]
    assert main(["fit", "gaussian", "points.csv", "--out", "run", *SYMMETRIC, *quick]) == 0
    assert main(["fit", "gaussian", "points.csv", "--out", "plain", *QUICK, *quick]) == 0
    capsys.readouterr()
    assert main(words.split()) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0], lines
