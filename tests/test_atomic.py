import os

import pytest

from pushforward.atomic import atomic_path
from pushforward.errors import InputError


def test_a_file_is_replaced_whole(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert (target.read_text(), temporary.suffix, temporary.parent) == ("old", ".txt", tmp_path)
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with atomic_path(tmp_path / "run") as temporary:
            (temporary / "deep").mkdir(parents=True)
            (temporary / "deep" / content).write_text(content)
    assert os.listdir(tmp_path / "run" / "deep") == ["new"]
    assert os.listdir(tmp_path) == ["run"]


def _fill(target, error):
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "part").write_text("half")
        raise error("no")


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_things_as_they_were(tmp_path, error):
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError if error is OSError else error):
        _fill(tmp_path / "a", error)
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_what_the_system_refuses_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no folder .*missing"), atomic_path(tmp_path / "missing" / "a") as temporary:
        temporary.write_text("x")
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(InputError, match=r"cannot write .*folder.*directory"),
        atomic_path(tmp_path / "folder") as temporary,
    ):
        temporary.write_text("x")
    with pytest.raises(InputError, match="names no file"), atomic_path(""):
        pass


def _write_to(device, target):
    with atomic_path(target) as temporary:
        os.symlink(device, temporary)
        temporary.write_text("x")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_disk(tmp_path):
    with pytest.raises(InputError, match="no space left"):
        _write_to("/dev/full", tmp_path / "a")
    assert os.listdir(tmp_path) == []
