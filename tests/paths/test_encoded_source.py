"""Flows that start from an encoded condition: where they start, what they train, and the flow between known ends."""

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.conditions import Column
from pushforward.configuration import Recorded, build, describe
from pushforward.contracts import Pairs, Times
from pushforward.couplings import Independent, NullTargets
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, Gaussian, PairedOracle
from pushforward.networks import MLP, Agreement, Encoding, Field
from pushforward.objectives import CrossFlow, FlowMatching, divergence_from_noise
from pushforward.paths import Affine, CondOT, EncodedSource

SCHEMA = {"label": Column((0, 1, 2))}
TOLD = SCHEMA | {"indicator": Column(default=1.0)}
STARTS = torch.tensor([[-9.0, 0.0], [0.0, 9.0], [9.0, 0.0]])
SPREADS = torch.tensor([[0.5, 1.0], [1.0, 0.5], [1.5, 1.0]])
MEANS = torch.tensor([[-6.0, -6.0], [0.0, 6.0], [6.0, -6.0]])
VARIANCES = torch.tensor([[1.0, 0.3], [0.3, 1.0], [0.5, 0.5]])


class Known(nn.Module):
    """An encoder that is not learned."""

    def forward(self, condition, rows):
        return Encoding(STARTS[condition["label"]], 2 * SPREADS[condition["label"]].log())


class Exact(nn.Module, Recorded):
    """The exact velocity between the starts and targets of some classes."""

    def __init__(self, classes):
        super().__init__()
        tables = (STARTS, SPREADS.square(), MEANS, VARIANCES)
        self.oracle = PairedOracle(torch.ones(len(classes)) / len(classes), *(t[classes] for t in tables), CondOT())

    def forward(self, x, t, condition=None):
        return self.oracle.velocity(x, t)


def exact_transport(classes=(0, 1, 2)):
    field = Field(Exact(list(classes)), EncodedSource(), (2,), SCHEMA)
    field.path.encoder = Known()
    return FlowTransport(field, source=Gaussian.standard(2))


def learned(schema=TOLD, **options):
    torch.manual_seed(0)
    field = Field(MLP(width=16, depth=1), EncodedSource(width=8, **options), (2,), schema)
    nn.init.normal_(field.path.encoder.last.weight, std=0.1)
    nn.init.normal_(field.network.last.weight, std=0.1)
    return field


def test_starts_of_a_condition_reach_its_targets():
    """The network knows the marginal velocity only: classes that start far apart arrive where they should."""
    transport, label = exact_transport(), torch.arange(3000) % 3
    x0 = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0))
    made = transport.push(x0, {"label": label})
    for k in range(3):
        torch.testing.assert_close(made[label == k].mean(0), MEANS[k], rtol=0, atol=0.1)
        torch.testing.assert_close(made[label == k].var(0), VARIANCES[k], rtol=0.15, atol=0.02)
    torch.testing.assert_close(transport.pull(made, {"label": label}), x0, rtol=0, atol=1e-2)


def test_the_density_is_that_of_the_pushed_start():
    """With one class both ends are Gaussian, and the flow's density is known."""
    transport, y = exact_transport([1]), torch.randn(50, 2) + MEANS[1]
    exact = Gaussian(MEANS[1], VARIANCES[1].diag()).log_prob(y)
    torch.testing.assert_close(transport.log_prob(y, {"label": 1}), exact, rtol=1e-3, atol=1e-3)


def test_points_are_those_of_the_affine_path_from_the_start():
    field, label = exact_transport().field, torch.arange(20) % 3
    pairs, t = Pairs(torch.randn(20, 2), torch.randn(20, 2), {"label": label}, gaussian_source=True), torch.rand(20)
    times = Times(t, t, torch.zeros(20))
    z = STARTS[label] + SPREADS[label] * pairs.x0
    point, plain = field.path.point(pairs, times), Affine().point(Pairs(z, pairs.x1), times)
    for name in ("x", "v", "x0", "x1"):
        torch.testing.assert_close(getattr(point, name), getattr(plain, name), msg=name)
    torch.testing.assert_close(field.path.source_end.encode(pairs.x0, pairs.condition), z)
    for kind in ("score", "denoiser"):
        with pytest.raises(InputError, match="no score"):
            field.path.convert(point.v, point.x, t, "velocity", kind, gaussian_source=True)
        with pytest.raises(InputError, match="no score"):
            field.path.target(point, kind, gaussian_source=True)


