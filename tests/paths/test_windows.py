"""Windows of time: what each prediction stands for in one, and where one ends and the next begins."""

import pytest
import torch

from pushforward.citations import cite
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.networks import MLP, Field
from pushforward.paths import VP, Affine, CondOT, Interpolant, NeuralDiffusion, Windows

EDGES = (0.0, 0.3, 0.7, 1.0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def windowed(path, number, rows=50):
    """Pairs that do not belong to any one flow, at even fractions of one window, in double precision."""
    begin, end = torch.randn(2, rows, 3, generator=rng(number), dtype=torch.float64)
    s, e = (torch.full((rows,), edge, dtype=torch.float64) for edge in EDGES[number : number + 2])
    u = torch.linspace(0, 0.99, rows, dtype=torch.float64)
    pairs = Pairs(begin, end, s=s, e=e)
    return Windows(path, EDGES).point(pairs, Times(u, u, u)), (end - begin) / (e - s)[:, None]


@pytest.mark.parametrize("kind", ["velocity", "data", "noise"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("path", [Affine(VP()), Affine(CondOT())], ids=["vp", "linear"])
def test_every_kind_stands_for_the_slope_of_the_window(path, number, kind):
    if kind == "noise" and number == 0 and path == Affine():
        pytest.skip("pure noise: see the refusal below")
    windows = Windows(path, EDGES)
    point, slope = windowed(path, number)
    said = windows.target(point, kind)
    torch.testing.assert_close(windows.convert(said, point.x, point.t, kind, "velocity"), slope, rtol=1e-6, atol=1e-6)
    assert kind == "velocity" or not torch.allclose(said, slope, atol=0.1)
    assert torch.equal(windows.convert(said, point.x, point.t, kind, kind), said)


@pytest.mark.parametrize("number", [1, 2])
def test_on_one_pair_the_kinds_are_its_ends(number):
    """States of one pair at both edges: what carries one to the other is x1 itself, or x0 itself."""
    schedule, (x0, x1) = VP(), torch.randn(2, 7, 3, generator=rng(), dtype=torch.float64)
    edges = [torch.full((7,), edge, dtype=torch.float64) for edge in EDGES[number : number + 2]]
    begin, end = (schedule.interpolate(x0, x1, edge)[0] for edge in edges)
    windows, u = Windows(Affine(schedule), EDGES), torch.rand(7, generator=rng(1), dtype=torch.float64)
    point = windows.point(Pairs(begin, end, s=edges[0], e=edges[1]), Times(u, u, u))
    torch.testing.assert_close(windows.target(point, "data"), x1)
    torch.testing.assert_close(windows.target(point, "noise"), x0)


def test_an_edge_belongs_to_the_window_that_it_begins():
    """However near the end of a window a time is drawn, its state belongs to that window, also in single precision."""
    windows = Windows(Affine(), EDGES)
    s, e = torch.tensor(EDGES[:-1]), torch.tensor(EDGES[1:])
    pairs = Pairs(torch.zeros(3, 2), torch.ones(3, 2), s=s, e=e)
    for fraction in (0.0, 1 - 1e-8, 1.0):
        u = torch.full((3,), fraction)
        t = windows.point(pairs, Times(u, u, u)).t
        assert (t >= s).all() and (t < e).all()
    first = windows.point(pairs, Times(s * 0, s * 0, s * 0))
    assert torch.equal(first.t, s) and windows.boundaries == EDGES[1:-1]


def test_ends_are_those_of_the_path():
    windows = Windows(Affine(VP()), EDGES)
    assert windows.source_end == Affine(VP()).source_end and windows.interval == (0.0, 1.0)
    assert build(describe(windows)) == windows and "yan2024perflow" in cite(windows)


def test_what_does_not_fit_says_so():
    with pytest.raises(InputError, match="noise says nothing of a window that begins with none of the data"):
        Field(MLP(width=4), Windows(Affine(), EDGES), (2,), {}, "noise")
    Field(MLP(width=4), Windows(Affine(VP()), EDGES), (2,), {}, "noise")
    with pytest.raises(InputError, match="determine a velocity, not the score"):
        Field(MLP(width=4), Windows(Affine(), EDGES), (2,), {}, "velocity,score")
    with pytest.raises(InputError, match="determine a velocity, not the data"):
        Field(MLP(width=4), Windows(Interpolant(), EDGES), (2,), {}, "data")
    with pytest.raises(InputError, match="edges must increase from 0 to 1"):
        Windows(Affine(), (0.0, 0.5))
    learns = NeuralDiffusion().built((2,), {})
    with pytest.raises(InputError, match="learns"):
        Windows(learns, EDGES)
    u = torch.zeros(2)
    with pytest.raises(InputError, match="no segment ends"):
        Windows(Affine(), EDGES).point(Pairs(torch.zeros(2, 2), torch.ones(2, 2)), Times(u, u, u))
