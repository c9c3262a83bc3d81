"""What is averaged over pairs: by their weights."""

import pytest
import torch

from pushforward.contracts import Pairs
from pushforward.errors import InputError

POINTS = torch.zeros(3, 2)


def test_mean_over_pairs_is_plain_without_weights_and_by_weight_with_them_along_the_last_axis():
    values = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    torch.testing.assert_close(Pairs(POINTS, POINTS).mean(values), torch.tensor([3.0, 1.0]))
    weighted = Pairs(POINTS, POINTS, weight=torch.tensor([2.0, 2.0, 0.0]))
    torch.testing.assert_close(weighted.mean(values), torch.tensor([1.5, 0.0]))
    torch.testing.assert_close(weighted.mean(values[0]), torch.tensor(1.5))


@pytest.mark.parametrize("shape", [(3, 1), (2,), ()])
def test_weights_that_are_not_one_for_each_pair_are_refused(shape):
    # a column would broadcast, and train towards the wrong thing without a word
    with pytest.raises(InputError, match="one number per sample"):
        Pairs(POINTS, POINTS, weight=torch.ones(shape)).mean(torch.ones(3))
