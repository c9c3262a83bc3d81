"""Policies: an exact mixture is the flow itself, and what is followed costs one evaluation a segment."""

from functools import partial

import pytest
import torch

from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, VelocityOracle, ring
from pushforward.networks import (
    MLP,
    ClassifierFree,
    DataGrid,
    DiT,
    Field,
    GridPolicy,
    MixtureHead,
    MixturePolicy,
    PolicyHead,
    TimePolynomial,
    TwoTime,
    UNet,
    expected_targets,
)
from pushforward.paths import Affine, CondOT, Trig
from pushforward.solvers import FixedStep, PolicySteps, policy_of
from pushforward.solvers.affine_steps import coefficients

NOISE = Gaussian.standard(2)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def exact_policy(schedule, x, s):
    """The policy that the law of the velocity itself says of states at time s."""
    at = partial(coefficients, schedule)
    anchor = at(s)
    mixture = VelocityOracle(NOISE, ring(), schedule).mixture(x, s)
    return MixturePolicy(mixture.affine(*expected_targets(x, anchor)), x, anchor, at)


@pytest.mark.parametrize("schedule", [CondOT(), Trig()], ids=lambda s: type(s).__name__)
def test_an_exact_mixture_is_exact_at_every_other_state(schedule):
    """Said at s = 0.2 of one state, the policy knows target and velocity at any other, at any later time."""
    oracle = AffineOracle(NOISE, ring(), schedule)
    first, s = oracle.sample(50, 0.2, generator=gen()).double(), torch.full((50,), 0.2).double()
    policy = exact_policy(schedule, first, s)
    for time in (0.2, 0.5, 0.9, 0.99):
        t = torch.full((50,), time).double()
        x = oracle.sample(50, time, generator=gen(1)).double()
        assert (policy.data(x, t) - oracle.data(x, t)).abs().max() < 1e-10
        assert (policy.velocity(x, t) - oracle.velocity(x, t)).abs().max() < 1e-8


def test_followed_it_is_the_flow():
    oracle, x = AffineOracle(NOISE, ring(), CondOT()), torch.randn(20, 2, generator=gen()).double()
    s = torch.linspace(0.0, 0.3, 20).double()
    e = s + 0.5
    policy, exact = exact_policy(CondOT(), x, s), oracle.flow_map(x, s, e)
    errors = [float((policy.carried(x, s, e, n) - exact).abs().max()) for n in (50, 500)]
    assert errors[1] < 0.005 and errors[1] < 0.2 * errors[0]


def test_a_grid_is_straight_between_its_points():
    points = torch.tensor([[[0.0], [1.0], [4.0]]]).expand(3, 3, 1)
    policy = GridPolicy(points, torch.full((3,), 0.2), torch.full((3,), 0.6), partial(coefficients, CondOT()))
    x, t = torch.zeros(3, 1), torch.tensor([0.2, 0.5, 0.6])
    torch.testing.assert_close(policy.data(x, t), torch.tensor([[0.0], [2.5], [4.0]]))
    torch.testing.assert_close(policy.velocity(x, t), policy.data(x, t) / (1 - t[:, None]))
    one = GridPolicy(points[:, 1:2], policy.s, policy.e, policy.schedule)
    torch.testing.assert_close(one.carried(x, policy.s, policy.e, 7), torch.full((3, 1), 0.4 / 0.8))


def test_a_polynomial_of_time_is_the_flow_whose_velocities_are_one():
    """Points that move by `v(t) = a + b (t - s) + c (t - s)^2` are on their way to `x_t + (1 - t) v(t)`."""
    a, b, c, x = torch.randn(4, 20, 2, generator=gen()).double()
    s = torch.linspace(0.0, 0.5, 20).double()
    left = (1 - s)[:, None]
    points = torch.stack([x + left * a, left * b, left * c - b / 2, -2 * c / 3], 1)
    policy = GridPolicy(points, s, s + 0.5, partial(coefficients, CondOT()), TimePolynomial())

    def exact(elapsed):
        return x + a * elapsed + b * elapsed**2 / 2 + c * elapsed**3 / 3

    for elapsed in (0.0, 0.2, 0.45):
        velocity = a + b * elapsed + c * elapsed**2
        torch.testing.assert_close(policy.velocity(exact(elapsed), s + elapsed), velocity)
    errors = [float((policy.carried(x, s, s + 0.45, n) - exact(0.45)).abs().max()) for n in (50, 500)]
    assert errors[1] < 0.003 and errors[1] < 0.12 * errors[0]


