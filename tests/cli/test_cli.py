"""The command line as a newcomer uses it: every command, in this process, on tiny networks."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from pushforward.cli import configured, main
from pushforward.cli.arguments import arguments_of
from pushforward.cli.main import COMMANDS, module_of
from pushforward.cli.pieces import classes_of, public_classes, ways_to
from pushforward.measures import as_measure
from pushforward.objectives import TimeLaw
from pushforward.training import Diverged, fit

TINY = [
    "--network",
    "MLP",
    "--network.width",
    "8",
    "--network.depth",
    "1",
    "--trainer.steps",
    "5",
    "--trainer.device",
    "cpu",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run on points, one on digits by class, and some data."""
    folder = tmp_path_factory.mktemp("runs")
    np.save(folder / "points.npy", np.random.default_rng(0).normal(size=(40, 2)))
    (folder / "table.csv").write_text("day,a,b\n" + "".join(f"{i % 2},{i / 10},{-i / 7}\n" for i in range(30)))
    before = Path.cwd()
    os.chdir(folder)
    assert main(["fit", "gaussian", "table.csv", "--condition", "day", "--out", "table", "--quiet", *TINY]) == 0
    assert main(["fit", "gaussian", "points.npy", "--out", "run", "--quiet", *TINY, "--trainer.log_every", "1"]) == 0
    os.chdir(before)
    return folder


@pytest.fixture
def here(runs, monkeypatch):
    monkeypatch.chdir(runs)
    return runs


def test_front_page_names_every_command_by_its_own_words(capsys):
    assert main([]) == 0 and main(["--help"]) == 0
    page = capsys.readouterr().out
    for name, about in [item for group in COMMANDS.values() for item in group.items()]:
        assert name in page and about in page
        command = getattr(module_of(name), module_of(name).__name__.rpartition(".")[2], None)
        if callable(command):
            assert (command.__doc__ or "").startswith(about)


@pytest.mark.parametrize("command", ["push", "pull", "log-prob", "evaluate", "report"])
def test_every_argument_is_explained(command, capsys):
    module = module_of(command)
    arguments = arguments_of(getattr(module, module.__name__.rpartition(".")[2]))
    assert all(item.about for item in arguments)
    assert main([command, "--help"]) == 0
    page = capsys.readouterr().out
    assert all(item.flag in page for item in arguments) and "Examples" in page


def test_fit_page_lists_the_pieces_that_there_are(capsys):
    assert main(["fit", "--help"]) == 0
    page = capsys.readouterr().out
    for name in (
        "MLP",
        "UNet",
        "MinibatchOT",
        "BrownianBridge",
        "DormandPrince",
        "--trainer.ema",
        "--resume",
        "Examples",
    ):
        assert name in page
    assert "show_progress" not in page


def test_every_piece_has_a_page(capsys):
    for room, classes in public_classes().items():
        for name, cls in classes.items():
            if ways_to(cls, fit):
                assert main(["help", f"{room}.{name}"]) == 0
                assert name in capsys.readouterr().out


def test_option_help_and_data_help(capsys):
    assert main(["fit", "--objective.time.help"]) == 0
    page = capsys.readouterr().out
    assert all(name in page for name in classes_of(TimeLaw))
    assert main(["fit", "--network.help", "MLP"]) == 0 and "--network.width" in capsys.readouterr().out
    assert main(["help", "data"]) == 0 and "two-gaussians" in capsys.readouterr().out
    assert main(["help", "couplings"]) == 0 and "MinibatchOT" in capsys.readouterr().out


def test_configuration_round_trip(here):
    assert main(["fit", "--config", "run/config.yaml", "--out", "again", "--quiet"]) == 0
    assert (here / "again/config.yaml").read_text() == (here / "run/config.yaml").read_text()
    assert (here / "again/weights.safetensors").read_bytes() == (here / "run/weights.safetensors").read_bytes()


