"""The harness itself: what it times, what it saves and what it writes. Nothing here looks at a timing."""

import json

import pytest
import torch
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.coupling import assignment, quality
from benchmarks.page import PAGE, page
from benchmarks.problems import network, tables
from benchmarks.sampling import Recorder, by_hand, reference, replay
from benchmarks.timing import Lap, interleave, ratio
from benchmarks.training_step import MarkedStream, Marks

from pushforward.couplings import Independent
from pushforward.maps import Frame
from pushforward.networks import Field
from pushforward.paths import Affine
from pushforward.training import PairStream


def test_rounds_are_interleaved_and_the_first_is_dropped():
    order = []

    def contender(name):
        def run():
            order.append(name)
            return Lap(len(order), 0.0, 0.0)

        return run

    laps = interleave({name: contender(name) for name in "abc"}, rounds=2)
    assert "".join(order) == "abc" + "bca" + "cab"
    assert [list(lap) for lap in laps] == [list("abc")] * 2
    assert [lap["a"].cpu for lap in laps] == [6, 8]


def test_ratios_are_taken_inside_rounds():
    laps = [{"floor": Lap(2.0**k, 1.0, 1.0), "x": Lap(2.0**k * (k + 1), 1.0, 3.0)} for k in range(5)]
    assert ratio(laps, "x", "floor", "cpu") == [2, 3, 4]
    assert ratio(laps, "x", "floor", "wall") == [3, 3, 3]
    assert ratio(laps[:1], "x", "floor", "cpu") == [1, 1, 1]


def test_the_marked_stream_is_the_stream():
    data, frame = tables(2, 200), Frame((2,))
    arguments = (data.source, data.target, Independent(), frame, frame, 8, 2)
    marks = Marks(first=3, steps=4)
    with (
        MarkedStream(*arguments, marks=marks).prefetched(0, 9) as watched,
        PairStream(*arguments).prefetched(0, 9) as plain,
    ):
        for ours, theirs in zip(watched, plain, strict=True):
            torch.testing.assert_close(ours.x0, theirs.x0)
            torch.testing.assert_close(ours.x1, theirs.x1)
    assert len(marks.readings) == 2
    assert marks.readings[0].wall < marks.readings[1].wall


def test_quality_of_a_coupling():
    x0, x1 = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([[3.0], [2.0], [1.0], [0.0]])
    assert quality(assignment, [(x0, x1)]) == {"excess": 0, "distinct": 1}
    # as they come: 9 + 1 + 1 + 9, where random pairs cost 4 * 2.5 on average
    assert quality(lambda x, y: (x, y), [(x0, x1)]) == {"excess": 2, "distinct": 1}
    assert quality(lambda x, y: (x, y[[0, 0, 1, 1]]), [(x0, x1)])["distinct"] == 0.5


def test_replay_makes_the_calls_of_the_solver():
    module = network(2)
    torch.nn.init.normal_(module.last.weight)
    recorder = Recorder(module)
    by_hand(recorder, torch.zeros(3, 2), 4)
    again = Recorder(module)
    replay(again, recorder.calls)
    assert [float(t[0]) for _, t in recorder.calls] == [0, 0.25, 0.5, 0.75]
    for (x, t), (y, s) in zip(recorder.calls, again.calls, strict=True):
        assert torch.equal(x, y)
        assert torch.equal(t, s)


def test_the_reference_flow_is_exact():
    class Growth(torch.nn.Module):
        def forward(self, x, t, condition=None):
            return x * t[:, None]

    x = torch.randn(5, 2)
    end = reference(Field(Growth(), Affine(), (2,), {}), x)
    torch.testing.assert_close(end, x.double() * torch.tensor(0.5, dtype=torch.float64).exp(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_smoke(benchmark, tmp_path, capsys):
    written = tmp_path / "page.md"
    main(
        [
            benchmark.name,
            "--smoke",
            "--rounds",
            "1",
            "--seeds",
            "0",
            "1",
            "--results",
            str(tmp_path),
            "--page",
            str(written),
        ]
    )
    record = json.loads((tmp_path / f"{benchmark.name}.json").read_text())
    assert set(record) == {"benchmark", "date", "machine", "versions", "settings", "rows"}
    assert set(record["machine"]) == {"cpu", "cores", "threads"}  # nothing that names the machine
    assert record["settings"]["smoke"]
    text = written.read_text()
    for name in {row["name"] for row in record["rows"]} - {"data"}:
        assert f"| {name} |" in text or name in ("solver",)
    assert text.count("Not measured yet") == len(BENCHMARKS) - 1
    assert benchmark.question in capsys.readouterr().out


def test_a_wrong_name_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["coupl"])
    assert stop.value.code == 2
    assert "no benchmark is called 'coupl'" in capsys.readouterr().err


def test_a_smoke_run_never_overwrites_the_results(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["coupling", "--smoke", "--page", str(tmp_path / "page.md")])
    assert "--results" in capsys.readouterr().err


@pytest.mark.skipif(not PAGE.exists(), reason="the page is not part of an installed package")
def test_the_page_is_that_of_the_saved_results():
    assert PAGE.read_text() == page(BENCHMARKS)
