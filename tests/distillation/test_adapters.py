"""Distillations carried by low-rank adapters, kept alone and given to siblings."""

from __future__ import annotations

import json

import pytest
import torch

import pushforward as pf
from pushforward.cli.main import main
from pushforward.distillation import ConsistencyDistillation, MeanFlowDistillation, Plugged, Reflow, save_adapter
from pushforward.errors import InputError
from pushforward.networks import MLP, LoRA, Residual, ToEnd, changed_layers
from pushforward.storage import read_tensors
from pushforward.training import Trainer

X = torch.randn(50, 2, generator=torch.Generator().manual_seed(5))
SHORT = Trainer(steps=5, batch_size=32, warmup=0, learning_rate=1e-2, ema=0)
SIDES = {"source": "gaussian", "target": "moons-torchdyn"}
METHODS = {"consistency": ConsistencyDistillation(), "meanflow": MeanFlowDistillation()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A flow, two students of it through adapters, and a sibling fine-tuned from it."""
    folder = tmp_path_factory.mktemp("runs")
    flow = pf.fit(*SIDES.values(), network=MLP(width=16), trainer=SHORT, out=folder / "flow")
    for name, method in METHODS.items():
        pf.distil(folder / "flow", method, adapter=LoRA(rank=2), steps=2, trainer=SHORT, out=folder / name)
    pf.fit(*SIDES.values(), init=flow, trainer=SHORT, seed=3, out=folder / "sibling")
    return folder


def pushed(flow, steps=None):
    return flow.push(X, steps=steps, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", METHODS)
def test_of_its_own_teacher_it_makes_the_student(runs, method):
    made = pf.distil(runs / "flow", Plugged(str(runs / method / "adapter")), steps=2)
    student = pf.load(runs / method)
    torch.testing.assert_close(pushed(made), pushed(student), atol=1e-5, rtol=1e-5)
    assert changed_layers(student.field.network) and not changed_layers(made.field.network)
    assert (pushed(made) - pf.load(runs / "flow").push(X, steps=2, method="euler")).abs().max() > 1e-3


def test_without_changes_it_is_the_teacher(runs):
    made = pf.distil(runs / "flow", Plugged(str(runs / "consistency" / "adapter"), scale=0.0), steps=1)
    torch.testing.assert_close(pushed(made), pf.load(runs / "flow").push(X, steps=1, method="euler"))
    assert isinstance(made.field.architecture, ToEnd)


def test_a_sibling_changes_as_the_adapter_says(runs, tmp_path):
    folder = runs / "consistency" / "adapter"
    pf.distil(runs / "sibling", Plugged(str(folder), scale=0.5), steps=2, out=tmp_path / "made")
    made, sibling = pf.load(tmp_path / "made"), pf.load(runs / "sibling")
    tensors, _ = read_tensors(folder / "adapter_model.safetensors")
    down, up = (tensors[f"base_model.model.network.hidden.0.lora_{which}.weight"] for which in "AB")
    wanted = sibling.field.network.hidden[0].weight + 0.5 * up @ down
    torch.testing.assert_close(made.field.network.network.hidden[0].weight, wanted)
    assert made.solve(X, generator=torch.Generator()).evaluations == 2


def test_adapter_is_kept_alone(runs):
    folder = runs / "consistency" / "adapter"
    tensors, _ = read_tensors(folder / "adapter_model.safetensors")
    assert all(".lora_" in name for name in tensors)
    config = json.loads((folder / "adapter_config.json").read_text())
    layers = {"network.first", "network.hidden.0", "network.hidden.1", "network.last"}
    assert config["r"] == 2 and set(config["target_modules"]) == layers


@pytest.mark.slow
def test_peft_reads_it(runs):
    """The same changes of the layers, by the library whose file format it is."""
    peft = pytest.importorskip("peft")
    student, made = pf.load(runs / "consistency"), pf.distil(
        runs / "flow", Plugged(str(runs / "consistency" / "adapter"), scale=0.0), steps=1
    )  # fmt: skip
    network = peft.PeftModel.from_pretrained(made.field.network, str(runs / "consistency" / "adapter"))
    t = torch.rand(50)
    found = network.get_base_model().mean_velocity(X, t, torch.ones(50))
    torch.testing.assert_close(found, student.field.mean_velocity(X, t, torch.ones(50)), atol=1e-5, rtol=1e-5)


def test_every_round_of_a_reflow_goes_on_with_the_changes(runs, tmp_path):
    data = SIDES | {"trainer": SHORT}
    student = pf.distil(
        runs / "flow", Reflow(rounds=2, pool=100), adapter=LoRA(rank=2), steps=2, out=tmp_path / "two", **data
    )
    flow, first = pf.load(runs / "flow"), pf.load(tmp_path / "two" / "stages" / "round-1")
    one, two = (changed_layers(each.field.network)["last"].up for each in (first, student))
    assert not torch.equal(one, two)
    last = student.field.network.last.parametrizations.weight.original
    assert torch.equal(last, flow.field.network.last.weight)


def test_what_does_not_fit_says_so(runs, tmp_path):
    with pytest.raises(InputError, match="is missing"):
        pf.distil(runs / "sibling", Plugged(str(runs / "flow")), steps=2)
    other = pf.fit(*SIDES.values(), network=MLP(width=8), trainer=SHORT)
    with pytest.raises(InputError, match="do not fit beside low-rank changes"):
        pf.distil(other, Plugged(str(runs / "consistency" / "adapter")), steps=2, **SIDES)
    with pytest.raises(InputError, match="no low-rank changes to save"):
        save_adapter(other, tmp_path)
    with pytest.raises(InputError, match="Residual cannot carry what ToEnds makes"):
        pf.distil(runs / "flow", ConsistencyDistillation(), adapter=Residual(), trainer=SHORT)


@pytest.mark.usefixtures("small_reports")
def test_from_the_command_line(runs, tmp_path):
    short = ["--trainer.steps", "2", "--trainer.batch_size", "8", "--steps", "2"]
    carried = ["--method", "consistency", "--adapter", "LoRA", "--adapter.rank", "2"]
    assert main(["distil", str(runs / "flow"), *short, *carried, "--out", str(tmp_path / "one")]) == 0
    plugged = ["--method", "plugged", "--method.adapter", str(tmp_path / "one" / "adapter")]
    assert main(["distil", str(runs / "sibling"), *short, *plugged, "--out", str(tmp_path / "two")]) == 0
    assert main(["push", str(tmp_path / "two"), "gaussian", "--rows", "5", "-o", str(tmp_path / "made.csv")]) == 0
