from dataclasses import dataclass, replace

import torch

import pushforward as pf
from pushforward.conditions import Column
from pushforward.contracts import Coupling, Pairs
from pushforward.maps import Frame
from pushforward.measures import Empirical, Gaussian
from pushforward.networks import MLP
from pushforward.training.sides import FramedSides

POINTS = torch.tensor([[1.0, 5.0], [3.0, 5.0], [5.0, 8.0]])


def framed(measure):
    return FramedSides((Gaussian.standard(2), measure), (Frame((2,)), Frame.fitted(POINTS)))


def test_both_sides_are_in_the_units_of_the_network():
    weights = [0.5, 0.25, 0.25]
    sides = framed(Empirical(POINTS, ["a", "b", "a"], weights))
    assert sides.data is not None
    x, weight, condition = sides.data
    torch.testing.assert_close(x, (POINTS - POINTS.mean(0)) / (POINTS - POINTS.mean(0)).square().mean().sqrt())
    assert weight.tolist() == weights and condition is not None and condition["condition"].tolist() == [0, 1, 0]
    drawn, codes = sides.target(5, generator=torch.Generator().manual_seed(0))
    assert codes is not None
    for row, code in zip(drawn, codes["condition"], strict=True):
        place = (x == row).all(1).nonzero()[:, 0]
        assert condition["condition"][place] == code
    assert sides.source(4, generator=torch.Generator().manual_seed(0)).shape == (4, 2)
    assert framed(Gaussian.standard(2)).data is None


@dataclass(frozen=True)
class _Shifted(Coupling):
    """Pairs every source point with itself plus the mean of the target, and tells the network its length."""

    by: tuple[float, ...] = ()

    def prepared(self, sides, *, generator):
        return replace(self, by=tuple(sides.target(500, generator=generator)[0].mean(0).tolist()))

    def schema(self, schema, event_shape):
        return schema | {"length": Column()}

    def __call__(self, x0, x1, condition=None, *, gaussian_source=False, generator=None):
        return Pairs(x0, x0 + torch.tensor(self.by), {"length": x0.norm(dim=1)}, gaussian_source=False)


def test_a_coupling_may_look_at_the_data_and_add_conditions(tmp_path):
    trainer = pf.Trainer(steps=300, batch_size=64, learning_rate=3e-3, ema=0.9)
    transport = pf.fit(
        "gaussian", Gaussian([3.0, -1.0]), coupling=_Shifted(), network=MLP(width=32, depth=1), trainer=trainer,
        normalise="none", out=tmp_path / "run",
    )  # fmt: skip
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    moved = transport.push(x, {"length": x.norm(dim=1)}) - x
    assert (moved.mean(0) - torch.tensor([3.0, -1.0])).abs().max() < 0.3
    assert transport.schema == {"length": Column()}
