"""Noise that an encoder chooses for each point."""

import pytest
import torch
from torch import nn

from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.networks import MLP, Encoding, Field
from pushforward.paths import Affine, VariationalNoise

SCHEMA = {"label": Column((0, 1))}


class Known(nn.Module):
    """Noise N(x / 2, 1/4) of a point x of class 0, N(-x / 2, 1/4) of class 1."""

    def forward(self, condition, rows):
        sign = 1 - 2 * condition["label"][:, None]
        mean = sign * condition["the point"] / 2
        return Encoding(mean, torch.full_like(mean, 0.25).log())


def batch(n: int = 6) -> Pairs:
    g = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, n, 3, generator=g).double()
    return Pairs(x0, x1, {"label": torch.arange(n) % 2}, gaussian_source=True)


def test_state_and_velocity_are_those_of_the_encoded_noise():
    field = Field(MLP(width=8), VariationalNoise(), (3,), SCHEMA)
    field.path.encoder = Known()
    pairs, t = batch(), torch.linspace(0, 1, 6).double()
    point = field.path.point(pairs, Times(t, t, torch.zeros_like(t)))
    sign = 1 - 2 * pairs.condition["label"][:, None]
    z = sign * pairs.x1 / 2 + pairs.x0 / 2
    torch.testing.assert_close(point.x, (1 - t)[:, None] * z + t[:, None] * pairs.x1)
    torch.testing.assert_close(point.v, pairs.x1 - z)


def test_before_training_it_is_the_affine_path():
    field = Field(MLP(width=8), VariationalNoise(width=8), (3,), SCHEMA).double()
    pairs, t = batch(), torch.full((6,), 0.3).double()
    times = Times(t, t, torch.zeros_like(t))
    torch.testing.assert_close(field.path.point(pairs, times).x, Affine().point(pairs, times).x)
    assert field.path.encoder.last.weight in set(field.parameters())
    assert field.path.told(SCHEMA) == SCHEMA and torch.equal(field.path.source_end.encode(pairs.x0), pairs.x0)


def test_gradients_reach_the_encoder_and_scores_are_refused():
    field = Field(MLP(width=8), VariationalNoise(width=8), (3,), SCHEMA, gaussian_source=True).double()
    pairs, t = batch(), torch.full((6,), 0.3).double()
    x = field.path.point(pairs, Times(t, t, torch.zeros_like(t))).x
    assert torch.autograd.grad(x.square().sum(), field.path.encoder.last.weight)[0].norm() > 0
    with pytest.raises(InputError, match="score"):
        field.score(pairs.x0, t, pairs.condition)
    with pytest.raises(InputError, match="needs a source N"):
        field.path.point(Pairs(pairs.x0, pairs.x1, pairs.condition), Times(t, t, t))
    with pytest.raises(InputError, match="no encoder yet"):
        VariationalNoise().encoding(pairs.x1, None)
    with pytest.raises(InputError, match="positive sizes"):
        VariationalNoise(width=0)
    rebuilt = build(describe(VariationalNoise(32, 1, Affine())))
    assert (rebuilt.width, rebuilt.depth, rebuilt.path) == (32, 1, Affine())
