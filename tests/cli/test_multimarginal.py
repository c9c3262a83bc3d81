"""Flows between several distributions, from the command line."""

import numpy as np
import pytest

from pushforward import load
from pushforward.cli import main
from pushforward.maps import FlowTransport, MultimarginalTransport

FAST = [
    "--network",
    "MLP",
    "--network.width",
    "16",
    "--trainer.steps",
    "20",
    "--trainer.batch_size",
    "32",
    "--trainer.log_every",
    "5",
    "--quiet",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(0)
    for day in range(3):
        np.savetxt(folder / f"day{day}.csv", rng.normal(day, 1, (60, 2)), delimiter=",", header="x,y", comments="")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["multimarginal", "day0.csv", "day1.csv", "day2.csv", "--out", "days", *FAST]) == 0
        yield folder


def test_a_flow_between_any_two_is_taken_out_and_used(folder):
    assert isinstance(load(folder / "days"), MultimarginalTransport)
    assert main(["between", "days", "2", "0", "-o", "back"]) == 0
    assert isinstance(load(folder / "back"), FlowTransport)
    assert main(["push", "back", "day2.csv", "-o", "pushed.csv"]) == 0
    assert np.loadtxt(folder / "pushed.csv", delimiter=",", skiprows=1).shape == (60, 2)
    assert main(["evaluate", "back", "--rows", "40"]) == 0


def test_the_cheapest_route_is_saved_with_the_flow(folder):
    assert main(["between", "days", "0", "2", "--route", "cheapest", "-o", "cheap"]) == 0
    route = load(folder / "cheap").field.route
    assert route.start == (1.0, 0.0, 0.0) and route.end == (0.0, 0.0, 1.0)


def test_a_run_goes_on(folder):
    assert main(["multimarginal", "--resume", "--out", "days", "--trainer.steps", "25", "--quiet"]) == 0
    assert '"step": 25' in (folder / "days" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("multimarginal --out q", "missing MARGINALS"),
        ("multimarginal day0.csv --out q", "got 1"),
        ("multimarginal day0.csv godo.csv --out q", "godo.csv"),
        ("between days 0 3 -o q", "there is no marginal 3"),
        ("between days 0 0 -o q", "two different marginals"),
        ("between back 0 1 -o q", "for multimarginal runs"),
    ],
)
def test_mistakes_are_told_in_one_line(folder, capsys, words, line):
    main(["between", "days", "2", "0", "-o", "back"])
    capsys.readouterr()
    assert main(words.split()) == 2
    error = capsys.readouterr().err.strip()
    assert line in error and "\n" not in error
    assert not (folder / "q").exists()
