import pytest

from pushforward.errors import InputError
from pushforward.measures.spec import Filter, Spec, parse_spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("a.npy", Spec("a.npy")),
        ("data.npz:x", Spec("data.npz", "x")),
        ("cells.h5ad:obsm/X_pca:day=2", Spec("cells.h5ad", "obsm/X_pca", (Filter("day", ("2",)),))),
        (
            "emt.csv:x1,x2:samples=0,1:drug=a b",
            Spec("emt.csv", "x1,x2", (Filter("samples", ("0", "1")), Filter("drug", ("a b",)))),
        ),
        ("digits:label=3", Spec("digits", None, (Filter("label", ("3",)),))),
        ("a.csv:day=1:@mass", Spec("a.csv", None, (Filter("day", ("1",)),), "mass")),
        ("a.csv:formula=x=1", Spec("a.csv", None, (Filter("formula", ("x=1",)),))),
        (r"C:\data\a.csv:x1", Spec(r"C:\data\a.csv", "x1")),
    ],
)
def test_parts(text, spec):
    assert parse_spec(text) == spec


def test_colon_in_an_existing_path(tmp_path):
    path = tmp_path / "run:3.npz"
    path.touch()
    assert parse_spec(f"{path}:x") == Spec(str(path), "x")


@pytest.mark.parametrize(
    "text", ["", ":x", "a.csv:", "a.csv:x:y", "a.csv:=3", "a.csv:day=", "a.csv:day=1,,2", "a.csv:@a:@b", "a.csv:@"]
)
def test_bad_specs(text):
    with pytest.raises(InputError, match=r"wanted|needs"):
        parse_spec(text)
