"""Flows in a latent space: principal components as the codec, for which everything is known in closed form."""

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.conditions import Column
from pushforward.configuration import Recorded, build, describe
from pushforward.contracts import Pairs, Times
from pushforward.couplings import Corruption, Holed
from pushforward.errors import InputError
from pushforward.geometry import Hole
from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Empirical, Gaussian
from pushforward.metrics import wasserstein2
from pushforward.networks import MLP, Concatenated, Field
from pushforward.objectives import FlowMatching
from pushforward.paths import Affine, CondOT, Latent, PrincipalComponents, Trig

LATENT = Latent(PrincipalComponents(2))
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
    noise, space = torch.randn(20, 2, 3), path.space
    pairs = Pairs(space.source.encode(noise), space.target.encode(points[:20]), gaussian_source=True)
    times = Times(t, t, torch.zeros(20))
    point = path.point(pairs, times)
    plain = Affine(Trig()).point(Pairs(noise.flatten(1)[:, :3], codec.encode(points[:20])), times)
    for name in ("x", "v", "x0", "x1"):
        assert torch.equal(getattr(point, name), getattr(plain, name)), name
    torch.testing.assert_close(path.convert(point.v, point.x, t, "velocity", "data"), point.x1, rtol=1e-4, atol=1e-4)


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
    codec, held = path.codec, points[:400]
    assert whole.target_frame.scale == 1  # a codec brings points to unit size itself
    z, made_z = (codec.encode(y) for y in (held, made))
    forgotten = (codec.decode(z) - held).flatten(1).square().sum(1).mean().sqrt()
    bound = forgotten + codec.scale * wasserstein2(z, made_z)
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
        (lambda: pf.fit("gaussian", torch.randn(20, 3), path=LATENT, coupling=Corruption(Holed(Hole()))), "no known"),
        (lambda: pf.fit("gaussian", torch.randn(20, 3), path=Latent(PrincipalComponents(2), encoded=("x",))), "'x'"),
        (lambda: pf.fit("gaussian", torch.randn(20, 3), path=Latent(PrincipalComponents(2), resized=("x",))), "'x'"),
    ],
)
def test_mistakes(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


def test_the_loss_has_gradients(points, codec):
    field = Field(MLP(width=8, depth=1), Latent(codec), (2, 3), {}, gaussian_source=True)
    pairs = Pairs(torch.randn(8, 3), codec.encode(points[:8]), gaussian_source=True)
    FlowMatching()(field, pairs, field.path, generator=torch.Generator().manual_seed(0)).total.backward()
    assert all(p.grad is not None for p in field.parameters())


def test_conditions_that_are_maps_enter_the_latent_space(points, codec):
    """What the network sees of a masked point is its latent, in the same units; a vector latent has no places."""
    schema = {"observation": Column(None, 6), "known": Column(None, 6), "label": Column((0, 1))}
    path = Latent(codec, encoded=("observation",))
    assert {name: column.width for name, column in path.told(schema).items()} == {
        "observation": 3, "known": 6, "label": 1,
    }  # fmt: skip
    rows = {"observation": points[:5].flatten(1).clone(), "known": torch.ones(5, 6), "label": torch.arange(5)}
    rows["observation"][1] = torch.nan  # absent stays absent
    seen = path.space.condition(rows, lambda x: x)
    torch.testing.assert_close(seen["observation"][2:], codec.encode(points[2:5]))
    assert seen["observation"][1].isnan().all() and seen["known"] is rows["known"] and seen["label"] is rows["label"]
    data = Empirical(points, {"observation": points.flatten(1)})
    network = Concatenated(MLP(width=16, depth=1), ("observation",))
    flow = pf.fit("gaussian", data, network=network, path=path, trainer=pf.Trainer(steps=3, batch_size=8))
    x, mine = torch.randn(4, 2, 3), {"observation": points[:4].flatten(1)}
    state = x.flatten(1)[:, :3]
    wanted = state + flow.field.velocity(state, torch.zeros(4), {"observation": codec.encode(points[:4])})
    torch.testing.assert_close(flow.push(x, mine, steps=1, method="euler"), flow.field.path.codec.decode(wanted))


def test_masks_are_resized_by_nearest_neighbours():
    class Halved(PrincipalComponents):
        def shape(self, event_shape):
            return (1, 2, 2)

        @property
        def decoded_shape(self):
            return (1, 4, 4)

    path = Latent(Halved(), resized=("known",))
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    both = torch.stack([mask, 1 - mask])  # two channels
    assert path.told({"known": Column(None, 32)})["known"].width == 8
    seen = path.space.condition({"known": both.reshape(1, 32)}, lambda x: x)["known"]
    assert torch.equal(seen.reshape(2, 2, 2), both[:, ::2, ::2])


def test_latents_are_computed_once_and_drawn_anew(points, codec):
    class Counting(PrincipalComponents):
        calls = 0

        def encode(self, x, condition=None):
            Counting.calls += len(x)
            return super().encode(x)

    counting = Counting(3, codec.mean, codec.basis, codec.scale)
    trainer = pf.Trainer(steps=30, batch_size=64)
    pf.fit("gaussian", points, network=MLP(width=8, depth=1), path=Latent(counting), trainer=trainer)
    assert Counting.calls == len(points)
    pf.fit("gaussian", Gaussian.standard(2, 3), network=MLP(width=8, depth=1), path=Latent(counting), trainer=trainer)
    assert Counting.calls >= len(points) + 30 * 64, "fresh points are encoded as they come"
