"""Distances entry by entry, and the prediction that is best for each."""

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import MLP, Field
from pushforward.objectives import FlowMatching, PseudoHuber, SquaredError
from pushforward.paths import Affine


@pytest.mark.parametrize("distance", [SquaredError(), PseudoHuber(), PseudoHuber(0.5)], ids=str)
def test_loss_is_the_mean_distance_of_free_entries(distance):
    torch.manual_seed(0)
    field, x0, x1 = Field(MLP(width=8), Affine(), (3,), {}), torch.randn(20, 3), torch.randn(20, 3)
    mask = torch.rand(20, 3) < 0.7
    mask[:, 0] = True
    objective = FlowMatching(distance=distance)
    assert build(describe(objective)) == objective
    for pairs, free in ((Pairs(x0, x1), torch.ones(20, 3)), (Pairs(x0, x1, mask=mask), mask.float())):
        loss = objective(field, pairs, field.path)  # an untrained network predicts 0
        expected = (distance(x1 - x0) * free).sum(1) / free.sum(1)
        torch.testing.assert_close(loss.per_sample, expected)
        torch.testing.assert_close(loss.total.detach(), expected.mean())


def test_pseudo_huber_is_square_near_zero_and_linear_far_away():
    d, c = torch.tensor([1e-3, 1e3], dtype=torch.float64), 0.5
    near, far = PseudoHuber(c)(d)
    assert float(near) == pytest.approx(1e-6 / (2 * c), rel=1e-5) and float(far) == pytest.approx(1e3 - c, rel=1e-6)
    with pytest.raises(InputError, match="positive c"):
        PseudoHuber(0)


def test_the_best_prediction_goes_from_the_mean_to_the_median():
    values = torch.cat([torch.zeros(90), torch.full((10,), 10.0)])
    guesses = torch.linspace(-1, 3, 401)
    best = [
        guesses[distance(guesses[:, None] - values).mean(1).argmin()] for distance in (SquaredError(), PseudoHuber())
    ]
    assert float(best[0]) == pytest.approx(1.0) and abs(float(best[1])) < 0.02
