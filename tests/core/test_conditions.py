import numpy as np
import pytest
import torch

from pushforward.conditions import Column, absent, drop_rows, encode, infer_schema, take
from pushforward.errors import InputError


def test_strings_and_integers_are_categories_floats_are_not():
    schema = infer_schema({"type": np.array(["b", "a", "b"]), "day": [7, 2, 7], "dose": [0.5, 1.5, 2.5]})
    assert schema["type"].categories == ("a", "b")
    assert schema["day"].categories == (2, 7)
    assert schema["dose"] == Column(None, 1, 1.5, pytest.approx(np.std([0.5, 1.5, 2.5])))


def test_encode_uses_codes_and_repeats_scalars():
    schema = infer_schema({"day": [7, 2, 7], "dose": np.ones((3, 2))})
    condition = encode({"day": 7}, schema, 4)
    assert condition["day"].tolist() == [1, 1, 1, 1]
    assert absent(condition["dose"]).all() and condition["dose"].shape == (4, 2)
    assert encode({"day": [2.0, 7.0]}, schema, 2)["day"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "raw, message",
    [
        ({"dya": [1, 2]}, "unknown condition 'dya'; did you mean 'day'"),
        ({"day": [1, 2]}, "no category '1'"),
        ({"day": [2, 2, 2]}, "3 rows but there are 2"),
        ({"dose": ["x", "y"]}, "is continuous"),
    ],
)
def test_mistakes_are_named(raw, message):
    schema = infer_schema({"day": [7, 2], "dose": [0.5, 1.0]})
    with pytest.raises(InputError, match=message):
        encode(raw, schema, 2)


def test_condition_without_schema_is_refused():
    with pytest.raises(InputError, match="has none"):
        encode([1, 2], {}, 2)


def test_drop_rows_is_per_row_and_drops_all_entries_of_a_row():
    condition = {"a": torch.arange(4000), "b": torch.randn(4000, 2)}
    dropped = drop_rows(condition, 0.25, generator=torch.Generator().manual_seed(0))
    gone = absent(dropped["a"])
    assert torch.equal(gone, absent(dropped["b"]))
    assert 0.22 < gone.float().mean() < 0.28
    assert torch.equal(take(dropped, ~gone)["a"], condition["a"][~gone])
