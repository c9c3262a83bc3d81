"""One self-contained HTML page about a transport: what it does, how well, how it was made, and whom to cite."""

from pushforward.report.data import QualityCurve, ReportData
from pushforward.report.page import render, write_report

__all__ = ["QualityCurve", "ReportData", "render", "write_report"]
