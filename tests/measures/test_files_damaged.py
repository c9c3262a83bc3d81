"""A reader gives a valid measure or an `InputError` of one line, whatever has happened to the file."""

import gzip
import random
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pushforward.errors import InputError
from pushforward.measures import Empirical, read, write_samples
from pushforward.measures.files import _probe

SUFFIXES = [".npy", ".npz", ".csv", ".parquet", ".h5ad", "-images-idx3-ubyte", "-images-idx3-ubyte.gz", ".png"]
COUNTS = {".h5ad": 60, ".parquet": 300, ".png": 300}
COLUMNS = {"day": np.arange(20) % 3, "kind": np.array(list("ab") * 10)}


def _write(path: Path) -> None:
    """Write a healthy file whose format is that of its name."""
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    if "idx" in path.name:
        content = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 4, 4) + bytes(range(80))
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    elif path.suffix == ".png":
        Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path)
    else:
        write_samples(path, x, columns=None if path.suffix == ".npy" else COLUMNS)


def _damage(content: bytes, rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.25:
        return content[: rng.randrange(len(content))]
    if kind < 0.35:
        return rng.randbytes(rng.randrange(200))
    if kind < 0.45:
        start = rng.randrange(len(content))
        return content[:start] + rng.randbytes(rng.randrange(20)) + content[start:]
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


def _check(spec: str, condition: list[str]) -> bool:
    try:
        measure = read(spec, condition=condition)
    except InputError as error:
        message = str(error)
    else:
        return _is_valid(measure, condition)
    assert "\n" not in message
    assert len(message) < 1000
    return False


def _is_valid(measure: Empirical, condition: list[str]) -> bool:
    assert isinstance(measure, Empirical)
    assert len(measure) > 0
    assert torch.isfinite(measure.x).all()
    assert set(measure.condition or {}) == set(condition)
    return True


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files(tmp_path, suffix, monkeypatch):
    pytest.importorskip({".parquet": "pyarrow", ".h5ad": "anndata"}.get(suffix, "numpy"))
    monkeypatch.setattr(_probe, "SECONDS", 3.0)
    rng, path = random.Random(suffix), tmp_path / f"a{suffix}"
    _write(path)
    content, has_columns = path.read_bytes(), suffix in (".npz", ".csv", ".parquet", ".h5ad")
    folder = suffix == ".png"
    assert _check(str(tmp_path if folder else path), [])
    read_whole = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(COUNTS.get(suffix, 450)):
            path.write_bytes(_damage(content, rng))
            filters = ":day=1" if has_columns and i % 2 else ""
            read_whole += _check(
                f"{tmp_path if folder else path}{filters}", ["kind"] if has_columns and i % 3 == 0 else []
            )
    assert read_whole < COUNTS.get(suffix, 450)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_under_a_wrong_suffix(tmp_path, suffix):
    pytest.importorskip({".parquet": "pyarrow", ".h5ad": "anndata"}.get(suffix, "numpy"))
    _write(tmp_path / f"a{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    for other in SUFFIXES:
        if other not in (suffix, ".png"):
            path = tmp_path / f"b{other}"
            path.write_bytes(content)
            assert not _check(str(path), []), other


def test_a_file_that_crashes_the_library_is_refused(tmp_path, monkeypatch):
    """The helper process is made to die and to hang; the next file is read again."""
    pytest.importorskip("h5py")
    _write(tmp_path / "a.h5ad")
    monkeypatch.setattr(_probe, "SECONDS", 0.5)
    for fault in ("import os; os.abort()", "import time; time.sleep(60)"):
        _probe._helper.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(_probe, "_WALK", f"import sys; print('ready', flush=True); sys.stdin.readline(); {fault}")
            with pytest.raises(InputError, match="HDF5 library crashes"):
                read(tmp_path / "a.h5ad")
    monkeypatch.setattr(_probe, "SECONDS", 20.0)
    assert len(read(tmp_path / "a.h5ad")) == 20
