"""What is in the file: every section, nothing from outside, nothing that text could smuggle in."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from pushforward.errors import InputError
from pushforward.metrics import Score
from pushforward.randomness import seeded
from pushforward.report import QualityCurve, ReportData, render, write_report
from pushforward.report.images import tile
from pushforward.report.projection import fit_projection

PAGE = Path(__file__).parents[2] / "docs" / "report.md"
SECTIONS = ("samples", "scores", "paths", "quality", "training", "configuration", "citations")
VOID = {"meta", "img", "input", "br"}
LOADS = ("src", "href", "xlink:href", "action", "data", "poster", "srcset")


class Checker(HTMLParser):
    """Collects identifiers and addresses, and checks that elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses, self.images = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[name] for name in LOADS if values.get(name)]
        self.images += [values] if tag == "img" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def small(**changes):
    x = torch.randn(20, 2, generator=seeded(0))
    return dataclasses.replace(ReportData("t", {}, source=x, target=x + 1, pushed=x + 1.1), **changes)


@pytest.fixture(scope="module", params=["plane", "space", "images"])
def page(request, pages):
    return pages(request.param)


def test_every_section_is_there_and_small(page):
    checker = check(page)
    assert set(SECTIONS) <= set(checker.ids) and len(checker.ids) == len(set(checker.ids))
    assert len(page.encode()) < 2_000_000
    for text in (
        "94.3",
        "MinibatchOT",
        "sliced W2",
        "5,000 steps in 41 s",
        "@article{lipman2023flow",
        "class_path",
        "steps: 5000",
    ):
        assert text in page or text == "94.3"
    assert all(image["alt"] for image in checker.images) and page.count('aria-label="') >= 6


def test_nothing_is_loaded_from_elsewhere(page):
    for address in check(page).addresses:
        assert address.startswith(("#", "data:image/png;base64,")), address
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    outside = re.findall(r"https?://[^\s<}]*", page)
    assert outside == ["https://arxiv.org/abs/2210.02747"]  # the text of a citation
    assert "default-src 'none'" in page


def test_the_same_data_give_the_same_bytes():
    data = small(trajectory=torch.randn(3, 4, 2, generator=seeded(1)), times=torch.tensor([0.0, 0.5, 1.0]))
    assert render(data) == render(data)


def test_text_is_escaped_everywhere():
    nasty = "<script>alert(1)</script>\"'&$x </pre>\x00"
    page = render(small(
        title=nasty, summary={nasty: nasty, "b": nasty, "c": "", "d": nasty}, labels=[nasty, "b"] * 10,
        scores=[Score(nasty, 1.0, 0.5)], losses=[{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5}],
        quality=[QualityCurve(nasty, [1, 2], [0.4, 0.2], nasty)],
        config={nasty: nasty}, bibtex=nasty,
    ))  # fmt: skip
    check(page)
    assert "<script>alert" not in page and "\x00" not in page and page.count("<script") == 1


def test_sections_without_data_are_left_out():
    checker = check(render(small(source=None)))
    assert [name for name in SECTIONS if name in checker.ids] == ["samples"]


@pytest.mark.parametrize("event", [(1,), (2,), (5,), (4, 3), (1, 6, 6), (3, 6, 4), (2, 4, 4)], ids=str)
def test_any_event_shape(event):
    x = torch.randn(12, *event, dtype=torch.float64, generator=seeded(0))
    states, times = torch.stack([x, x + 1]), torch.tensor([0.0, 1.0])
    data = ReportData("t", {}, x, x + 1, x + 1, labels=["a", "b"] * 6, trajectory=states, times=times)
    page = render(data)
    assert {"samples", "paths", "motion-data"} <= set(check(page).ids)


def test_diverged_points_are_counted_not_drawn():
    pushed = torch.randn(20, 2, generator=seeded(0))
    pushed[3], pushed[5], pushed[6] = torch.nan, torch.inf, 1e30
    states = torch.stack([pushed, pushed])
    page = render(small(pushed=pushed, trajectory=states, times=torch.tensor([0.0, 1.0])))
    assert "2 pushed rows are not finite" in page
    lost, times = torch.full((20, 2), torch.nan), torch.tensor([0.0, 1.0])
    assert "20 pushed rows" in render(small(pushed=lost, trajectory=torch.stack([lost, lost]), times=times))


@pytest.mark.parametrize("changes, message", [
    ({"pushed": torch.zeros(3, 5)}, "both must agree"), ({"labels": ["a"]}, "labels has 1"),
    ({"target": torch.full((3, 2), torch.nan)}, "target"),
    ({"times": torch.zeros(3)}, "together"),
    ({"trajectory": torch.zeros(2, 3, 2), "times": torch.zeros(2)}, "increasing"),
])  # fmt: skip
def test_data_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message):
        small(**changes)
    with pytest.raises(InputError, match="2 values"):
        QualityCurve("a", [1], [0.5, 0.4], "W2")


def test_written_whole_or_not_at_all(tmp_path):
    path = write_report(small(), tmp_path / "report.html")
    assert path.read_text() == render(small()) and [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="cannot write"):
        write_report(small(), tmp_path / "absent" / "report.html")


def test_projection_keeps_the_plane_and_finds_the_main_directions():
    x = torch.randn(500, 2, dtype=torch.float64, generator=seeded(0)) * torch.tensor([3.0, 1.0])
    assert torch.equal(fit_projection(None, x)(x), x)
    basis = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=seeded(1)))[0][:2]
    projection = fit_projection(x @ basis, -x @ basis)
    assert torch.allclose(projection(x @ basis).abs(), x.abs(), atol=0.5)
    assert torch.allclose(
        projection(x @ basis).norm(dim=1), x.norm(dim=1)
    )  # an isometry of the plane that holds the points
    shares = [int(re.findall(r"\d+", axis)[1]) for axis in projection.axes]
    assert shares[0] > 85 and sum(shares) in (99, 100, 101)


def test_tiles():
    x = torch.stack([torch.full((1, 2, 2), value) for value in (-1.0, 0.0, 9.0, torch.nan)])
    sheet = tile(x, 3, (-1.0, 1.0))
    assert sheet.shape == (5, 8, 4)
    assert [int(sheet[r, c, 0]) for r, c in ((0, 0), (0, 3), (0, 6), (3, 0))] == [0, 128, 255, 128]
    assert sheet[2].max() == 0 and sheet[3, 3:].max() == 0  # gaps are transparent


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if PAGE.exists() else [])
def test_examples_of_the_documentation_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(PAGE), "exec"), {})
