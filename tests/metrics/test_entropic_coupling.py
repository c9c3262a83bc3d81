"""The entropic plan between Gaussians: its cross covariance is the one whose joint precision is that of the kernel."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.metrics import entropic_cross_covariance

A = torch.tensor([[0.5, -0.2], [-0.2, 0.8]], dtype=torch.float64)
B = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
def test_the_joint_law_is_a_product_times_the_kernel(epsilon):
    """Among joint laws with these marginals only the entropic plan has `-(2 / epsilon) I` between x0 and x1 in its
    precision: the kernel is `exp(-|x0 - x1|^2 / epsilon)`.
    """
    K = entropic_cross_covariance(A, B, epsilon)
    joint = torch.cat([torch.cat([A, K], 1), torch.cat([K.mT, B], 1)])
    assert torch.linalg.eigvalsh(joint).min() > 0
    torch.testing.assert_close(
        torch.linalg.inv(joint)[:2, 2:], -2 / epsilon * torch.eye(2).double(), rtol=1e-6, atol=1e-6
    )


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="epsilon"):
        entropic_cross_covariance(A, B, 0.0)
