"""Flows in a latent space: principal components as the codec, for which everything is known in closed form."""

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.configuration import Recorded, build, describe
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Empirical, Gaussian
from pushforward.metrics import wasserstein2
from pushforward.networks import MLP, Field
from pushforward.objectives import FlowMatching
from pushforward.paths import Affine, CondOT, Latent, PrincipalComponents, Trig

VARIANCES = torch.tensor([9.0, 4.0, 0.25, 0.01, 0.04, 1.0])


@pytest.fixture
def points():
    """Correlated points of shape (2, 3)."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    return (1 + (torch.randn(4000, 6, generator=generator) * VARIANCES.sqrt()) @ turn).reshape(-1, 2, 3)


@pytest.fixture
def codec(points):
    return PrincipalComponents(3).fitted(points)


def test_the_error_is_the_variance_left_out(points, codec):
    values = torch.linalg.eigvalsh(points.flatten(1).T.cov(correction=0))
    error = (codec.decode(codec.encode(points)) - points).flatten(1).square().sum(1).mean()
    torch.testing.assert_close(error, values[:3].sum(), rtol=1e-4, atol=0)
    z = codec.encode(points)
    assert z.shape == (4000, 3)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.square().mean(), torch.tensor(1.0), rtol=1e-4, atol=0)
    torch.testing.assert_close(codec.encode(codec.decode(z)), z, rtol=1e-4, atol=1e-4)


def test_the_decoder_stretches_by_its_scale(codec):
    z = torch.randn(2, 50, 3)
    apart = [torch.linalg.vector_norm((a - b).flatten(1), dim=1) for a, b in [z, [codec.decode(part) for part in z]]]
    torch.testing.assert_close(apart[1], codec.scale * apart[0])


def test_points_are_those_of_the_affine_path_between_latents(points, codec):
    path, t = Latent(codec, Affine(Trig())), torch.rand(20)
    pairs = Pairs(torch.randn(20, 2, 3), points[:20], gaussian_source=True)
    times = Times(t, t, torch.zeros(20))
    point = path.point(pairs, times)
    plain = Affine(Trig()).point(Pairs(pairs.x0.flatten(1)[:, :3], codec.encode(points[:20])), times)
    for name in ("x", "v", "x0", "x1"):
        assert torch.equal(getattr(point, name), getattr(plain, name)), name
    torch.testing.assert_close(path.convert(point.v, point.x, t, "velocity", "data"), point.x1, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="known entries"):
        path.point(Pairs(pairs.x0, pairs.x1, mask=torch.ones(20, 2, 3, dtype=torch.bool)), times)


class Exact(nn.Module, Recorded):
    """The exact velocity between latents of Gaussian data."""

    def __init__(self, covariance):
        super().__init__()
        self.oracle = AffineOracle(Gaussian.standard(3), Gaussian(torch.zeros(3), covariance), CondOT())

    def forward(self, x, t, condition=None):
        return self.oracle.velocity(x, t)


def test_the_exact_flow_reaches_the_data_but_for_what_the_codec_forgets(points, codec):
    """Pushed noise has the mean and the covariance of the reconstructions, and pulling goes back."""
    net = Exact(codec.encode(points).T.cov(correction=0))
    transport = FlowTransport(
        Field(net, Latent(codec), (2, 3), {}, gaussian_source=True), source=Gaussian.standard(2, 3)
    )
    x = torch.randn(4000, 2, 3, generator=torch.Generator().manual_seed(1))
    leading = x.flatten(1)[:, :3]
    leading = (leading - leading.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(leading.T.cov(correction=0))).T
    x = torch.cat([leading, x.flatten(1)[:, 3:]], 1).reshape(-1, 2, 3)  # moments of N(0, I), exactly
    made, wanted = transport.push(x), codec.decode(codec.encode(points))
    torch.testing.assert_close(made.mean(0), wanted.mean(0), rtol=0, atol=1e-3)
    torch.testing.assert_close(
        made.flatten(1).T.cov(correction=0), wanted.flatten(1).T.cov(correction=0), rtol=0, atol=1e-2
    )
    back = transport.pull(made)
    torch.testing.assert_close(back.flatten(1)[:, :3], leading, rtol=0, atol=1e-2)
    assert not back.flatten(1)[:, 3:].any()
    assert transport.trajectory(x[:5], times=3).path.shape == (3, 5, 2, 3)
    with pytest.raises(InputError, match="no density"):
        transport.log_prob(points[:3])


def test_fit_saves_resumes_and_keeps_the_bound(points, tmp_path):
    trainer = pf.Trainer(steps=40, batch_size=64, warmup=2, checkpoint_every=20)
    options = {"network": MLP(width=16, depth=1), "path": Latent(PrincipalComponents(3)), "trainer": trainer}
    target = Empirical(points)
    whole = pf.fit("gaussian", target, out=tmp_path, **options)
    x = torch.randn(400, 2, 3)
    made = whole.push(x, steps=4)
    assert torch.equal(pf.load(tmp_path).push(x, steps=4), made)
    path = whole.field.path
    codec, frame = path.codec, whole.target_frame
    held = points[:400]
    z, made_z = (codec.encode(frame.normalise(y)) for y in (held, made))
    forgotten = (frame.restore(codec.decode(z)) - held).flatten(1).square().sum(1).mean().sqrt()
    bound = forgotten + codec.scale * frame.scale * wasserstein2(z, made_z)
    assert wasserstein2(held, made) <= bound + 1e-5
    (tmp_path / "checkpoints" / "step-000000040.safetensors").unlink()
    assert torch.equal(pf.fit("gaussian", target, out=tmp_path, resume=True, **options).push(x, steps=4), made)


def test_a_fitted_codec_is_described_and_stays(points, codec):
    again = build(describe(Latent(codec)))
    assert torch.equal(again.codec.encode(points), codec.encode(points))
    assert codec.fitted(2 * points) is codec


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: PrincipalComponents(0), "at least one"),
        (lambda: PrincipalComponents(7).fitted(torch.randn(9, 6)), "only 6"),
        (lambda: PrincipalComponents(2).encode(torch.zeros(1, 3)), "not fitted"),
        (lambda: pf.fit("gaussian", torch.randn(20, 3), path=Latent(PrincipalComponents(4))), "only 3"),
    ],
)
def test_mistakes(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


def test_the_loss_has_gradients(points, codec):
    field = Field(MLP(width=8, depth=1), Latent(codec), (2, 3), {}, gaussian_source=True)
    pairs = Pairs(torch.randn(8, 2, 3), points[:8], gaussian_source=True)
    FlowMatching()(field, pairs, field.path, generator=torch.Generator().manual_seed(0)).total.backward()
    assert all(p.grad is not None for p in field.parameters())
