"""What distillation changed in the weights of one flow, added to another."""

import pytest
import torch

import pushforward as pf
from pushforward.distillation import PerFlow, Transplant
from pushforward.errors import InputError
from pushforward.networks import MLP
from pushforward.training import Trainer

X = torch.randn(50, 2, generator=torch.Generator().manual_seed(5))
SHORT = Trainer(steps=5, batch_size=32, warmup=0, learning_rate=1e-2, ema=0)
SIDES = {"source": "gaussian", "target": "moons-torchdyn"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A flow, its student, and a sibling fine-tuned from it."""
    folder = tmp_path_factory.mktemp("runs")
    flow = pf.fit(*SIDES.values(), network=MLP(width=16), trainer=SHORT, out=folder / "flow")
    pf.distil(folder / "flow", PerFlow(2), steps=2, trainer=SHORT, out=folder / "student")
    pf.fit(*SIDES.values(), init=flow, trainer=SHORT, seed=3, out=folder / "sibling")
    return folder


def test_of_its_own_teacher_it_makes_the_student(runs):
    made = pf.distil(runs / "flow", Transplant(str(runs / "student")), steps=2)
    torch.testing.assert_close(made.push(X), pf.load(runs / "student").push(X))
    nothing = pf.distil(runs / "flow", Transplant(str(runs / "student"), scale=0.0), steps=4)
    torch.testing.assert_close(nothing.push(X), pf.load(runs / "flow").push(X, steps=4, method="euler"))
    assert nothing.solve(X).evaluations == 4


def test_a_sibling_changes_as_its_weights_say(runs, tmp_path):
    student, flow, sibling = (pf.load(runs / name) for name in ("student", "flow", "sibling"))
    pf.distil(runs / "sibling", Transplant(str(runs / "student")), steps=2, out=tmp_path / "made")
    made = pf.load(tmp_path / "made")
    weights = [dict(each.field.named_parameters()) for each in (made, student, flow, sibling)]
    plain = "network.first.weight"
    change = weights[1]["network.network.first.weight"] - weights[2][plain]
    torch.testing.assert_close(weights[0]["network.network.first.weight"], weights[3][plain] + change)
    assert made.field.boundaries == (0.5,) and change.abs().max() > 1e-3


def test_what_does_not_fit_says_so(runs):
    with pytest.raises(InputError, match="holds no transport"):
        pf.distil(runs / "sibling", Transplant(str(runs / "flow")), steps=2)
    other = pf.fit(*SIDES.values(), network=MLP(width=8), trainer=SHORT)
    with pytest.raises(InputError, match="weights differ, first network"):
        pf.distil(other, Transplant(str(runs / "student")), steps=2, **SIDES)
