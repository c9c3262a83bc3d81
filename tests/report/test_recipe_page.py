"""The page about a recipe."""

import re

import torch

from pushforward.recipes import Claim, Expectation, Result, Sheet, find_recipe
from pushforward.report import report_recipe


def page(tmp_path):
    expectation = Expectation("digits/read as asked", at_least=0.9, claim="digits are <read> as asked")
    missed = Expectation("digits/energy distance", at_most=0.5, known_miss="it is 1: no network is that small")
    claims = (Claim(expectation, 0.95, 0.9, 0.93, 0.97, "met"), Claim(missed, 1.0, 0.5, 0.8, 1.2, "known miss"))
    figures = {"digits/read as asked": [0.95, 0.93, 0.97], "digits/energy distance": [1.0, 0.8, 1.2]}
    sheets = {"digits": (Sheet("made", torch.linspace(-1, 1, 6400).reshape(100, 1, 8, 8)),)}
    result = Result("digits", "2026-11-22", (0, 1, 2), figures, claims, sheets)
    return report_recipe(find_recipe("digits"), result, tmp_path / "reports").read_text()


def test_claims_images_and_figures_are_on_one_page(tmp_path):
    text = page(tmp_path)
    assert "digits are &lt;read&gt; as asked" in text and "<read>" not in text
    assert "it is 1: no network is that small" in text and "1 of 2" in text
    assert "digits/energy distance ≤ 0.5" in text  # the figures that a claim is about
    assert len(re.findall(r'<img src="data:image/png;base64,', text)) == 1
    assert "<td>0.95</td><td>0.95</td><td>0.93</td><td>0.97</td>" in text
    assert "lipman2023flow" in text and not re.search(r'(src|href)="(?!data:|#)', text)
    assert page(tmp_path) == text
