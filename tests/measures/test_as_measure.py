import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pushforward.conditions import absent, decode, encode, infer_schema
from pushforward.errors import InputError
from pushforward.measures import Empirical, Gaussian, as_measure, named_measures, read, write_samples


def test_measures_and_arrays():
    measure = Gaussian.standard(2)
    assert as_measure(measure) is measure
    for value in (torch.ones(3, 2, dtype=torch.float64), np.ones((3, 2)), np.ones((3, 2), ">f8")):
        assert as_measure(value).x.dtype == torch.float64
    assert as_measure([[1, 2], [3, 4]]).x.tolist() == [[1, 2], [3, 4]]


def test_files_and_names(tmp_path):
    write_samples(tmp_path / "a.csv", torch.ones(2, 3), columns={"day": np.array([1, 2])})
    assert len(as_measure(tmp_path / "a.csv")) == 2
    assert as_measure(f"{tmp_path}/a.csv:day=1", condition=["day"]).schema["day"].categories == (1,)


def test_a_name_wins_over_a_file_unless_a_folder_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_samples("gaussian", torch.zeros(2, 1, 4, 4))
    assert isinstance(as_measure("gaussian:2"), Gaussian)
    assert as_measure("./gaussian").event_shape == (1, 4, 4)


def test_every_named_measure_is_described_and_can_be_sampled():
    for name, line in named_measures().items():
        assert line and "\n" not in line
        measure = as_measure(name, like=Gaussian.standard(2))
        assert measure.sample(3).shape == (3, *measure.event_shape)


def test_gaussian_takes_its_shape_and_type_from_the_other_side():
    like = Empirical(torch.zeros(2, 1, 4, 4, dtype=torch.float64))
    source = as_measure("gaussian", like=like)
    assert (source.event_shape, source.sample(1).dtype, source.is_standard_normal) == ((1, 4, 4), torch.float64, True)
    assert as_measure("gaussian:1,8,8").event_shape == (1, 8, 8)


def test_digits_are_filtered_and_conditioned():
    threes = as_measure("digits:label=3")
    assert (len(threes), threes.schema) == (183, {})
    both = as_measure("digits:label=3,8", condition=["label"])
    assert both.schema["label"].categories == (3, 8)


def test_data_frames():
    frame = pytest.importorskip("pandas").DataFrame({"x": [1.0, 2.0], "y": [3, 4], "kind": ["a", None], "day": [0, 1]})
    measure = as_measure(frame, condition=["kind", "day"])
    assert (measure.x.tolist(), measure.names) == ([[1, 3], [2, 4]], ("x", "y"))
    assert measure.condition["kind"].tolist() == [0, -1]
    frame["y"] = frame["y"].astype("Int64").where([True, False])
    with pytest.raises(InputError, match="row 1, column 'y' is missing"):
        as_measure(frame)
    with pytest.raises(InputError, match="did you mean 'kind'"):
        as_measure(frame, condition=["kid"])


def test_hugging_face_datasets():
    datasets, image = pytest.importorskip("datasets"), pytest.importorskip("PIL.Image")
    table = datasets.Dataset.from_dict({"a": [1.0, 2.0], "b": [3, 4], "name": ["u", "v"]})
    measure = as_measure(table, condition=["name"])
    assert (measure.x.tolist(), measure.names, measure.condition["name"].tolist()) == (
        [[1, 3], [2, 4]],
        ("a", "b"),
        [0, 1],
    )
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    pictures = [image.new("L", (3, 2), value) for value in (0, 255)]
    photos = datasets.Dataset.from_dict({"image": pictures, "label": [1, 0]}, features=features)
    measure = as_measure(photos, condition=["label"])
    assert measure.x.flatten(1).mean(1).tolist() == [-1, 1]
    assert (measure.event_shape, measure.schema["label"].categories) == ((1, 2, 3), ("cat", "dog"))
    arrays = datasets.Dataset.from_dict({"v": [[1.0, 2.0], [3.0, 4.0]], "label": [0, 1]})
    assert as_measure(arrays).x.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InputError, match=r"column 'v' has shape \(1,\) at row 1"):
        as_measure(datasets.Dataset.from_dict({"v": [[1.0, 2.0], [3.0]]}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "cannot make a measure of a int"),
        ([], "empty"),
        ([[1, 2], [3]], "ragged"),
        (["a"], "must be numbers, got text"),
        ([[1.0, float("nan")]], "non-finite"),
        ("8gausians", "neither a file nor a named measure; did you mean '8gaussians'"),
        ("nothing-like-it", "named measures are gaussian, student-t, digits"),
        ("some/where.npy", "no folder"),
        ("8gaussians:label=3", "it has no columns"),
        ("8gaussians:x", "takes no key"),
        ("gaussian", "from the other side"),
        ("gaussian:0", "has no shape"),
        ("digits:label=11", "'label' is 0, 1"),
        ("digits:lable=1", "did you mean 'label'"),
        ("\0", "neither a file"),
    ],
)
def test_bad_values(value, message):
    with pytest.raises(InputError, match=message):
        as_measure(value)


