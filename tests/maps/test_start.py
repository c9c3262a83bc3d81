"""Starting later than at the source."""

import pytest
import torch

import pushforward as pf
from pushforward.errors import InputError
from pushforward.maps import Frame, Start
from pushforward.measures import StudentT
from pushforward.networks import MLP
from pushforward.paths import VE, Affine, BrownianBridge
from pushforward.recipes.leakage import LaterStart
from pushforward.training import Trainer


@pytest.fixture(scope="module")
def transport():
    data = 3 + 2 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    return pf.fit(
        "gaussian", data, network=MLP(width=16), trainer=Trainer(steps=20, batch_size=64), show_progress=False
    )


def test_exact_field_from_the_analytic_start_arrives_at_the_target():
    figures = LaterStart(rows=400).run(0)
    assert figures["W1 analytic@0.1"] < 0.01 < 0.15 < figures["W1 noise@0.1"]
    assert figures["W1 analytic@0.5"] < 0.035 < 0.9 < figures["W1 noise@0.5"]
    assert figures["KL excess"] <= 0


@pytest.mark.parametrize("path", [Affine(), Affine(VE(0.1, 5.0))], ids=["linear", "VE"])
def test_moments_are_those_of_the_path(path):
    data = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.5, 2.0]) + 1
    x0 = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(1))
    state = Start.analytic(0.4, data).state(path, x0, Frame((2,)))
    c = path.schedule(torch.tensor(0.4))
    truth = c.alpha * data + c.sigma * x0
    torch.testing.assert_close(state.mean(0), truth.mean(0), atol=0.1 * float(c.sigma + 1), rtol=0)
    torch.testing.assert_close(state.var(0).sum(), truth.var(0).sum(), rtol=0.05, atol=0)


def test_the_frame_holds_the_moments(transport):
    x = torch.randn(50, 2)
    frame = transport.target_frame
    given = Start(0.3, frame.shift, float(frame.scale) ** 2)
    torch.testing.assert_close(transport.push(x, begin=0.3), transport.push(x, begin=given))
    assert not torch.allclose(transport.push(x, begin=0.3), transport.push(x))


def test_warm_start_stays_near_its_points(transport):
    points = transport.push(torch.randn(50, 2))
    near, far = (transport.push(torch.randn(50, 2), begin=Start.warm(time, points)) for time in (0.999, 0.05))
    assert (near - points).norm() < 0.05 * (far - points).norm()


def test_path_starts_at_its_time(transport):
    nodes = torch.tensor([0.4, 0.7, 1.0])
    solution = transport.solve(torch.randn(5, 2), begin=0.4, nodes=nodes)
    assert solution.path.shape == (3, 5, 2)


def test_bad_starts_are_refused(transport):
    for time in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="inside"):
            Start(time)
    with pytest.raises(InputError, match="both"):
        Start(0.5, torch.zeros(2))
    with pytest.raises(InputError, match="moments"):
        Start(0.5).state(Affine(), torch.zeros(3, 2), Frame((2,)))
    with pytest.raises(InputError, match="affine"):
        Start(0.5).state(BrownianBridge(), torch.zeros(3, 2), Frame((2,)))


def test_noise_of_any_law_is_spread_by_the_same_rule():
    x0 = StudentT([0.0], degrees=5.0).sample(10)
    start = Start(0.25, torch.tensor([4.0]), 3.0)
    torch.testing.assert_close(start.state(Affine(), x0, Frame((1,))), 1 + (0.75**2 + 0.25**2 * 3) ** 0.5 * x0)
