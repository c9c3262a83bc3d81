"""Where recipes look for their data."""

from pathlib import Path

import pytest

from pushforward.recipes.data import data_folder


@pytest.mark.parametrize("named, folder", [(None, None), ("", None), ("some/where", Path("some/where"))])
def test_an_empty_name_is_no_folder(monkeypatch, named, folder):
    monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)
    if named is not None:
        monkeypatch.setenv("PUSHFORWARD_DATA", named)
    assert data_folder() == folder
