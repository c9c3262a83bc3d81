"""Closed forms for the tests of the solvers: a Gaussian and a mixture target under the linear path."""

import torch

from pushforward.measures import AffineOracle, Gaussian, GaussianMixture
from pushforward.paths import CondOT

F64 = torch.float64


class Counting:
    """A field that counts its calls and checks the form of the times it is given."""

    def __init__(self, field):
        self.field, self.calls = field, 0

    def velocity(self, x, t, condition=None):
        self.calls += 1
        assert t.shape == (len(x),)
        assert (t.dtype, t.device) == (x.dtype, x.device)
        return self.field.velocity(x, t, condition)

    def score(self, x, t, condition=None):
        self.calls += 1
        return self.field.score(x, t, condition)


class Flow:
    """A field from a function of `(x, t, condition)`."""

    def __init__(self, function):
        self.velocity = lambda x, t, condition=None: function(x, t, condition)


def gaussian_oracle(dtype=F64):
    source = Gaussian(torch.zeros(2, dtype=dtype))
    target = Gaussian(torch.tensor([2.0, -1.0], dtype=dtype), torch.diag(torch.tensor([0.3, 2.0], dtype=dtype) ** 2))
    return AffineOracle(source, target, CondOT())


def mixture_oracle():
    means = torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-1.0, -1.5]], dtype=F64)
    covariances = torch.eye(2, dtype=F64).expand(3, 2, 2) * 0.4**2
    return AffineOracle(Gaussian(torch.zeros(2, dtype=F64)), GaussianMixture(means, covariances), CondOT())


def points(n=64, d=2, seed=0, dtype=F64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)
