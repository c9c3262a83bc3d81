"""What goes wrong by a user's mistake: exit code 2, exactly one line that helps, nothing left behind."""

import importlib
import shlex

import numpy as np
import pytest

from pushforward.cli import main

FIT = "fit gaussian good.npy --out q "


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes")
    rng = np.random.default_rng(0)
    np.save(folder / "good.npy", rng.normal(size=(20, 2)))
    np.save(folder / "wide.npy", rng.normal(size=(20, 3)))
    np.save(folder / "nan.npy", np.array([[1.0, 2.0], [np.nan, 3.0]]))
    np.save(folder / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(folder / "two.npz", a=np.zeros((3, 2)), b=np.ones((3, 2)))
    (folder / "empty.csv").touch()
    (folder / "table.csv").write_text("day,x,y\n1,0.5,2\n2,1.5,3\n")
    (folder / "broken.yaml").write_text("a: [1\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "key.yaml").write_text("source: gaussian\ntarget: good.npy\nnetwrk: {class_path: MLP}\n")
    (folder / "deep.yaml").write_text(
        "source: gaussian\ntarget: good.npy\nnetwork: {class_path: MLP, init_args: {widht: 3}}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["fit", "gaussian", "good.npy", "--out", "run", "--trainer.steps", "1", "--quiet"]) == 0
    return folder


MISTAKES = {
    # commands
    "fits a b": "no command 'fits'; did you mean 'fit'?",
    "help MPL": "did you mean 'MLP'?",
    "help Uniform": "objectives.Uniform or solvers.Uniform",
    # data
    "fit gaussian --out q": "missing TARGET",
    "fit gaussian good.npy": "missing --out RUN",
    FIT + "extra": "got a third: 'extra'",
    "fit gaussian moons-torchdin --out q": "moons-torchdyn",
    "fit gaussian godo.npy --out q": "good.npy",
    "fit gaussian nan.npy --out q": "row 1",
    "fit gaussian empty.csv --out q": "empty.csv is empty",
    "fit wide.npy good.npy --out q": "(3,)",
    "fit gaussian pickled.npy --out q": "pickle",
    "fit gaussian two.npz --out q": "a, b",
    "fit gaussian two.npz:c --out q": "no array 'c'",
    "fit gaussian table.csv:x,z --out q": "no column 'z'",
    "fit gaussian table.csv:dya=1 --out q": "did you mean 'day'?",
    "fit gaussian table.csv --condition dya --out q": "did you mean 'day'?",
    # options
    FIT + "--netwrok MLP": "did you mean '--network'?",
    FIT + "--resum": "did you mean '--resume'?",
    FIT + "--resume=yes": "--resume takes no value",
    FIT + "-x 3": "no option '-x'",
    FIT + "--seed": "--seed needs a value",
    FIT + "--seed 1.5": "seed must be a whole number, got '1.5'",
    FIT + "--predicts velocty": "did you mean 'velocity'?",
    FIT + "--normalise yes": "normalise cannot be 'yes'",
    # pieces
    FIT + "--network MPL": "no class 'MPL'; did you mean 'MLP'?",
    FIT + "--network MLP --network.widht 3": "did you mean 'width'?",
    FIT + "--network MLP --network.width abc": "network.width must be a whole number, got 'abc'",
    FIT + "--network.width 3": "DiT, MLP)",
    FIT + "--network UNet": "UNet takes images",
    FIT + "--network torch.nn.Linear --network.in_features 2 --network.out_features 2": "cannot be 'torch.nn.Linear'",
    FIT + "--coupling MLP": "wanted Corruption | GibbsWeights | Independent |",
    FIT + "--coupling no.such.Thing": "no class 'no.such.Thing'",
    FIT + "--coupling MinibatchOT --coupling.method entropic": "needs a positive epsilon",
    FIT + "--objective FlowMatching --objective.time LogitNorml": "did you mean 'LogitNormal'?",
    FIT + "--objective FlowMatching --objective.time LogitNormal --objective.time.meen 2": "did you mean 'mean'?",
    FIT + "--objective.tim LogitNormal": "did you mean 'time'?",
    FIT + "--path.schedul Trig": "did you mean 'schedule'?",
    FIT + "--solver DormandPrince --solver.tolerance -1": "tolerance must be positive",
    FIT + "--trainer.stesp 3": "did you mean 'steps'?",
    FIT + "--trainer.steps x": "trainer.steps must be a whole number",
    FIT + "--trainer.steps 0": "trainer.steps must be at least 1",
    FIT + "--trainer.precision float16": "did you mean 'bfloat16'?",
    # configuration files and run directories
    "fit --config none.yaml --out q": "no such file",
    "fit --config broken.yaml --out q": "broken.yaml is not YAML, line 2",
    "fit --config list.yaml --out q": "wanted a mapping",
    "fit --config key.yaml --out q": "did you mean 'network'?",
    "fit --config deep.yaml --out q": "did you mean 'width'?",
    "fit gaussian good.npy --out run": "already holds a run",
    "fit gaussian good.npy --out good.npy": "is a file",
    "fit gaussian good.npy --out good.npy/x": "cannot make the directory",
    "fit --resume --out q": "is not a run",
    "fit --resume --out run --seed 3": "its seed was 0, now 3",
    FIT + "--resume --overwrite": "exclude each other",
    # the other commands
    "push": "missing RUN and INPUT and --output: pushforward push RUN INPUT -o OUTPUT",
    "push runs gaussian --rows 3 -o q": "did you mean 'run'?",
    "push . gaussian --rows 3 -o q": "holds no transport",
    "push run gaussian -o q.csv": "--rows N",
    "push run gaussian --rows x -o q.csv": "--rows must be a whole number, got 'x'",
    "push run gaussian --rows 0 -o q.csv": "--rows must be at least 1",
    "push run gaussian --rows 3 -o q.cvs": "did you mean '.csv'?",
    "push run gaussian --rows 3 -o none/q.csv": "there is no folder 'none'",
    "push run gaussian --rows 3 -o q.csv --stpes 3": "did you mean '--steps'?",
    "push run gaussian --rows 3 -o q.csv --steps 0": "steps must be a positive integer",
    "push run gaussian --rows 3 -o q.csv --steps 3 --tolerance 1e-3": "exclude each other",
    "push run gaussian --rows 3 -o q.csv --method eulr": "did you mean 'euler'?",
    "push run gaussian --rows 3 -o q.csv --condition day=1": "has no condition",
    "push run gaussian --rows 3 -o q.csv extra": "takes no 'extra'",
    "push run wide.npy -o q.csv": "(3,)",
    "push run nan.npy -o q.csv": "row 1",
    "pull run good.npy -o q.csv --method euler-maryama": "--method cannot be",
    "log-prob run good.npy -o q.npy": "no room for the columns log_prob",
    "evaluate run --target wide.npy --rows 4": "both must agree",
    "report run -o none/q.html --rows 4": "there is no folder",
    "recipe": "list | show | run | table",
    "recipe shw": "did you mean 'show'?",
    "recipe show ot-cmf": "did you mean 'ot-cfm'?",
    "recipe run": "name the recipes",
    "recipe run ot-cfm --seeds 0": "--seeds must be at least 1",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake(line, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    assert main(shlex.split(line)) == 2
    said = capfd.readouterr()
    assert said.err.startswith("pushforward: error: ") and said.err.count("\n") == 1, said.err
    assert MISTAKES[line] in said.err
    assert sorted(path.name for path in folder.iterdir()) == before


def test_debug_shows_where_it_came_from(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["push", "run", "nan.npy", "-o", "q.csv", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_programming_errors_are_not_hidden(monkeypatch):
    monkeypatch.setattr(importlib.import_module("pushforward.cli.main"), "_command", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([])