def test_flags_go_before_the_file(here):
    flags = ["--network.width", "4", "--objective.time", "LogitNormal", "--objective.time.mean", "-0.5", "--seed=3"]
    assert main(["fit", "--config", "run/config.yaml", "--out", "other", "--quiet", *flags]) == 0
    config = yaml.safe_load((here / "other/config.yaml").read_text())
    assert config["seed"] == 3 and config["network"]["init_args"]["width"] == 4
    assert config["objective"]["init_args"]["time"]["init_args"]["mean"] == -0.5
    assert config["trainer"]["steps"] == 5


def test_options_of_pieces_that_are_not_named_are_for_those_that_fit_takes_without_one(here):
    flags = ["--objective.time", "LogitNormal", "--path.schedule", "Trig"]
    assert main(["fit", "gaussian", "points.npy", "--out", "unnamed", "--quiet", *TINY, *flags]) == 0
    config = yaml.safe_load((here / "unnamed/config.yaml").read_text())
    assert config["objective"]["class_path"] == "pushforward.objectives.FlowMatching"
    assert config["path"]["class_path"] == "pushforward.paths.Affine"
    assert config["path"]["init_args"]["schedule"]["class_path"] == "pushforward.paths.Trig"
    flags = ["--path.schedule", "VP"]  # a piece that the file names stays
    (here / "bridge.yaml").write_text("path: {class_path: BrownianBridge}\n")
    assert main(["fit", "gaussian", "points.npy", "--config", "bridge.yaml", "--out", "no", *flags]) == 2


def test_short_names_in_a_file_of_ones_own(here, capsys):
    (here / "own.yaml").write_text(
        "source: gaussian\ntarget: points.npy\nnetwork: {class_path: MLP, init_args: {width: 4}}\ntrainer: {steps: 2}\n"
    )
    assert main(["fit", "--config", "own.yaml", "--out", "own"]) == 0
    out = capsys.readouterr().out
    assert "the transport is in own" in out and "pushforward push own gaussian --rows 100" in out
    assert main(["fit", "--resume", "--out", "own", "--trainer.steps", "4", "--quiet"]) == 0
    assert yaml.safe_load((here / "own/config.yaml").read_text())["trainer"]["steps"] == 4


def test_push_pull_and_score(here, capsys):
    assert main(["push", "run", "gaussian", "--rows", "6", "-o", "new.csv", "--seed", "1"]) == 0
    assert main(["push", "run", "gaussian", "--rows", "6", "-o", "same.csv", "--seed", "1"]) == 0
    assert Path("new.csv").read_text() == Path("same.csv").read_text()
    assert main(["pull", "run", "new.csv", "-o", "back.npy"]) == 0
    again = as_measure("gaussian:2").block(0, 6, seed=1).x
    np.testing.assert_allclose(np.load("back.npy"), again, atol=1e-3)
    assert main(["log-prob", "run", "new.csv", "-o", "scored.csv"]) == 0
    printed = float(capsys.readouterr().out.split("log-likelihood ")[1].split()[0])
    column = [float(line.split(",")[-1]) for line in Path("scored.csv").read_text().splitlines()[1:]]
    assert printed == pytest.approx(-np.mean(column), abs=1e-3)
    assert Path("scored.csv").read_text().startswith("x1,x2,log_prob\n")


def test_conditions_from_columns_and_by_hand(here):
    assert main(["push", "table", "table.csv", "-o", "moved.csv", "--steps", "2"]) == 0
    lines = Path("moved.csv").read_text().splitlines()
    assert lines[0] == "a,b,day" and [line.split(",")[-1] for line in lines[1:4]] == ["0", "1", "0"]
    assert main(["push", "table", "gaussian", "--rows", "4", "-c", "day=1,0", "-o", "drawn.csv"]) == 0
    assert [line.split(",")[-1] for line in Path("drawn.csv").read_text().splitlines()[1:]] == ["1", "0", "1", "0"]
    assert main(["push", "table", "gaussian", "--rows", "4", "-c", "day=", "-o", "free.npy"]) == 0


