import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.errors import InputError
from pushforward.storage import read_tensors, write_tensors


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.randn(7, 3), "n": torch.tensor(5), "e": torch.zeros(0)}, {"step": "12"})
    return path


def test_round_trip(file):
    tensors, metadata = read_tensors(file)
    assert metadata == {"step": "12"}
    assert tensors["x"].shape == (7, 3) and tensors["n"] == 5


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_damage_is_noticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("s") / "a.safetensors"
    write_tensors(path, {"x": torch.arange(20.0)}, {"step": "12"})
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    before = read_tensors(path)
    path.write_bytes(content)
    try:
        after = read_tensors(path)
    except InputError:
        pass
    else:  # JSON white space in the header may change without changing the content
        assert after[1] == before[1] and torch.equal(after[0]["x"], before[0]["x"])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        read_tensors(tmp_path / "none.safetensors")


def test_refused_write_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        write_tensors(tmp_path / "no" / "a.safetensors", {"x": torch.zeros(1)})
    assert not list(tmp_path.iterdir())
