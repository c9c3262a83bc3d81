"""Readers of data files, one small module per format; `read` finds the right one by the name of the file."""

from pushforward.measures.files.formats import SUFFIXES
from pushforward.measures.files.read import read

__all__ = ["SUFFIXES", "read"]