def test_conditions_need_columns():
    for value in (torch.ones(2, 2), Gaussian.standard(2), "8gaussians"):
        with pytest.raises(InputError, match="no column 'label'"):
            as_measure(value, condition=["label"])


def test_decode_inverts_encode():
    raw = {
        "kind": np.array(["b", "a"]),
        "day": np.array([3, 1]),
        "dose": np.array([0.5, 1.5]),
        "pair": np.array([[1.0, 2], [3, 4]]),
    }
    schema = infer_schema(raw)
    back = decode(encode(raw, schema, 2), schema)
    assert {name: column.tolist() for name, column in back.items()} == {
        name: column.tolist() for name, column in raw.items()
    }
    missing = encode({"day": [3, 1]}, schema, 2)
    assert absent(missing["kind"]).all()
    assert decode(missing, schema)["kind"].tolist() == ["", ""]
    assert decode(None, {}) == {}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.npy", {"columns": {"day": np.zeros(2)}}, "no room for the columns day"),
        ("a.npz", {"columns": {"x": np.zeros(2)}}, "cannot be named 'x'"),
        ("a.csv", {"columns": {"x1": np.zeros(2)}}, "two columns are named 'x1'"),
        ("a.csv", {"columns": {"day": np.zeros(3)}}, "has shape"),
        ("a.csv", {"names": ["u"]}, "1 names"),
        ("a.cvs", {}, "did you mean '.csv'"),
        ("a", {}, "folder of images"),
        ("none/a.npy", {}, "no folder"),
    ],
)
def test_bad_output(tmp_path, name, options, message):
    with pytest.raises(InputError, match=message) as error:
        write_samples(tmp_path / name, torch.zeros(2, 3), **options)
    assert os.listdir(tmp_path) == []
    assert name in str(error.value) or ".npy" in name or "named" in message


def test_images_have_their_own_limits(tmp_path):
    images = torch.zeros(2, 1, 4, 4)
    with pytest.raises(InputError, match="holds vectors"):
        write_samples(tmp_path / "a.csv", images)
    with pytest.raises(InputError, match="no room for the columns day"):
        write_samples(tmp_path / "a", images, columns={"day": np.zeros(2)})
    with pytest.raises(InputError, match="cannot name a folder"):
        write_samples(tmp_path / "a", images, columns={"label": np.array(["../b", "c"])})
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "thesis.tex").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        write_samples(tmp_path / "kept", images)
    assert os.listdir(tmp_path) == ["kept"]


def test_wide_columns_and_bfloat16(tmp_path):
    write_samples(
        tmp_path / "a.csv", torch.ones(2, 1, dtype=torch.bfloat16), columns={"c": np.array([[1.0, 2], [3, 4]])}
    )
    assert read(tmp_path / "a.csv").names == ("x1", "c1", "c2")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet", ".h5ad", ""])
def test_a_full_disk_leaves_nothing(tmp_path, suffix, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space left"):
        write_samples(
            tmp_path / f"a{suffix}", torch.zeros(2, 1, 4, 4) if suffix in ("", ".npy", ".npz") else torch.zeros(2, 3)
        )
    assert os.listdir(tmp_path) == []


_LIMITED = """
import os, resource, signal, sys, torch
from pushforward.errors import InputError
from pushforward.measures import write_samples
folder = sys.argv[1]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for suffix in [".npy", ".npz", ".csv", ".parquet", ".h5ad", ""]:
    try:
        write_samples(f"{folder}/out{suffix}", torch.randn(40_000, 3) if suffix else torch.rand(2, 3, 400, 400) * 2 - 1)
    except InputError as error:
        print(suffix, os.listdir(folder), error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_a_file_that_cannot_grow_leaves_nothing(tmp_path):
    """The system refuses in the middle of the file, as a full disk does."""
    command = [sys.executable, "-c", _LIMITED, str(tmp_path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 6
    assert all(f"[] cannot write '{tmp_path}/out" in line for line in lines)