def test_the_network_is_told_the_indicator_and_no_condition():
    field = learned()
    x, t, told = torch.randn(6, 2), torch.rand(6), torch.ones(6, 1)
    one = field.velocity(x, t, {"label": torch.zeros(6, dtype=torch.long), "indicator": told})
    assert torch.equal(field.velocity(x, t, {"label": torch.ones(6, dtype=torch.long), "indicator": told}), one)
    null = field.velocity(x, t, {"label": torch.zeros(6, dtype=torch.long), "indicator": told * torch.nan})
    assert not torch.equal(null, one)
    guided = FlowTransport(field)
    state = field.path.source_end.encode(x, {"label": torch.ones(6, dtype=torch.long)})
    zero = torch.zeros(6)
    both = [field.velocity(state, zero, {"indicator": bit}) for bit in (told * torch.nan, told)]
    wanted = state + both[0] + 3.0 * (both[1] - both[0])
    torch.testing.assert_close(guided.push(x, {"label": 1}, steps=1, method="euler", guidance=3.0), wanted)
    plain = FlowTransport(learned(SCHEMA))
    with pytest.raises(InputError, match="no effect"):
        plain.push(x, {"label": 1}, guidance=3.0)


def test_the_divergence_is_that_of_gaussians():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    normal = torch.distributions.Normal
    exact = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).mean(1)
    torch.testing.assert_close(divergence_from_noise(Encoding(mean, log_variance)), exact)
    free = divergence_from_noise(Encoding(torch.full((1, 2), 2.0), torch.zeros(1, 2)), "sixth")
    torch.testing.assert_close(free, torch.tensor([0.6**6 / 2]))


def test_the_contrast_tells_pairs_from_others():
    """Equal for all it is log B; own pairs alone count, others stay as what rows are told from."""
    agreement = Agreement((2,), 8, 4)
    for part in (agreement.start, agreement.point):
        nn.init.zeros_(part[-1].weight)
        nn.init.ones_(part[-1].bias)
    z, x1 = torch.randn(10, 2), torch.randn(10, 2)
    torch.testing.assert_close(agreement.loss(z, x1), torch.tensor(10.0).log())
    torch.manual_seed(0)
    agreement = Agreement((2,), 8, 4)
    own = torch.arange(10) < 6
    rows = torch.arange(10)
    logits = agreement(z, x1)
    each = -(logits.log_softmax(1)[rows, rows] + logits.log_softmax(0)[rows, rows]) / 2
    torch.testing.assert_close(agreement.loss(z, x1, own), each[:6].mean())


@pytest.mark.parametrize("variational", [True, False])
def test_gradients_reach_the_encoder_through_every_term(variational):
    field = learned(variational=variational)
    condition = {"label": torch.arange(12) % 3, "indicator": torch.ones(12, 1)}
    pairs = Pairs(torch.randn(12, 2), torch.randn(12, 2), condition, gaussian_source=True)
    last = field.path.encoder.last.weight
    losses = [CrossFlow(contrast=0.0, divergence=0.0), CrossFlow(1.0, 0.0, base=FlowMatching()), CrossFlow(0.0, 1.0)]
    grads = []
    for objective in losses:
        total = objective(field, pairs, field.path, generator=torch.Generator().manual_seed(0)).total
        grads.append(torch.autograd.grad(total, last, retain_graph=True)[0])
    assert all(float(grad.norm()) > 1e-4 for grad in grads)
    loss = CrossFlow(0.5, 0.25)(field, pairs, field.path, generator=torch.Generator().manual_seed(0))
    terms = loss.terms
    torch.testing.assert_close(loss.total, terms["flow"] + 0.5 * terms["contrast"] + 0.25 * terms["divergence"])
    loss.total.backward()
    assert all(p.grad is not None for p in field.parameters())


