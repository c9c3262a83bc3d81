"""Pairs of a trained flow itself, and pairs that are given."""

import pytest
import torch

import pushforward as pf
from pushforward.cli.main import main
from pushforward.configuration import build, describe
from pushforward.couplings import Matched
from pushforward.errors import InputError
from pushforward.maps import SelfGenerated
from pushforward.measures import Empirical
from pushforward.networks import MLP
from pushforward.paths import VP, Affine, LinearVE
from pushforward.solvers import SDE, FixedStep
from pushforward.training import FramedSides, Trainer

RK4 = FixedStep("rk4", 16)
LABEL = torch.arange(300) % 3
X0 = 2 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) - 1
X1 = 5 + 2 * torch.randn(300, 2, generator=torch.Generator().manual_seed(1)) * (1 + LABEL[:, None])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(source, **options):
    """A flow that does something, in units of its own."""
    trainer = Trainer(steps=30, batch_size=64, warmup=0, learning_rate=1e-2, ema=0)
    return pf.fit(source, X1, network=MLP(width=16, depth=2), trainer=trainer, solver=RK4, **options)


@pytest.fixture(scope="module")
def flow():
    return trained(X0, condition=LABEL)


def sides_of(flow, source):
    return FramedSides((source, Empirical(X1, LABEL)), flow.frames, flow.field)


@pytest.mark.parametrize("path", [None, Affine(VP()), Affine(LinearVE(3.0))], ids=["straight", "vp", "noise of size 3"])
@pytest.mark.parametrize("pool", [40, None])
def test_pairs_are_those_of_push_in_the_users_units(path, pool):
    """Also where the units of the network are not the data's, and the path starts from noise of another size."""
    flow = trained("gaussian" if path else X0, condition=LABEL, path=path)
    sides = sides_of(flow, flow.source or Empirical(X0))
    coupling = SelfGenerated(RK4, pool).prepared(sides, generator=rng())
    x0, (x1, condition) = sides.source(25, generator=rng(1)), sides.target(25, generator=rng(2))
    pairs = coupling(x0, x1, condition, gaussian_source=True, generator=rng(3))
    assert len(pairs) == 25 and not pairs.gaussian_source
    start, end = (frame.restore(x) for frame, x in zip(flow.frames, (pairs.x0, pairs.x1), strict=True))
    torch.testing.assert_close(end, flow.push(start, pairs.condition), rtol=1e-4, atol=1e-4)
    again = coupling(x0, x1, condition, generator=rng(3))
    assert torch.equal(again.x1, pairs.x1) and torch.equal(again.condition["condition"], pairs.condition["condition"])
    if pool is None:
        assert torch.equal(pairs.x0, x0) and pairs.condition is condition


def test_the_pool_is_as_large_as_said_and_does_not_follow_the_teacher(flow):
    sides = sides_of(flow, Empirical(X0))
    coupling = SelfGenerated(RK4, pool=7).prepared(sides, generator=rng())
    pairs = coupling(X0, X1, {"condition": LABEL}, generator=rng())
    assert len(pairs) == 300 and len(pairs.x1.unique(dim=0)) == 7
    assert build(describe(coupling)) == coupling and "liu2022flow" in pf.cite(coupling)


def test_guidance_is_baked_in(flow):
    sides, condition = sides_of(flow, Empirical(X0)), {"condition": LABEL}
    plain, guided = (
        SelfGenerated(RK4, None, guidance=g).prepared(sides, generator=rng())(X0, X1, condition) for g in (1.0, 3.0)
    )
    assert (plain.x1 - guided.x1).abs().max() > 1e-3
    x = flow.frames[0].restore(X0)
    end = flow.frames[1].restore(guided.x1)
    torch.testing.assert_close(end, flow.push(x, LABEL, guidance=3.0), rtol=1e-4, atol=1e-4)


def test_matched_draws_rows_that_belong_together():
    sides = FramedSides((Empirical(X1 * 10 + 1), Empirical(X1, LABEL)), trained(X0).frames)
    coupling = Matched().prepared(sides, generator=rng())
    pairs = coupling(X0[:9], X1[:50], generator=rng())
    start, end = (frame.restore(x) for frame, x in zip(sides.frames, (pairs.x0, pairs.x1), strict=True))
    torch.testing.assert_close(start, end * 10 + 1, rtol=1e-3, atol=1e-3)
    rows = [int((X1 - row).abs().sum(1).argmin()) for row in end]
    assert pairs.condition["condition"].tolist() == [int(LABEL[row]) for row in rows] and len(set(rows)) > 25
    with pytest.raises(InputError, match="300 rows and the target 10"):
        Matched().prepared(FramedSides((Empirical(X0), Empirical(X1[:10])), sides.frames), generator=rng())
    with pytest.raises(InputError, match="prepared first"):
        Matched()(X0, X1)


def test_a_student_keeps_its_teachers_units_saves_and_resumes(flow, tmp_path):
    """Its network and path are its own."""
    teacher = flow.save(tmp_path / "teacher")

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)
        return pf.fit(
            X0 * 7, X1 * 7, condition=LABEL, teacher=teacher, coupling=SelfGenerated(RK4, 50), path=Affine(VP()),
            network=MLP(width=8), trainer=trainer, out=out, resume=resume,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    assert all(own.agrees(other) for own, other in zip(whole.frames, flow.frames, strict=True))
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    torch.testing.assert_close(pf.load(tmp_path / "parts").push(X0, LABEL), whole.push(X0, LABEL), rtol=0, atol=0)


def test_from_the_command_line(tmp_path, capsys):
    flow, out = trained("gaussian"), str(tmp_path / "run")
    teacher, x = flow.save(tmp_path / "teacher"), torch.randn(5, 2)
    words = ["fit", "gaussian", "moons-torchdyn", "--out", out, "--trainer.steps", "2", "--teacher", str(teacher)]
    pool = ["--coupling", "SelfGenerated", "--coupling.pool", "60", "--coupling.solver", "FixedStep"]
    assert main([*words, *pool, "--network", "MLP", "--network.width", "8"]) == 0
    assert main(["fit", "--resume", "--out", out]) == 0 and pf.load(out).push(x).shape == (5, 2)
    assert main(["fit", "gaussian", "moons-torchdyn", "--out", out + "2", *pool]) == 2
    assert "give init, or teacher" in capsys.readouterr().err


def test_what_does_not_fit_says_so(flow):
    with pytest.raises(InputError, match="deterministic solver"):
        SelfGenerated(SDE())
    with pytest.raises(InputError, match="at least one pair"):
        SelfGenerated(pool=0)
    with pytest.raises(InputError, match="no flow yet"):
        SelfGenerated()(X0, X1)
    with pytest.raises(InputError, match="different units"):
        pf.fit("gaussian", X1, init=trained("gaussian"), teacher=flow, trainer=Trainer(steps=1))
