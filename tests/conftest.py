"""Fixtures that tests of several rooms use."""

from functools import partial

import pytest

from pushforward.report.run import report_run


@pytest.fixture
def small_reports(monkeypatch):
    """Let `pushforward distil` compare few rows: half a minute less, and the table has as many lines."""
    monkeypatch.setattr("pushforward.cli.distil.report_run", partial(report_run, rows=100))
