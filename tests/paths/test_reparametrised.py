"""CAR-Flow's shifts: the same flow in other coordinates, with nothing of it seen outside the network."""

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.conditions import infer_schema
from pushforward.configuration import Recorded
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Empirical, Gaussian
from pushforward.networks import MLP, ClassifierFree, Field
from pushforward.objectives import FlowMatching
from pushforward.paths import Affine, CondOT, Reparametrised, Trig
from pushforward.training import Trainer

SCHEMA = infer_schema({"label": [0, 1]})
MEANS = torch.tensor([[-2.0, 0.5], [2.0, 1.0]])
MU0, MU1 = torch.tensor([[3.0, -1.0], [0.5, 2.0]]), torch.tensor([[-1.0, 1.0], [2.0, -3.0]])


class InShiftedFrame(nn.Module, Recorded):
    """The exact velocity from N(mu0, I) to N(mean + mu1, I / 4) of each class: what a network in the frame of z learns;
    without a class, that of class 0 without shifts.
    """

    def __init__(self, schedule):
        super().__init__()
        ends = [*zip(MU0, MEANS + MU1, strict=True), (torch.zeros(2), MEANS[0])]
        self.oracles = [
            AffineOracle(Gaussian(a, torch.eye(2)), Gaussian(b, torch.eye(2) / 4), schedule) for a, b in ends
        ]

    def forward(self, x, t, condition=None):
        every = torch.stack([oracle.velocity(x, t) for oracle in self.oracles])
        return every[condition["label"], torch.arange(len(x))]


def shifted(schedule=None, predicts="velocity", network=None, **options):
    """A field whose shifts are those above."""
    path = Reparametrised(schedule or CondOT(), **options)
    field = Field(network or InShiftedFrame(path.schedule), path, (2,), SCHEMA, predicts, gaussian_source=True)
    shifts = field.network.shifts
    with torch.no_grad():
        wanted = torch.stack([MU0, MU1], 1)[:, torch.tensor(shifts.learned)]
        table = shifts.embedding.columns[0].table.weight
        table.copy_(torch.eye(3, table.shape[1]))
        shifts.last.weight.zero_()
        shifts.last.weight[:, :2] = wanted.flatten(1).T
        shifts.last.bias.fill_(7.0)  # must not be seen by rows without a condition
        shifts.last.weight[:, :2] -= 7.0
    return field


def plain(label, schedule):
    return AffineOracle(Gaussian.standard(2), Gaussian(MEANS[label], torch.eye(2) / 4), schedule)


@pytest.mark.parametrize("schedule", [CondOT(), Trig()], ids=repr)
def test_outside_the_network_nothing_is_shifted(schedule):
    field = shifted(schedule)
    x, t = torch.randn(20, 2), torch.rand(20) * 0.8 + 0.1
    for label in (0, 1):
        rows, oracle = {"label": torch.full((20,), label)}, plain(label, schedule)
        for kind in ("velocity", "data", "noise", "score"):
            torch.testing.assert_close(
                getattr(field, kind)(x, t, rows), getattr(oracle, kind)(x, t), rtol=1e-4, atol=1e-4
            )


def test_a_row_without_condition_is_not_shifted():
    x, t = torch.randn(6, 2), torch.full((6,), 0.4)
    absent = shifted().velocity(x, t, {"label": torch.full((6,), -1)})
    torch.testing.assert_close(absent, plain(0, CondOT()).velocity(x, t))
    network = shifted(network=MLP(width=8)).network
    assert all(float(shift.abs().max()) == 0 for shift in network.shifts(None, 3))


def test_guidance_mixes_velocities_of_one_frame():
    """`v_x = v_z - (mu1 - mu0)` at `x = z - (1 - t) mu0 - t mu1`, for both, before they are mixed."""
    x, t, scale = torch.randn(6, 2), torch.full((6,), 0.4), 2.0
    guided = ClassifierFree(shifted(), scale).velocity(x, t, {"label": torch.ones(6, dtype=torch.long)})
    null, own = plain(0, CondOT()).velocity(x, t), plain(1, CondOT()).velocity(x, t)
    torch.testing.assert_close(guided, null + scale * (own - null), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("predicts", ["velocity", "data", "noise", "velocity,denoiser"])
def test_loss_is_that_of_flow_matching_between_shifted_ends(predicts):
    network = MLP(width=8).build((2,), SCHEMA, len(predicts.split(",")))
    nn.init.normal_(network.last.weight)
    label = torch.randint(2, (64,))
    x0, x1 = torch.randn(64, 2), torch.randn(64, 2) + MEANS[label]
    pairs = Pairs(x0, x1, {"label": label}, gaussian_source=True)
    moved = Pairs(x0 + MU0[label], x1 + MU1[label], {"label": label}, gaussian_source=True)
    losses = []
    for field, both in ((shifted(predicts=predicts, network=network), pairs),
                        (Field(network, Affine(), (2,), SCHEMA, predicts), moved)):  # fmt: skip
        generator = torch.Generator().manual_seed(0)
        losses.append(FlowMatching()(field, both, field.path, generator=generator))
    if predicts == "velocity,denoiser":  # the noise of a score keeps its place, as the score does
        torch.testing.assert_close(losses[0].terms["velocity"], losses[1].terms["velocity"])
    else:
        torch.testing.assert_close(losses[0].total, losses[1].total)


@pytest.mark.parametrize("ends", [(True, False), (False, True)])
def test_either_end_alone(ends):
    field = shifted(network=MLP(width=8), shift_source=ends[0], shift_target=ends[1])
    mu0, mu1 = field.network.shifts({"label": torch.tensor([0, 1])}, 2)
    torch.testing.assert_close(mu0, MU0 if ends[0] else torch.zeros(2, 2))
    torch.testing.assert_close(mu1, MU1 if ends[1] else torch.zeros(2, 2))


def test_needs_conditions_and_something_to_shift():
    with pytest.raises(InputError, match="no condition"):
        Field(MLP(width=8), Reparametrised(), (2,), {})
    with pytest.raises(InputError, match="to shift"):
        Reparametrised(shift_source=False, shift_target=False)


def test_trains_resumes_and_is_kept(tmp_path):
    """The shifts start at zero, move with the training, and come back with the transport."""
    label = torch.arange(200) % 2
    target = Empirical(5 * MEANS[label] + torch.randn(200, 2), {"label": label})
    options = {
        "path": Reparametrised(),
        "network": MLP(width=16, depth=1),
        "objective": FlowMatching(condition_dropout=0.1),
    }
    trainer = Trainer(steps=60, batch_size=64, checkpoint_every=30, warmup=10)
    whole = pf.fit("gaussian", target, trainer=trainer, out=tmp_path / "whole", **options)
    assert whole.field.network.shifts.last.weight.abs().max() > 1e-3
    x = torch.randn(10, 2)
    again = pf.load(tmp_path / "whole")
    assert torch.equal(
        again.push(x, {"label": 1}, steps=4, guidance=2.0), whole.push(x, {"label": 1}, steps=4, guidance=2.0)
    )
    assert again.log_prob(x, {"label": 1}).isfinite().all()
    for name in ("transport.json", "weights.safetensors"):
        (tmp_path / "whole" / name).unlink()
    next((tmp_path / "whole" / "checkpoints").glob("*60*")).unlink()
    resumed = pf.fit("gaussian", target, trainer=trainer, out=tmp_path / "whole", resume=True, **options)
    assert torch.equal(resumed.push(x, {"label": 1}, steps=4), whole.push(x, {"label": 1}, steps=4))
