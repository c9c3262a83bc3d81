"""Colour transfer on small photographs: what each map has to reach, and what smoothing has to keep."""

import numpy as np
import pytest
import torch
from PIL import Image

from pushforward.errors import InputError
from pushforward.recipes.colour import ColourTransfer, _smooth, photographs, read_photograph, transfer


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two made-up photographs: smooth shades of other colours, well inside the cube."""
    across, down = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 30), indexing="ij")
    noise = 0.02 * torch.rand(40, 30, 3, generator=torch.Generator().manual_seed(0))
    first = torch.stack([0.2 + 0.3 * across, 0.4 + 0.2 * down, 0.5 + 0.2 * across * down], -1)
    second = torch.stack([0.7 - 0.2 * down, 0.4 + 0.2 * across.square(), 0.2 + 0.1 * down], -1)
    return first + noise, second + noise.flip(0)


def test_moments_are_met_where_all_pixels_are_learnt_from(pair):
    x, y = (image.flatten(0, 1) for image in pair)
    for method in ("deviations", "gaussian"):
        z = transfer(*pair, method, points=1200).flatten(0, 1)
        torch.testing.assert_close(z.mean(0), y.mean(0), atol=1e-4, rtol=0)
        torch.testing.assert_close(z.std(0), y.std(0), atol=1e-4, rtol=0)
        met = torch.allclose(z.T.cov(), y.T.cov(), atol=1e-5)
        assert met == (method == "gaussian")
    assert torch.equal(transfer(*pair, "unchanged", points=10).flatten(0, 1), x)


def test_nearest_gives_every_learnt_pixel_its_own_partner(pair):
    z = transfer(*pair, "nearest", points=1200).flatten(0, 1)
    y = pair[1].flatten(0, 1)
    torch.testing.assert_close(z[z[:, 0].argsort()], y[y[:, 0].argsort()], atol=1e-5, rtol=0)


def test_entropic_transfer_to_itself_changes_little(pair):
    moved = transfer(pair[0], pair[0], epsilon=0.002, points=600)
    assert float((moved - pair[0]).abs().mean()) < 0.02


def test_smoothing_keeps_edges_and_removes_noise():
    guide = torch.full((32, 32, 3), 0.2)
    guide[:, 16:] = 0.8
    step = guide - 0.5
    assert float((_smooth(step, guide, 4, slack=1e-9) - step).abs().max()) < 1e-4
    noise = torch.randn(32, 32, 3, generator=torch.Generator().manual_seed(0))
    kept = _smooth(step + 0.1 * noise, guide, 4)
    assert float((kept - _smooth(step, guide, 4)).square().mean()) < 0.1**2 / 10


def test_figures_tell_the_maps_apart():
    found = {
        method: ColourTransfer(method, points=300, width=40).run(0)
        for method in ("unchanged", "gaussian", "nearest", "entropic")
    }
    assert found["unchanged"]["edges"] == pytest.approx(1) and found["unchanged"]["grain"] == pytest.approx(1)
    assert found["entropic"]["W2"] < 0.9 * found["gaussian"]["W2"] < 0.5 * found["unchanged"]["W2"]
    assert len({figures["W2 floor"] for figures in found.values()}) == 1
    assert found["nearest"]["edges"] < found["entropic"]["edges"]
    smooth = ColourTransfer("entropic", smoothing=3, points=300, width=40).run(0)
    assert smooth["edges"] > found["entropic"]["edges"] and smooth["grain"] < found["entropic"]["grain"]


def test_photographs_are_read_or_stood_in_for(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    (tmp_path / "colour_transfer").mkdir()
    for name in ("ocean_day.jpg", "ocean_sunset.jpg"):
        Image.fromarray(random.integers(0, 256, (20, 40, 3), dtype=np.uint8)).save(tmp_path / "colour_transfer" / name)
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))
    assert [tuple(image.shape) for image in photographs(20)] == [(10, 20, 3)] * 2
    monkeypatch.delenv("PUSHFORWARD_DATA")
    first, second = photographs(32)
    assert first.shape[1:] == second.shape[1:] == (32, 3) and 0 <= float(first.min()) <= float(first.max()) <= 1


def test_mistakes_are_named(pair, tmp_path):
    with pytest.raises(InputError, match="fewer than 2000 pixels"):
        transfer(*pair)
    (tmp_path / "a.jpg").write_text("no picture")
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(InputError, match=f"{name} is not a photograph"):
            read_photograph(tmp_path / name, 10)
