"""The command line: one small file for each command, with no logic of its own."""

from pushforward.cli.main import main

__all__ = ["main"]
