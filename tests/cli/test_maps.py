"""Transports that are not flows, from the command line: a map made of a plan, and one between Gaussians."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.maps import GaussianMap
from pushforward.measures import read


@pytest.fixture
def here(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for name, points in (("a", random.normal(size=(60, 2))), ("b", 0.5 * random.normal(size=(60, 2)) + 2)):
        np.savetxt(tmp_path / f"{name}.csv", points, delimiter=",", header="u,v", comments="")
    monkeypatch.chdir(tmp_path)
    assert main(["ot", "a.csv", "b.csv", "--map", "plan"]) == 0
    x, y = read("a.csv").x, read("b.csv").x
    GaussianMap.fit(x, y).save("gaussian")
    return x, y


@pytest.mark.parametrize("run", ["plan", "gaussian"])
def test_push_and_pull_are_those_of_the_library(here, run):
    x, y = here
    for command, start in (("push", "a.csv"), ("pull", "b.csv")):
        assert main([command, run, start, "-o", "moved.csv"]) == 0
        assert Path("moved.csv").read_text().startswith("u,v\n") or run == "gaussian"
        wanted = getattr(pf.load(run), command)(x if command == "push" else y)
        torch.testing.assert_close(read("moved.csv").x, wanted, atol=1e-5, rtol=1e-5)


def test_evaluation_of_the_exact_plan_is_perfect_on_its_own_points(here, capsys):
    assert main(["evaluate", "plan", "--rows", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = {score["name"]: score for score in found["scores"]}
    assert scores["W2"]["value"] < scores["W2"]["baseline"] and found["curves"] == {} and found["likelihood"] == {}
    assert found["paths"]["straightness"] == pytest.approx(0, abs=1e-9)
    assert found["paths"]["path energy"] == pytest.approx(found["paths"]["transport cost"], rel=1e-6)
    assert main(["evaluate", "plan", "--rows", "30"]) == 0 and "evaluations" not in capsys.readouterr().out
    assert main(["evaluate", "gaussian", "--source", "a.csv", "--target", "b.csv", "--rows", "30"]) == 0


@pytest.mark.parametrize(
    "line, message",
    [
        ("push plan a.csv -o q.csv --steps 3", "--steps has no effect on this transport"),
        ("pull plan b.csv -o q.csv --method euler", "--method has no effect"),
        ("push plan a.csv -o q.csv -c day=1", "this transport has no condition"),
        ("log-prob plan b.csv", "PlanTransport has no density"),
        ("report plan", "has no paths to show"),
    ],
)
def test_what_a_map_does_not_do_is_said(here, line, message, capsys):
    capsys.readouterr()
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not Path("q.csv").exists()
