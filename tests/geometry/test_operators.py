"""Measurements: adjoints and pseudo-inverses satisfy what defines them; masks follow their law."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.geometry import AveragePool, Hole, Masking, Scattered


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def operators(shape):
    return [AveragePool(2), AveragePool(1), Masking(Scattered(0.5).draw((3, *shape), generator=rng()))]


@pytest.mark.parametrize("shape", [(8,), (2, 4, 6)])
@pytest.mark.parametrize("number", range(3))
def test_identities(number, shape):
    operator, x = operators(shape)[number], torch.randn(3, *shape, generator=rng(1), dtype=torch.float64)
    y = operator.measure(x)
    z = torch.randn(y.shape, generator=rng(2), dtype=torch.float64)
    dot = lambda a, b: float((a * b).sum())  # noqa: E731
    assert dot(y, z) == pytest.approx(dot(x, operator.adjoint(z)), abs=1e-10)
    torch.testing.assert_close(operator.measure(operator.visible(x)), y)  # A A^+ A = A
    plus = operator.pseudo_inverse(z)
    torch.testing.assert_close(operator.visible(plus), plus)  # A^+ A A^+ = A^+
    seen, w = operator.visible(x), torch.randn(x.shape, generator=rng(3), dtype=torch.float64)
    assert dot(seen, w) == pytest.approx(dot(x, operator.visible(w)), abs=1e-10)  # an orthogonal projection


def test_averages_are_torchs():
    image = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(AveragePool(4).measure(image), torch.nn.functional.avg_pool2d(image, 4))
    with pytest.raises(InputError, match="blocks of 3"):
        AveragePool(3).measure(image)
    with pytest.raises(InputError, match="at least 1"):
        AveragePool(0)


def test_scattered_masks():
    known = Scattered(0.3).draw((2000, 3, 4, 4), generator=rng())
    assert known.shape == (2000, 3, 4, 4) and known.dtype == torch.bool
    assert float(known.double().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(known[:, 0], known[:, 2])  # channels are known together
    with pytest.raises(InputError, match="share"):
        Scattered(1.5)


def test_holes_are_boxes_anywhere():
    vectors = Hole(0.5).draw((500, 8), generator=rng())
    assert ((~vectors).sum(1) == 4).all()
    assert ((~vectors).int().diff(dim=1).abs().sum(1) <= 2).all()  # in one piece
    assert {int(row.nonzero()[0]) for row in ~vectors} == {0, 1, 2, 3, 4}
    images = Hole(0.25).draw((100, 3, 8, 12), generator=rng())
    assert ((~images).sum((1, 2, 3)) == 3 * 2 * 3).all() and torch.equal(images[:, 0], images[:, 1])
    with pytest.raises(InputError, match="share"):
        Hole(0.0)
