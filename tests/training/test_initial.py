"""Going on from a trained transport."""

from __future__ import annotations

import pytest
import torch

import pushforward as pf
from pushforward.cli.main import main
from pushforward.errors import InputError
from pushforward.networks import MLP
from pushforward.objectives import FlowMatching, Slowed
from pushforward.paths import VP, Affine
from pushforward.training import Trainer

X1 = 5 + 2 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
LABEL = torch.arange(200) % 2


def trainer(steps, **options):
    return Trainer(steps=steps, batch_size=32, warmup=0, decay="constant", **options)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    out = tmp_path_factory.mktemp("base") / "run"
    pf.fit("gaussian", X1, network=MLP(width=16, depth=2), trainer=trainer(20), path=Affine(VP()), out=out)
    return out


def test_it_begins_where_the_other_ended(base):
    """With a rate of next to nothing the fit is the transport that it began with, in the same units."""
    first, x = pf.load(base), torch.randn(50, 2)
    before = first.push(x)
    after = pf.fit("gaussian", 3 * X1, init=first, trainer=trainer(2, learning_rate=1e-12))
    torch.testing.assert_close(after.push(x), before)
    assert isinstance(after.field.path, Affine) and after.field.path.schedule == VP()
    moved = pf.fit("gaussian", X1, init=base, trainer=trainer(5, learning_rate=1e-2)).push(x)
    assert (moved - before).abs().max() > 1e-3
    torch.testing.assert_close(first.push(x), before)  # and leaves that one as it is
    fresh = pf.fit("gaussian", 3 * X1, trainer=trainer(1, learning_rate=1e-12))
    assert not torch.equal(fresh.target_frame.scale, after.target_frame.scale)


def test_saves_loads_and_resumes(base, tmp_path):
    def train(out, steps, resume=False):
        options = trainer(steps, checkpoint_every=2)
        return pf.fit(
            "gaussian", X1, init=base, objective=FlowMatching(Slowed()), trainer=options, out=out, resume=resume
        )

    whole, x = train(tmp_path / "whole", 4), torch.randn(5, 2)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    torch.testing.assert_close(pf.load(tmp_path / "parts").push(x), whole.push(x), rtol=0, atol=0)


def test_from_the_command_line(base, tmp_path, capsys):
    table = tmp_path / "x.csv"
    table.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in X1.tolist()))
    out = str(tmp_path / "run")
    words = ["fit", "gaussian", str(table), "--out", out, "--init", str(base), "--trainer.steps", "2"]
    assert main([*words, "--objective", "FlowMatching", "--objective.time", "Slowed"]) == 0
    assert main(["fit", "--resume", "--out", out]) == 0
    assert main([*words[:4], out + "2", *words[5:], "--network", "MLP"]) == 2
    assert "leave out network" in capsys.readouterr().err


def test_what_does_not_fit_says_so(base, tmp_path):
    options = {"init": base, "trainer": trainer(1)}
    with pytest.raises(InputError, match="leave out path"):
        pf.fit("gaussian", X1, path=Affine(), **options)
    with pytest.raises(InputError, match="leave out predicts"):
        pf.fit("gaussian", X1, predicts="data", **options)
    with pytest.raises(InputError, match="other conditions"):
        pf.fit("gaussian", X1, condition=LABEL, **options)
    with pytest.raises(InputError, match=r"shape \(2,\)"):
        pf.fit("gaussian", torch.randn(9, 3), **options)
    with pytest.raises(InputError, match="holds no transport"):
        pf.fit("gaussian", X1, init=tmp_path / "nowhere")


def test_score_is_gone_with_pairs_that_have_none(base):
    first, t = pf.load(base), torch.full((3,), 0.5)
    first.field.score(torch.zeros(3, 2), t)
    after = pf.fit(torch.randn(100, 2), X1, init=first, trainer=trainer(1))
    with pytest.raises(InputError, match="score"):
        after.field.score(torch.zeros(3, 2), t)