def test_null_rows_pass_their_targets_on():
    """Starts, conditions and the other rows stay; each null row has another null row's target."""
    x0, x1 = torch.randn(400, 2), torch.arange(400.0)[:, None].expand(400, 2)
    coupling, generator = NullTargets(0.2), torch.Generator().manual_seed(0)
    pairs = coupling(x0, x1, {"label": torch.arange(400) % 3}, gaussian_source=True, generator=generator)
    null = pairs.condition["indicator"][:, 0].isnan()
    assert 50 < int(null.sum()) < 110 and pairs.gaussian_source
    assert torch.equal(pairs.condition["label"], torch.arange(400) % 3) and torch.equal(pairs.x0, x0)
    assert torch.equal(pairs.x1[~null], x1[~null]) and not (pairs.x1[null] == x1[null]).any()
    assert torch.equal(pairs.x1[null][:, 0].sort().values, x1[null][:, 0])
    assert (pairs.condition["indicator"][~null] == 1).all()
    assert build(describe(coupling)) == coupling


def test_a_single_null_row_is_none():
    counts = set()
    for seed in range(60):
        pairs = NullTargets(0.2)(
            torch.zeros(4, 1), torch.arange(4.0)[:, None], generator=torch.Generator().manual_seed(seed)
        )
        null = pairs.condition["indicator"][:, 0].isnan()
        counts.add(int(null.sum()))
        assert (pairs.x1[:, 0] == torch.arange(4.0)).logical_not().equal(null)
    assert 1 not in counts and {0, 2} <= counts


@pytest.fixture(scope="module")
def target():
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(3, (2000,), generator=generator)
    nuisance = torch.randn(2000, 4, generator=generator)
    x = MEANS[label] + VARIANCES[label].sqrt() * torch.randn(2000, 2, generator=generator)
    return Empirical(x, {"label": label, "nuisance": nuisance})


OPTIONS = {
    "network": MLP(width=16, depth=1), "path": EncodedSource(width=8), "objective": CrossFlow(),
    "coupling": NullTargets(),
}  # fmt: skip


def test_fit_saves_resumes_and_draws(target, tmp_path):
    trainer = pf.Trainer(steps=40, batch_size=64, warmup=2, checkpoint_every=20)
    whole = pf.fit("gaussian", target, out=tmp_path, trainer=trainer, **OPTIONS)
    x, given = torch.randn(9, 2), {"label": 1, "nuisance": torch.randn(9, 4)}
    made, again = whole.push(x, given, steps=4, guidance=2.0), pf.load(tmp_path)
    assert torch.equal(again.push(x, given, steps=4, guidance=2.0), made)
    torch.testing.assert_close(again.pull(again.push(x, given), given), x, rtol=0, atol=1e-2)
    assert again.log_prob(x, given).isfinite().all() and again.target_columns == ("label", "nuisance")
    (tmp_path / "checkpoints" / "step-000000040.safetensors").unlink()
    resumed = pf.fit("gaussian", target, out=tmp_path, resume=True, trainer=trainer, **OPTIONS)
    assert torch.equal(resumed.push(x, given, steps=4, guidance=2.0), made)


def test_a_deterministic_encoder_has_no_way_back():
    transport = FlowTransport(learned(variational=False), source=Gaussian.standard(2))
    a, b = (transport.push(torch.randn(3, 2), {"label": 1}) for _ in range(2))
    assert torch.equal(a, b)
    for wrong in (transport.pull, transport.log_prob):
        with pytest.raises(InputError, match="forgets the noise"):
            wrong(a, {"label": 1})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Field(MLP(), EncodedSource(), (2,), {}), "there is none"),
        (lambda: EncodedSource(width=0), "positive sizes"),
        (lambda: EncodedSource().encoding(None, 1), "no encoder yet"),
        (lambda: CrossFlow(contrast=-1.0), "negative"),
        (lambda: CrossFlow(mean_term="cube"), "sixth"),
        (lambda: NullTargets(1.0), "probability"),
        (lambda: NullTargets().schema(TOLD, (2,)), "already has"),
        (
            lambda: CrossFlow()(
                Field(MLP(), Affine(), (2,), {}), Independent()(torch.zeros(2, 2), torch.zeros(2, 2)), Affine()
            ),
            "EncodedSource",
        ),
    ],
)
def test_mistakes(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()
