"""Image recipes at a tiny size: every figure that they claim is there, and there is something to see."""

import gzip

import numpy as np
import pytest
import torch

from pushforward.errors import InputError
from pushforward.recipes import CoupledDigits, DigitsByClass, LatentDigits, LatentImages, LatentTasks, find_recipe
from pushforward.recipes.data import mnist

UNET = {"class_path": "UNet", "init_args": {"channels": 4}}
CODEC = {"class_path": "Autoencoder", "init_args": {"channels": 2, "width": 4}}


def figures_named(recipe, experiment):
    for item in find_recipe(recipe).expect:
        for name in filter(None, (item.value, item.times)):
            label, _, figure = name.partition("/")
            if label == experiment:
                yield figure


@pytest.fixture
def few_digits(tmp_path, monkeypatch):
    """A folder with ten thousand digits in MNIST's own format: digit k is a bar in column 2 k."""
    labels = np.arange(10_000, dtype=np.uint8) % 10
    pixels = np.zeros((10_000, 28, 28), np.uint8)
    pixels[np.arange(10_000), :, 2 * labels] = 255
    folder = tmp_path / "mnist_t10k"
    folder.mkdir()
    heads = {
        "images-idx3": np.array([2051, 10_000, 28, 28], ">i4").tobytes() + pixels.tobytes(),
        "labels-idx1": np.array([2049, 10_000], ">i4").tobytes() + labels.tobytes(),
    }
    for name, content in heads.items():
        (folder / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(content, 1))
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))


def test_mnist_is_read_as_its_makers_wrote_it(few_digits):
    found = mnist()
    assert found.event_shape == (1, 28, 28) and len(found) == 10_000
    assert found.x[13].unique().tolist() == [-1, 1] and found.condition["label"][13] == 3
    assert (found.x[13, 0, :, 6] == 1).all() and found.x[13].sum() == 28 - 27 * 28


def test_without_mnist_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))
    with pytest.raises(InputError, match="PUSHFORWARD_DATA"):
        mnist()


def test_digits_by_class():
    outcome = DigitsByClass(steps=2, rows=100, network=UNET).shown(0)
    assert set(figures_named("dit", "transformer")) <= outcome.figures.keys()
    assert [sheet.images.shape for sheet in outcome.sheets] == [(100, 1, 8, 8)] * 3
    assert all(torch.isfinite(sheet.images).all() for sheet in outcome.sheets)


def test_latent_tasks():
    outcome = LatentTasks(codec_steps=2, steps=2, autoencoder=CODEC, network=UNET).shown(0)
    assert set(figures_named("latent-tasks", "digits")) <= outcome.figures.keys()
    assert len(outcome.sheets) == 5 and all(sheet.images.shape[1:] == (1, 8, 8) for sheet in outcome.sheets)
    filled = outcome.sheets[3].images
    assert torch.equal(filled[:10, :, :4], filled[10:20, :, :4])  # the upper halves are the real ones


def test_latent_digits_keep_the_bound():
    figures = LatentDigits(steps=40).run(0)
    assert set(figures_named("latent-fm", "digits")) <= figures.keys()
    assert figures["W2"] <= figures["W2 bound"]


def test_latent_images(few_digits):
    codec = {"class_path": "Autoencoder", "init_args": {"channels": 2, "width": 4, "halvings": 2}}
    outcome = LatentImages(steps=1, latent_steps=1, codec_steps=2, rows=100, autoencoder=codec, network=UNET).shown(0)
    assert set(figures_named("latent-mnist", "mnist")) <= outcome.figures.keys()
    assert len(outcome.sheets) == 5 and outcome.sheets[0].caption.startswith("latent")


@pytest.mark.parametrize("by_class", [True, False])
def test_coupled_digits(by_class):
    network = {"class_path": "MLP", "init_args": {"width": 8, "depth": 1}}
    config = {"network": network, "coupling": {"class_path": "Independent"}, "trainer": {"steps": 2, "batch_size": 16}}
    outcome = CoupledDigits(config, by_class=by_class, evaluations=(1, 2)).shown(0)
    assert {"energy distance@2", "energy distance floor", "pair cost"} <= outcome.figures.keys()
    assert [sheet.images.shape for sheet in outcome.sheets] == [(100, 1, 8, 8)] * 2
