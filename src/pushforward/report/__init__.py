"""One self-contained HTML page about a transport: what it does, how well, how it was made, and whom to cite."""

from pushforward.report.data import QualityCurve, ReportData
from pushforward.report.page import render, write_page, write_report
from pushforward.report.recipe import report_recipe

__all__ = ["QualityCurve", "ReportData", "render", "report_recipe", "write_page", "write_report"]