@pytest.mark.parametrize("points", [1, 3])
def test_a_polynomial_begins_as_the_flow_it_came_from(points):
    """All of the network's heads but the first are changes, and none at first."""
    flow = Field(MLP(width=8), Affine(), (2,), {})
    torch.nn.init.normal_(flow.network.last.weight)
    field = PolicyHead(DataGrid(points, basis=TimePolynomial())).adapted(flow)
    x, s = torch.randn(5, 2, generator=gen()), torch.full((5,), 0.2)
    policy = policy_of(field, x, s, s + 0.5, None)
    assert policy.points.shape == (5, points, 2)
    ends = x + 0.8 * flow.velocity(x, s)
    torch.testing.assert_close(policy.data(x, s + 0.4), ends)
    torch.testing.assert_close(field.velocity(x, s), flow.velocity(x, s))


def test_dropout_leaves_a_component_and_no_gradient():
    x = torch.randn(200, 2, generator=gen(), requires_grad=True)
    policy = exact_policy(CondOT(), x, torch.zeros(200))
    thinned = policy.detached(0.9, generator=gen(1))
    left = thinned.targets.log_weight.isfinite().sum(1)
    assert int(left.min()) == 1 and float(left.double().mean()) < 2.5
    found = thinned.data(x.detach(), torch.full((200,), 0.3))
    assert found.isfinite().all() and not found.requires_grad
    assert torch.equal(policy.detached().data(x, torch.zeros(200)), policy.data(x, torch.zeros(200)))


NETWORKS = {
    MLP(width=8): (2,),
    UNet(channels=8, multipliers=(1,), blocks=1): (1, 8, 8),
    DiT(width=16, depth=1, head_width=8, patch=4): (1, 8, 8),
}


@pytest.mark.parametrize("head", [MixtureHead(3), DataGrid(3)], ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_a_student_starts_as_its_flow(head, network):
    """All velocities of a policy are the flow's, so that a step of it is Euler's; mixtures are spread about it."""
    shape = NETWORKS[network]
    flow = Field(network, Affine(), shape, {})
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=gen()))
    student = PolicyHead(head).adapted(flow)
    if head == MixtureHead(3):
        torch.nn.init.zeros_(student.network.get_parameter("offsets"))
    x, zero = torch.randn(4, *shape, generator=gen(1)), torch.zeros(4)
    policy = policy_of(student, x, zero, zero + 1, None)
    v = flow.velocity(x, zero)
    assert v.abs().max() > 0.01
    torch.testing.assert_close(policy.velocity(x, zero), v)
    torch.testing.assert_close(student.velocity(x, zero), v)
    torch.testing.assert_close(PolicySteps(1, substeps=1).solve(student, x).x, x + v)


@pytest.mark.parametrize(
    "head", [MixtureHead(3, MLP(width=8)), DataGrid(3, MLP(width=8))], ids=lambda h: type(h).__name__
)
def test_states_between_follow_the_same_policies(head):
    field, x = Field(head, Affine(), (2,), {}), torch.randn(5, 2, generator=gen())
    solver = PolicySteps(2, substeps=8)
    whole = solver.solve(field, x)
    path = solver.solve(field, x, nodes=torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert whole.evaluations == path.evaluations == 2 and path.path is not None
    torch.testing.assert_close(path.path[-1], whole.x)
    zero = torch.zeros(5)
    policy = policy_of(field, x, zero, zero + 0.5, None)
    torch.testing.assert_close(path.path[1], policy.carried(x, zero, zero + 0.25, 2))


def test_impossible_requests_are_refused():
    x, plain = torch.zeros(3, 2), Field(MLP(width=8), Affine(), (2,), {})
    with pytest.raises(InputError, match="says no policies"):
        PolicySteps().solve(plain, x)
    student = PolicyHead().adapted(plain)
    with pytest.raises(InputError, match="says no policies"):
        PolicySteps().solve(ClassifierFree(student, 2.0), x)
    with pytest.raises(InputError, match="forwards"):
        PolicySteps().solve(student, x, start=1.0, end=0.0)
    with pytest.raises(InputError, match="substeps"):
        PolicySteps(substeps=0)
    with pytest.raises(InputError, match="plain states"):
        PolicyHead().adapted(Field(MLP(width=8), Affine(data_std=1.0), (2,), {}))
    with pytest.raises(InputError, match="no jumps"):
        TwoTime(DataGrid()).build((2,), {})
    assert FixedStep("euler", 1).solve(student, x).x.shape == x.shape
