"""Causal transitions: exact laws in closed form, teacher forcing against drawing, and trained ones end to end."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.cli.main import main
from pushforward.conditions import Column
from pushforward.contracts import Pairs, TransitionLaw
from pushforward.errors import InputError
from pushforward.networks import MLP, CausalLaw, CausalTransitions, Field
from pushforward.objectives import FlowMatching, TransitionMatching
from pushforward.objectives.transition_matching import independent_process
from pushforward.paths import Affine, BrownianBridge
from pushforward.solvers import TransitionSampler
from pushforward.training import Trainer

STEPS = 3
ARTM = CausalTransitions(STEPS, 1, width=16, head_width=8, head=MLP(16, 2))
FHTM = CausalTransitions(STEPS, STEPS, width=16, head_width=8, head=MLP(16, 2))
COVARIANCE = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
SHIFT = torch.tensor([1.0, -0.5], dtype=torch.float64)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def target(n, seed=0):
    noise = torch.randn(n, 2, generator=gen(seed), dtype=torch.float64)
    return SHIFT + noise @ torch.linalg.cholesky(COVARIANCE).T


def awake(spec, event, schema=None):
    torch.manual_seed(0)
    law = spec.build(event, schema or {}).double()
    for parameter in law.parameters():
        nn.init.normal_(parameter, std=0.3)
    return law


def joint(times):
    """Mean and covariance of the states at these times, `(2 S,)` and `(2 S, 2 S)`: only the target joins them."""
    t = torch.tensor(times, dtype=torch.float64)
    return torch.kron(t, SHIFT), torch.kron(t[:, None] * t, COVARIANCE) + torch.diag(
        torch.kron(1 - t, torch.ones(2)) ** 2
    )


def conditional(mean, covariance, known, entry):
    """Mean and variance of one entry of a normal vector given those before it: `known: (B, entry)`."""
    gain = torch.linalg.solve(covariance[:entry, :entry], covariance[:entry, entry])
    return mean[entry] + (known - mean[:entry]) @ gain, covariance[entry, entry] - gain @ covariance[:entry, entry]


class Exact:
    """The law of the next state in closed form, given the last one (`seen = 1`) or all of them."""

    def __init__(self, steps, seen):
        self.steps, self.seen = steps, seen

    def advance(self, x, k, condition=None, memory=None, *, generator=None):
        past = [*(memory or []), x][-self.seen :]
        mean, covariance = joint([(k + 1 + i) / self.steps for i in range(-len(past), 1)])
        known = torch.cat(past, 1)
        for _ in range(2):
            centre, variance = conditional(mean, covariance, known, known.shape[1])
            z = torch.randn(len(x), generator=generator, dtype=x.dtype)
            known = torch.cat([known, (centre + variance.clamp(min=0).sqrt() * z)[:, None]], 1)
        return known[:, -2:], past


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("full", [False, True])
def test_exact_transitions_reach_the_target_at_any_number_of_steps(steps, full):
    x0 = torch.randn(40_000, 2, generator=gen(), dtype=torch.float64)
    law = Exact(steps, steps if full else 1)
    made = TransitionSampler().solve(law, x0, generator=gen(1))
    assert made.evaluations == steps and isinstance(law, TransitionLaw)
    torch.testing.assert_close(made.x.mean(0), SHIFT, atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(made.x.T), COVARIANCE, atol=0.04, rtol=0)


def test_states_share_the_target_and_no_noise():
    x1 = target(60_000)
    first, states = independent_process(x1, 4, 3, Affine(), generator=gen())
    assert set(first.tolist()) == {0, 1, 2}
    found = states[first == 2].flatten(1)
    mean, covariance = joint([0.5, 0.75, 1.0])
    torch.testing.assert_close(found.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), covariance, atol=0.04, rtol=0)
    torch.testing.assert_close(states[first == 2][:, 2], x1[first == 2])
    assert independent_process(x1[:9], 4, 5, Affine(), generator=gen())[0].tolist() == [0] * 9


class Told(CausalLaw):
    """Features that are mean and variance of the next token in closed form, and the straight flow to that Gaussian."""

    def features(self, states, first, condition=None):
        said = states.new_empty(*states.shape[:1], states.shape[1] - 1, 2, 2)
        for k in first.unique().tolist():
            rows, count = first == k, states.shape[1]
            mean, covariance = joint([(k + i) / self.steps for i in range(count)])
            flat = states[rows].flatten(1)
            for entry in range(2, 2 * count):
                centre, variance = conditional(mean, covariance, flat[:, :entry], entry)
                told = torch.stack([centre, variance.expand_as(centre)], 1)
                said[rows, entry // 2 - 1, entry % 2] = told
        return said


class ToGaussian(nn.Module):
    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, v, tau, told):
        mean, variance = next(iter(told.values())).split(1, 1)
        tau = tau[:, None]
        gain = (tau * variance - (1 - tau)) / (tau**2 * variance + (1 - tau) ** 2)
        return mean * (1 + self.theta[0]) + gain * (v - tau * mean) + self.theta[1]


@pytest.mark.parametrize("spec", [ARTM, FHTM], ids=["ARTM", "FHTM"])
def test_exact_law_of_the_tokens_is_the_minimiser(spec):
    law = awake(spec, (2,))
    law.__class__, law.inner = Told, ToGaussian()
    field, objective, z = Field(law, Affine(), (2,), {}), TransitionMatching(draws=2), {}
    theta = law.inner.theta
    for shift in (0.0, 0.1):
        with torch.no_grad():
            theta.fill_(shift)
        found = []
        for seed in range(24):
            x1 = target(500, seed)
            pairs = Pairs(torch.randn(500, 2, dtype=torch.float64), x1, gaussian_source=True)
            total = objective(field, pairs, field.path, generator=gen(seed)).total
            found.append(torch.autograd.grad(total, theta)[0])
        g = torch.stack(found)
        z[shift] = (g.mean(0) / (g.std(0) / 24**0.5)).abs()
    assert (z[0.0] < 4).all() and (z[0.1] > 8).all()


@pytest.mark.parametrize("spec", [ARTM, FHTM], ids=["ARTM", "FHTM"])
def test_drawing_token_by_token_reads_what_one_pass_reads(spec, monkeypatch):
    """The features that each token was drawn from are those of teacher forcing on what was drawn."""
    law, label = awake(spec, (1, 4, 4), {"label": Column((0, 1))}), {"label": torch.tensor([0, 1, 1, 0, 1])}
    drawn = []
    monkeypatch.setattr(
        type(law), "told", lambda self, said: (drawn.append(said), {"features of the backbone": said})[1]
    )
    states, memory = [torch.randn(5, 1, 4, 4, generator=gen()).double()], None
    for k in range(STEPS):
        state, memory = law.advance(states[-1], k, label, memory, generator=gen(k))
        states.append(state)
    drawn = torch.stack(drawn, 1).unflatten(1, (STEPS, -1))
    tokens = torch.stack([law.patches.split(state) for state in states], 1)
    for k in range(STEPS):
        seen = slice(0, k + 2) if spec.seen > 1 else slice(k, k + 2)
        first = torch.full((5,), 0 if spec.seen > 1 else k)
        forced = law.features(tokens[:, seen], first, label)[:, -1]
        torch.testing.assert_close(drawn[:, k], forced)


@pytest.mark.parametrize("spec", [ARTM, FHTM], ids=["ARTM", "FHTM"])
def test_no_token_sees_itself_or_a_later_one(spec):
    law = awake(spec, (4,))
    tokens, first = torch.randn(1, spec.seen + 1, 4, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    jacobian = torch.autograd.functional.jacobian(lambda x: law.features(x, first).sum((0, 3)).flatten(), tokens)
    reach = jacobian.reshape(4 * spec.seen, -1) != 0
    wanted = torch.ones_like(reach).tril(3)  # the first token of the second state sees the whole first one
    assert torch.equal(reach, wanted)


def test_a_path_is_straight_between_states_and_transitions_do_not_go_back():
    law, x = Exact(2, 1), torch.randn(7, 2, generator=gen(), dtype=torch.float64)
    found = TransitionSampler().solve(law, x, nodes=torch.tensor([0.0, 0.25, 0.5, 1.0]), generator=gen())
    torch.testing.assert_close(found.path[1], (found.path[0] + found.path[2]) / 2)
    assert torch.equal(found.path[0], x) and torch.equal(found.path[-1], found.x)
    with pytest.raises(InputError, match="cannot be inverted"):
        TransitionSampler().solve(law, x, start=1.0, end=0.0)


def test_wrong_pieces_are_refused():
    some, path = Pairs(torch.zeros(4, 2), torch.ones(4, 2), gaussian_source=True), Affine()
    field = Field(ARTM, path, (2,), {})
    with pytest.raises(InputError, match="network: CausalTransitions"):
        TransitionMatching()(Field(MLP(8), path, (2,), {}), some, path)
    with pytest.raises(InputError, match="affine path"):
        TransitionMatching()(field, some, BrownianBridge(0.5))
    with pytest.raises(InputError, match="independent noise"):
        TransitionMatching()(field, Pairs(some.x0, some.x1), path)
    with pytest.raises(InputError, match="no velocity"):
        FlowMatching()(field, some, path)
    with pytest.raises(InputError, match="law of transitions"):
        TransitionSampler().solve(Field(MLP(8), path, (2,), {}), some.x0)
    with pytest.raises(InputError, match="seen is 1"):
        CausalTransitions(4, 2)
    with pytest.raises(InputError, match="multiple of head_width"):
        CausalTransitions(width=40)
    with pytest.raises(InputError, match="2 things"):
        Field(ARTM, path, (2,), {}, "velocity, data")


def test_weights_of_pairs_count():
    field, x = Field(ARTM, Affine(), (2,), {}), torch.randn(6, 2, generator=gen())
    some = Pairs(x, x.flip(0), weight=torch.tensor([0.0, 0, 0, 2.0, 0, 0]), gaussian_source=True)
    loss = TransitionMatching()(field, some, field.path, generator=gen())
    assert loss.per_sample.shape == (6,) and torch.isclose(loss.total, loss.per_sample[3])


@pytest.mark.parametrize("network", [ARTM, FHTM], ids=["ARTM", "FHTM"])
def test_fit_resumes_saves_loads_and_draws(tmp_path, network):
    options = {
        "network": network, "objective": TransitionMatching(condition_dropout=0.1), "solver": TransitionSampler(),
        "condition": torch.arange(200) % 2,
    }  # fmt: skip
    points, trainer = target(200).float(), Trainer(steps=20, batch_size=32, ema=0.9, checkpoint_every=10)
    whole = pf.fit("gaussian", points, trainer=trainer, out=tmp_path / "run", **options)
    sorted((tmp_path / "run" / "checkpoints").glob("*.safetensors"))[-1].unlink()
    again = pf.fit("gaussian", points, trainer=trainer, out=tmp_path / "run", resume=True, **options)
    x, labels = torch.randn(9, 2, generator=gen()), torch.zeros(9, dtype=torch.long)
    drawn = whole.push(x, labels, generator=gen(1))
    assert torch.equal(again.push(x, labels, generator=gen(1)), drawn)
    assert torch.equal(pf.load(tmp_path / "run").push(x, labels, generator=gen(1)), drawn)
    assert not torch.equal(whole.push(x, labels, generator=gen(2)), drawn)
    assert not torch.equal(whole.push(x, labels + 1, generator=gen(1)), drawn)


def test_from_the_command_line(tmp_path, capsys):
    table, run = tmp_path / "x.csv", str(tmp_path / "run")
    table.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in target(100).tolist()))
    words = ["fit", "gaussian", str(table), "--out", run, "--trainer.steps", "2", "--network", "CausalTransitions",
             "--network.seen", "4", "--objective", "TransitionMatching", "--solver", "TransitionSampler"]  # fmt: skip
    assert main(words) == 0
    made = ["push", run, "gaussian", "--rows", "5", "-o", str(tmp_path / "made.csv")]
    assert main(made) == 0
    assert main([*made, "--steps", "3"]) == 2 and "no velocity" in capsys.readouterr().err