def test_evaluate_and_report(here, capsys):
    assert main(["evaluate", "run", "--rows", "20", "--steps", "1", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads((here / "run/evaluation.json").read_text())
    assert printed["scores"] == kept["scores"] and kept["target"] == "points.npy"
    stamp = (here / "run/evaluation.json").stat().st_mtime_ns
    assert main(["report", "run"]) == 0
    assert (here / "run/evaluation.json").stat().st_mtime_ns == stamp  # it was there already
    page = (here / "run/report.html").read_text()
    assert "gaussian → points.npy" in page and "lipman" in page.lower()
    assert (
        main(["report", "table", "--rows", "12", "-o", "page.html"]) == 0 and (here / "table/evaluation.json").exists()
    )


RECIPE = """
title: A test
about: Nothing is claimed.
paper: {key: a, title: T, authors: A, year: 2020}
experiments:
  one:
    class_path: Fit
    init_args:
      config:
        source: gaussian
        target: two-gaussians
        network: {class_path: MLP, init_args: {width: 4}}
        trainer: {steps: 2}
      evaluation: {rows: 10, steps: [1]}
expect:
  - {value: one/W2, at_most: BOUND, claim: a bound}
"""


def test_recipes(here, capsys):
    for bound, code in (("100", 0), ("0.0001", 1)):
        Path("own-recipe.yaml").write_text(RECIPE.replace("BOUND", bound))
        assert main(["recipe", "run", "own-recipe.yaml", "--seeds", "1", "--record", "figures"]) == code
        out = capsys.readouterr().out
        assert ("missed" in out) == bool(code) and "measured" in out
    assert json.loads(Path("figures/own-recipe.json").read_text())["seeds"] == [0]
    assert main(["recipe", "list"]) == 0 and "ot-cfm" in capsys.readouterr().out
    assert main(["recipe", "show", "ot-cfm"]) == 0
    assert "2302.00482" in capsys.readouterr().out


def test_divergence_is_one_line(here, monkeypatch, capsys):
    def explode(*_, **__):
        raise Diverged("the loss is nan at step 3")

    monkeypatch.setattr(configured, "call_plain", explode)
    assert main(["fit", "gaussian", "points.npy", "--out", "wild"]) == 1
    assert capsys.readouterr().err == "pushforward: diverged: the loss is nan at step 3\n" and not Path("wild").exists()


def test_full_disk_leaves_nothing(here, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main(["fit", "gaussian", "points.npy", "--out", "new/folder/run", *TINY]) == 2
        assert main(["push", "run", "gaussian", "--rows", "3", "-o", "full.npy"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("no space left" in line for line in lines)
    assert not Path("new").exists() and not Path("full.npy").exists()


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


CALL = [sys.executable, "-c", "import sys; from pushforward.cli import main; sys.exit(main())"]


def test_help_does_not_wait_for_torch():
    code = "import sys; from pushforward.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True).returncode == 0


def test_closed_pipe_and_full_output():
    for target in (["|", "head", "-1"], [">", "/dev/full"]):
        if target[0] == ">" and not Path("/dev/full").exists():
            continue
        line = " ".join([shlex.join(CALL), "--help", *target])
        done = subprocess.run(["bash", "-c", line], env=environment(), capture_output=True, text=True)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
        assert done.returncode == (0 if target[0] == "|" else 2)


def test_interrupted_run_goes_on(here):
    log = here / "long/metrics.jsonl"
    line = [
        "fit",
        "gaussian",
        "points.npy",
        "--out",
        "long",
        *TINY,
        "--trainer.steps",
        "1000000",
        "--trainer.log_every",
        "1",
    ]
    process = subprocess.Popen([*CALL, *line], cwd=here, env=environment(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None and not (log.exists() and log.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "pushforward: interrupted: continue with pushforward fit --resume --out long\n"
    steps = len(log.read_text().splitlines()) + 1
    assert main(["fit", "--resume", "--out", "long", "--trainer.steps", str(steps), "--quiet"]) == 0
    assert (here / "long/transport.json").exists()
