"""Each format is read as it was written, selected, conditioned and weighed."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pushforward.errors import InputError
from pushforward.measures.files import read
from pushforward.measures.files.select import matches
from pushforward.measures.write import write_samples
from pushforward.recipes.data import data_folder

DATA = data_folder() or Path("/nonexistent")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="PUSHFORWARD_DATA is not set")

X = torch.tensor([[0.1, -2.5], [1e-7, 3.0], [7.25, 1e8]])
COLUMNS = {"day": np.array([0, 2, 2]), "drug": np.array(["b", "a", "b"]), "dose": np.array([0.5, 1.5, np.nan])}


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet", ".h5ad"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_written_is_read_back(tmp_path, suffix, dtype):
    path = tmp_path / f"a{suffix}"
    write_samples(path, X.to(dtype), names=["u", "v"], columns=COLUMNS)
    measure = read(str(path), condition=["day", "drug", "dose"])
    assert measure.x.dtype == (torch.get_default_dtype() if suffix == ".csv" else dtype)
    torch.testing.assert_close(measure.x, X.to(measure.x.dtype), rtol=0, atol=0)
    assert measure.names == ("u", "v")
    assert measure.condition["day"].tolist() == [0, 1, 1]
    assert measure.schema["drug"].categories == ("a", "b")
    assert measure.condition["drug"].tolist() == [1, 0, 1]
    assert measure.condition["dose"].flatten()[:2].tolist() == [0.5, 1.5]
    assert measure.condition["dose"].isnan().flatten().tolist() == [False, False, True]


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet", ".h5ad"])
def test_filters_are_anded_and_weights_normalised(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_samples(
        path,
        torch.arange(8.0).reshape(4, 2),
        columns={"day": np.array([1, 2, 2, 2]), "drug": np.array(["a", "a", "b", "c"]), "w": np.arange(4)},
    )
    measure = read(f"{path}:day=2.0:drug=b,c:@w")
    assert measure.x[:, 0].tolist() == [4, 6]
    assert measure.weight.tolist() == [0.4, 0.6]
    with pytest.raises(InputError, match="'day' is 1, 2"):
        read(f"{path}:day=3")
    with pytest.raises(InputError, match="day=1 and drug=b together"):
        read(f"{path}:day=1:drug=b")
    with pytest.raises(InputError, match="did you mean 'drug'"):
        read(f"{path}:drag=b")
    with pytest.raises(InputError, match="did you mean 'day'"):
        read(str(path), condition=["dya"])


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_keep_their_shape(tmp_path, suffix):
    x = torch.randn(5, 2, 3, 4)
    write_samples(tmp_path / f"a{suffix}", x)
    assert torch.equal(read(str(tmp_path / f"a{suffix}")).x, x)


@pytest.mark.parametrize("dtype", [">f4", "f2", "g", ">i4", "u2", "u8", "?"])
def test_every_kind_of_number_becomes_a_float(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.array([[0, 1], [1, 1]]).astype(dtype))
    assert read(str(tmp_path / "a.npy")).x.tolist() == [[0, 1], [1, 1]]


def test_npz_chooses_its_array(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((3, 1, 2, 2)), label=np.array([1, 2, 3]))
    assert read(f"{path}:images:label=3").x.shape == (1, 1, 2, 2)
    assert read(f"{path}:label=1,3").x.shape == (2, 1, 2, 2)
    with pytest.raises(InputError, match=r"several arrays \(images, label\)"):
        read(str(path))
    with pytest.raises(InputError, match="did you mean 'images'"):
        read(f"{path}:imgs")


@pytest.mark.parametrize(
    ("text", "names", "x"),
    [
        ("# note\na,b\n1,2\n\n3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
        ("1,2\n3,4", ("x1", "x2"), [[1, 2], [3, 4]]),
        ("0,1\n0.5,2\n", ("0", "1"), [[0.5, 2]]),
        (",a,b\n0,1,2\n1,3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
        ("a\tb\n1\t2\n", ("a", "b"), [[1, 2]]),
        ("a;b\n1;2\n", ("a", "b"), [[1, 2]]),
        ("a  b\n 1   2 \n", ("a", "b"), [[1, 2]]),
        ("\ufeffa,b\r\n1,2\r\n", ("a", "b"), [[1, 2]]),
        ('"a, and b",c\n"1",2\n', ("a, and b", "c"), [[1, 2]]),
        ("1,u\n2,v\n", ("x1",), [[1], [2]]),
        ("day,7,8\n0,1,2\n", ("day", "7", "8"), [[0, 1, 2]]),
        ("3\n4\n", ("x1",), [[3], [4]]),
        ("id,a\n1_0,5\n2_0,6\n", ("a",), [[5], [6]]),
    ],
)
def test_dialects_of_text(tmp_path, text, names, x):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    measure = read(str(tmp_path / "a.csv"))
    assert (measure.names, measure.x.tolist()) == (names, x)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# only\n", "has no rows"),
        ("a,b\n", "header but no rows"),
        ("# c\na,b\n1,2\n3\n", "line 4 has 1 cells but line 2 has 2"),
        ("a,b\n1,2\n3,4\nx,6\n", "line 4, column 'a' is 'x', wanted a number"),
        ("a,b\n1,2\n3,nan\n", "line 3, column 'b' is missing or not a number"),
        ("a,b\n1,2\n3,\n5,6\n", "line 3, column 'b' is missing"),
        ("a,b\n1,2\ninf,2\n", "line 3, column 'a' is infinite"),
        ("a,a\n1,2\n", "two columns named 'a'"),
        ("u,v\nx,y\n", "no numeric column"),
        ('a,b\n"1,2\n', "has 1 cells"),
    ],
)
def test_bad_text_names_line_and_column(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=f"a.csv.*{message}") as error:
        read(str(tmp_path / "a.csv"))
    assert "\n" not in str(error.value)


def test_text_keys_and_gaps_in_conditions(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("day,x,y,kind\n1,1,2,u\n,3,4,\n2,5,6,v\n")
    measure = read(f"{path}:y", condition=["day", "kind"])
    assert measure.x.tolist() == [[2], [4], [6]]
    assert measure.condition["day"].tolist() == [0, -1, 1]
    assert measure.condition["kind"].tolist() == [0, -1, 1]
    assert measure.schema["kind"].categories == ("u", "v")
    with pytest.raises(InputError, match="'kind' is 'u', wanted a number"):
        read(f"{path}:x,kind")
    with pytest.raises(InputError, match="'x' is asked for twice"):
        read(f"{path}:x,x")


def test_filter_compares_numbers_as_numbers():
    assert matches(np.array([1, 2]), ["2.0"]).tolist() == [False, True]
    assert matches(np.array(["02", "b"]), ["2"]).tolist() == [True, False]
    assert matches(np.array([True, False]), ["true"]).tolist() == [True, False]
    assert not matches(np.array([1.0]), ["one"]).any()


def _idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_images_and_the_labels_beside_them(tmp_path, suffix):
    pack = gzip.compress if suffix else bytes
    images = np.array([0, 255, 51, 204]).reshape(2, 1, 2)
    path = tmp_path / f"t-images-idx3-ubyte{suffix}"
    path.write_bytes(pack(_idx(images)))
    with pytest.raises(InputError, match="no column 'label'"):
        read(f"{path}:label=7")
    (tmp_path / "t-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(np.array([7, 9]))))
    measure = read(f"{path}:label=9", condition=["label"])
    torch.testing.assert_close(measure.x, torch.tensor([[[[-0.6, 0.6]]]]))
    assert measure.schema["label"].categories == (9,)


def test_idx_truncated_or_too_long(tmp_path):
    path = tmp_path / "a-images-idx3-ubyte"
    whole = _idx(np.zeros((2, 3, 3)))
    for content, message in [
        (whole[:-1], "truncated"),
        (whole + b"1", "damaged"),
        (whole[:10], "truncated"),
        (b"hello", "idx format"),
    ]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(str(path))


@pytest.mark.parametrize("channels", [1, 3])
def test_folder_of_images(tmp_path, channels):
    x = torch.linspace(-1, 1, 4 * channels * 6).reshape(4, channels, 2, 3)
    write_samples(tmp_path / "all", x, columns={"label": np.array(["cat", "dog", "cat", "dog"])})
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["cat", "dog"]
    measure = read(f"{tmp_path}/all:label=dog", condition=["label"])
    torch.testing.assert_close(measure.x, x[1::2], rtol=0, atol=0.5 / 127.5 + 1e-6)
    write_samples(f"{tmp_path}/flat/", x)
    assert read(f"{tmp_path}/flat").x.shape == x.shape


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="folder without images"):
        read(str(tmp_path))
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="single image"):
        read(str(tmp_path / "a.png"))
    Image.new("L", (4, 5)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b.png is 4 x 5 but .*a.png is 4 x 4"):
        read(str(tmp_path))
    (tmp_path / "b.png").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"b.png is not an image"):
        read(str(tmp_path))
    Image.new("I;16", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="more than 8 bits"):
        read(str(tmp_path))


def test_missing_empty_and_unknown_files(tmp_path):
    (tmp_path / "moons.npy").touch()
    (tmp_path / "a.pdf").write_text("x")
    for name, message in [
        ("mons.npy", "did you mean .*moons.npy"),
        ("zzz.npy", "there is no file"),
        ("no/x.npy", "no folder"),
        ("moons.npy", "is empty"),
        ("a.pdf", "supported are .npy .npz"),
        ("x" * 5000, "cannot read"),
    ]:
        with pytest.raises(InputError, match=message):
            read(f"{tmp_path}/{name}")


def test_pickles_and_bombs_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array(["a", 1], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match="pickled"):
            read(str(tmp_path / name))
    np.save(tmp_path / "b.npy", np.zeros((2, 2)))
    header = (
        (tmp_path / "b.npy")
        .read_bytes()
        .replace(b"(2, 2), }", b"(2, 9999999999999), }")
        .replace(b" " * 14 + b"\n", b" " * 1 + b"\n")
    )
    (tmp_path / "b.npy").write_bytes(header)
    with pytest.raises(InputError, match=r"truncated|numpy's format"):
        read(str(tmp_path / "b.npy"))
    (tmp_path / "c-idx3-ubyte.gz").write_bytes(
        gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 60000, 60000, 60000))
    )
    with pytest.raises(InputError, match="claims"):
        read(str(tmp_path / "c-idx3-ubyte.gz"))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (10**12, 0)])
def test_arrays_without_entries(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    np.savez(tmp_path / "a.npz", x=np.zeros(shape))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match=f"{name}.*is empty"):
            read(str(tmp_path / name))


def test_h5ad_parts(tmp_path):
    anndata, sparse = pytest.importorskip("anndata"), pytest.importorskip("scipy.sparse")
    x = np.arange(12.0).reshape(4, 3)
    cells = anndata.AnnData(sparse.csc_matrix(x), obsm={"X_pca": x[:, :2]}, layers={"counts": x + 1})
    cells.obs["kind"] = ["u", None, "v", "u"]
    cells.obs["kind"] = cells.obs["kind"].astype("category")
    cells.raw = cells
    path = tmp_path / "a.h5ad"
    cells.write_h5ad(path)
    for key, wanted in [("", x), (":X", x), (":raw/X", x), (":layers/counts", x + 1), (":obsm/X_pca", x[:, :2])]:
        assert np.array_equal(read(f"{path}{key}").x.numpy(), wanted), key
    measure = read(f"{path}:obsm/X_pca", condition=["kind"])
    assert measure.condition["kind"].tolist() == [0, -1, 1, 0]
    assert read(f"{path}:kind=u").x[:, 0].tolist() == [0, 9]
    with pytest.raises(InputError, match="did you mean 'obsm/X_pca'"):
        read(f"{path}:obsm/pca")


def test_parquet_gaps_and_lists(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(
        arrow.table({"x": [1, 2, None], "v": [[1.0, 2], [3, 4], [5, 6]], "k": ["a", None, "b"], "n": [3, None, 4]}),
        path,
    )
    with pytest.raises(InputError, match="row 2, column 'x' is missing"):
        read(f"{path}:x")
    measure = read(f"{path}:v", condition=["k"])
    assert measure.x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert measure.condition["k"].tolist() == [0, -1, 1]
    with pytest.raises(InputError, match="column 'k' must be numbers, got text"):
        read(f"{path}:k")


@pytest.mark.parametrize("weights", [[1, -1], [1, np.nan]])
def test_bad_weights(tmp_path, weights):
    write_samples(tmp_path / "a.npz", torch.zeros(2, 1), columns={"w": np.array(weights)})
    with pytest.raises(InputError, match="row 1: the weight 'w' is"):
        read(str(tmp_path / "a.npz"), weight="w")


@needs_data
@pytest.mark.parametrize(
    ("spec", "shape", "names"),
    [
        ("earth/volerup.csv", (827, 2), ("Latitude", "Longitude")),
        ("earth/quakes_all.csv", (6120, 2), ("LATITUDE", "LONGITUDE")),
        ("earth/flood.csv", (4875, 2), ("lat", "long")),
        ("earth/fire.csv", (12809, 2), ("x1", "x2")),
        ("cell_trajectories/emt.csv:x1,x2:samples=0", (577, 2), ("x1", "x2")),
        ("cell_trajectories/mouse_hematopoiesis.csv:samples=2", (5788, 2), ("x1", "x2")),
        ("cell_trajectories/emt_3d.npz:t1", (885, 3), None),
        ("cell_multiomics/SNAREseq_rna_types.txt", (1047, 1), ("x1",)),
        ("cell_multiomics/scGEM_expression.csv", (177, 34), tuple(f"x{i + 1}" for i in range(34))),
        ("mnist_t10k/t10k-images-idx3-ubyte.gz:label=3", (1010, 1, 28, 28), None),
        ("pbmc68k_reduced/10x_pbmc68k_reduced.h5ad:obsm/X_pca:phase=G1,S", None, None),
        ("pbmc68k_reduced/10x_pbmc68k_reduced.h5ad:raw/X", (700, 765), None),
    ],
)
def test_real_files(spec, shape, names):
    measure = read(f"{DATA}/{spec}")
    assert shape is None or (len(measure), *measure.event_shape) == shape
    assert names is None or measure.names == names
    assert torch.isfinite(measure.x).all()
