"""`pushforward ot` as a newcomer uses it: what it prints, the files it leaves, and what it says of mistakes."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

import ot as pot
import pushforward as pf
from pushforward.cli import main
from pushforward.cli.arguments import arguments_of
from pushforward.cli.ot import ot
from pushforward.measures import Empirical, as_measure, read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ot")
    random = np.random.default_rng(0)
    before, after = random.normal(size=(40, 2)), 0.5 * random.normal(size=(30, 2)) + 1
    np.savetxt(folder / "before.csv", before, delimiter=",", header="u,v", comments="")
    np.savetxt(folder / "after.csv", np.c_[after, np.arange(30)], delimiter=",", header="u,v,w", comments="")
    np.save(folder / "wide.npy", random.normal(size=(20, 3)))
    np.save(folder / "images.npy", random.normal(size=(20, 1, 4, 4)))
    np.save(folder / "nan.npy", np.array([[1.0, 2.0], [np.nan, 3.0]]))
    (folder / "kept").mkdir()
    (folder / "kept" / "config.yaml").write_text("source: gaussian\n")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def figures(page: str) -> dict[str, str]:
    """The figures of a page, as they are printed."""
    rows = [line.split("  ") for line in page.splitlines() if line.startswith("  ") and "pushforward" not in line]
    return {row[1]: next(part for part in row[2:] if part).strip() for row in rows}


def cloud(text: str) -> tuple[np.ndarray, np.ndarray]:
    measure = read(text)
    assert isinstance(measure, Empirical)
    weight = np.full(len(measure), 1 / len(measure)) if measure.weight is None else measure.weight.numpy()
    return measure.x.double().numpy(), weight


@pytest.mark.parametrize("target", ["after.csv:u,v", "after.csv:u,v:@w", "after.csv:u,v:w=3,4,5"])
def test_value_and_distance_are_those_of_the_linear_program(here, target, capsys):
    assert main(["ot", "before.csv", target, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (x, a), (y, b) = cloud("before.csv"), cloud(target)
    value = pot.emd2(a, b, pot.dist(x, y))
    assert found["value"] == pytest.approx(value, rel=1e-9) and found["W2"] == pytest.approx(value**0.5, rel=1e-9)
    assert abs(found["duality gap"]) < 1e-9 and found["marginal error"] < 1e-9 and found["converged"] is True
    assert found["entries"] <= len(x) + len(y) - 1 and found["source"] == "before.csv" and found["target"] == target


def test_page_is_aligned_and_says_what_each_figure_means(here, capsys):
    assert main(["ot", "before.csv", "after.csv:u,v"]) == 0
    page = capsys.readouterr().out
    assert page.splitlines()[0] == "before.csv (40 points) onto after.csv:u,v (30 points), 2 features"
    found = figures(page)
    assert float(found["W2"]) == pytest.approx(float(found["value"]) ** 0.5, rel=1e-5)
    assert found["converged"] == "yes" and found["method"] == "exact" and found["time"].endswith(" s")
    assert "objective" not in found and "epsilon" not in found  # nothing but the cost was minimised
    starts = {line.index(value) for line in page.splitlines()[2:] for name, value in found.items() if name in line[:16]}
    assert len(starts) == 1
    assert all(words in page for words in ("the Wasserstein distance", "of 1,200", "the best plan is better by"))


def test_entropic_figures(here, capsys):
    assert main(["ot", "before.csv", "after.csv:u,v", "--epsilon", "0.1 mean", "--tolerance", "1e-9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (x, a), (y, b) = cloud("before.csv"), cloud("after.csv:u,v")
    cost = pot.dist(x, y)
    assert found["epsilon"] == pytest.approx(0.1 * cost.mean())
    plan = pot.sinkhorn(a, b, cost, found["epsilon"], "sinkhorn_log", 100_000, 1e-12)
    assert found["value"] == pytest.approx((plan * cost).sum(), rel=1e-6) and "W2" not in found
    divergence = (plan * np.log(plan / np.outer(a, b))).sum()
    assert found["objective"] == pytest.approx((plan * cost).sum() + found["epsilon"] * divergence, rel=1e-6)
    assert found["rms distance"] == pytest.approx(found["value"] ** 0.5)


def test_partial_and_unbalanced_figures(here, capsys):
    assert main(["ot", "before.csv", "after.csv:u,v", "--epsilon", "0.1", "--mass", "0.25", "--json"]) == 0
    part = json.loads(capsys.readouterr().out)
    assert part["mass moved"] == pytest.approx(0.25, abs=1e-5)
    assert part["rms distance"] == pytest.approx((part["value"] / part["mass moved"]) ** 0.5)
    for price, bounds in (("100", (0.9, 1.1)), ("0.2", (0.01, 0.7)), ("inf,0.2", (0.999, 1.001))):
        assert main(["ot", "before.csv", "after.csv:u,v", "--epsilon", "0.1", "--unbalanced", price, "--json"]) == 0
        assert bounds[0] < json.loads(capsys.readouterr().out)["mass moved"] < bounds[1]


def test_other_costs(here, capsys):
    assert main(["ot", "before.csv", "after.csv:u,v", "--cost", "PNorm p=1 power=1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (x, a), (y, b) = cloud("before.csv"), cloud("after.csv:u,v")
    assert found["value"] == pytest.approx(pot.emd2(a, b, pot.dist(x, y, "cityblock"))) and "W2" not in found
    assert main(["ot", "before.csv", "after.csv:u,v", "--cost", "PNorm p=inf"]) == 0
    assert "the sum of mass times PNorm(p=inf" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--epsilon", "0.5"]])
def test_plan_file_holds_the_plan(here, options, tmp_path):
    file = tmp_path / "plan.npz"
    assert main(["ot", "before.csv", "after.csv:u,v:@w", *options, "-o", str(file)]) == 0
    with np.load(file, allow_pickle=False) as plan:
        held = {name: plan[name] for name in plan.files}
    (x, a), (y, b) = cloud("before.csv"), cloud("after.csv:u,v:@w")
    assert set(held) == set("ijfgabxy") | {"mass", "description"}
    np.testing.assert_allclose(held["x"], x)
    np.testing.assert_allclose(held["b"], b)
    np.testing.assert_allclose(np.bincount(held["i"], held["mass"], 40), a, atol=2e-6)
    np.testing.assert_allclose(np.bincount(held["j"], held["mass"], 30), b, atol=2e-6)
    description = json.loads(str(held["description"]))
    cost = pot.dist(x, y)
    assert held["mass"] @ cost[held["i"], held["j"]] == pytest.approx(description["value"], rel=1e-5)
    assert a @ held["f"] == pytest.approx(b @ held["g"], abs=1e-8)
    if not options:
        assert description["W2"] > 0 and (held["f"][:, None] + held["g"] <= cost + 1e-9).all()


def test_threshold_leaves_out_a_share_of_the_mass(here, tmp_path):
    for share in ("0", "0.01"):
        file = tmp_path / f"{share}.npz"
        line = f"{PAIR} --epsilon 0.5 --threshold {share} -o {shlex.quote(str(file))}"
        assert main(shlex.split(line)) == 0
    whole, part = (np.load(tmp_path / f"{share}.npz") for share in ("0", "0.01"))
    assert len(whole["mass"]) == 1200 > len(part["mass"])
    assert 0.99 <= part["mass"].sum() < whole["mass"].sum() == pytest.approx(1)


def test_map_is_a_transport(here, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["ot", "before.csv", "after.csv:u,v", "--epsilon", "0.5", "--map", str(run)]) == 0
    assert f"pushforward push {run} before.csv -o moved.csv" in capsys.readouterr().out
    transport = pf.load(run)
    x, y = (read(text).x for text in ("before.csv", "after.csv:u,v"))
    plan = pf.ot.solve(x.double(), y.double(), epsilon=0.5)
    torch.testing.assert_close(transport.push(x.double()), plan.barycentric_map(), atol=1e-5, rtol=0)
    assert list(transport.names) == ["u", "v"] and (run / "config.yaml").read_text().startswith("source: before.csv\n")


def test_images_keep_their_shape(here, tmp_path):
    assert main(["ot", "images.npy", "gaussian", "--rows", "20", "--map", str(tmp_path / "run")]) == 0
    assert pf.load(tmp_path / "run").push(torch.zeros(2, 1, 4, 4)).shape == (2, 1, 4, 4)


def test_rows_are_drawn_by_seed_and_differ_between_the_sides(here, capsys):
    values = []
    for seed in ("0", "0", "1"):
        assert main(["ot", "gaussian:2", "gaussian:2", "--rows", "15", "--seed", seed, "--json"]) == 0
        values.append(json.loads(capsys.readouterr().out)["value"])
    assert values[0] == values[1] != values[2] and min(values) > 0
    sides = [as_measure("gaussian:2").block(k, 15, seed=1).x.double() for k in (0, 1)]
    assert values[2] == pytest.approx(float(pf.ot.solve(*sides).value))


@pytest.mark.filterwarnings("default::pushforward.errors.ConvergenceWarning")
def test_stopping_early_is_a_warning(here, capsys):
    line = "ot before.csv after.csv:u,v --epsilon 0.02 --method sinkhorn --max-iterations 2 --tolerance 1e-9"
    assert main(shlex.split(line)) == 0
    said = capsys.readouterr()
    assert figures(said.out)["converged"] == "no" and "--max-iterations" in said.out
    assert said.err.startswith("pushforward: warning: ") and said.err.count("\n") == 1 and "1.00e-09" in said.err


def test_help_explains_every_option(capsys):
    assert main(["ot", "--help"]) == 0 and main(["help", "ot"]) == 0
    page = capsys.readouterr().out
    assert all(item.about and item.flag in page for item in arguments_of(ot)) and "Examples" in page


PAIR = "ot before.csv after.csv:u,v "

MISTAKES = {
    "ot": "missing SOURCE and TARGET: pushforward ot SOURCE TARGET [options]",
    "ot before.csv": "missing TARGET",
    "ot before.csv afte.csv": "did you mean 'after.csv'",
    "ot before.csv wide.npy": "before.csv has rows of shape (2,) but wide.npy has rows of shape (3,)",
    "ot before.csv nan.npy": "row 1",
    "ot before.csv gaussian": "gaussian has no rows of its own: say how many to draw with --rows N",
    "ot gaussian gaussian --rows 3": "gaussian:2",
    PAIR + "extra": "ot takes no 'extra'",
    PAIR + "--rows 0": "--rows must be at least 1",
    PAIR + "--epsilon": "--epsilon needs a value",
    PAIR + "--epsilon none": "--epsilon must be a number, got 'none'",
    PAIR + "--epsilon '0.1 average'": "mean, max, std",
    PAIR + "--epsilon -1": "epsilon must be positive",
    PAIR + "--epsilon '0 mean'": "positive",
    PAIR + "--cost PNrm": "did you mean 'PNorm'?",
    PAIR + "--cost 'PNorm q=1'": "PNorm has no option 'q'",
    PAIR + "--cost 'PNorm p=abc'": "cost.p must be a number, got 'abc'",
    PAIR + "--cost 'PNorm 1'": "NAME=VALUE",
    PAIR + "--cost 'PNorm p=0.5'": "at least 1",
    PAIR + "--method sinkhrn": "did you mean 'sinkhorn'?",
    PAIR + "--method sinkhorn": "needs epsilon",
    PAIR + "--tolerance 2": "tolerance must lie between 0 and 1",
    PAIR + "--max-iterations x --epsilon 1": "--max-iterations must be a whole number",
    PAIR + "--mass 2 --epsilon 1": "mass must lie between 0 and 1",
    PAIR + "--mass 0.5 --unbalanced 1 --epsilon 1": "exclude each other",
    PAIR + "--unbalanced 1": "--unbalanced needs --epsilon",
    PAIR + "--unbalanced 1,2,3 --epsilon 1": "one price or two",
    PAIR + "--unbalanced -1 --epsilon 1": "positive price",
    PAIR + "--quadratic -1": "positive",
    PAIR + "--quadratic 1 --k-sparse 3,1": "exclude each other",
    PAIR + "--k-sparse 3": "K,GAMMA",
    PAIR + "--quadratic 1 --map q": "--map needs an exact plan or one with --epsilon",
    PAIR + "--threshold 1": "share of the mass",
    PAIR + "-o q.csv": "written as .npz",
    PAIR + "-o none/q.npz": "there is no folder 'none'",
    PAIR + "--map kept": "already holds a run",
    PAIR + "--map before.csv": "is a file",
    PAIR + "--epsilno 1": "did you mean '--epsilon'?",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake_is_one_line_and_leaves_nothing(line, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in Path().iterdir())
    assert main(shlex.split(line)) == 2
    said = capfd.readouterr()
    assert said.err.startswith("pushforward: error: ") and said.err.count("\n") == 1 and not said.out, said
    assert MISTAKES[line] in said.err
    assert sorted(path.name for path in Path().iterdir()) == before
