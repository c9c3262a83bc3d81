"""Where the data of recipes lie, and the digits of MNIST among them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import torch

from pushforward.errors import InputError
from pushforward.measures import Empirical

__all__ = ["data_folder", "mnist"]

MNIST = "mnist_t10k"


def data_folder() -> Path | None:
    """Return the folder that the environment variable PUSHFORWARD_DATA names, or None where it is unset or empty."""
    named = os.environ.get("PUSHFORWARD_DATA")
    return Path(named) if named else None


def mnist() -> Empirical:
    """Return MNIST's ten thousand test digits as images `(1, 28, 28)` in [-1, 1] with the condition `label`.

    They are read from `mnist_t10k` in the folder of `data_folder`, in the files of their makers: big-endian headers of
    16 and of 8 bytes, then a byte for each pixel and for each label. Raises `InputError` where they are not.
    """
    folder = (data_folder() or Path()) / MNIST
    try:
        pixels, labels = (
            np.frombuffer(gzip.decompress((folder / f"t10k-{name}-ubyte.gz").read_bytes()), np.uint8, offset=header)
            for name, header in (("images-idx3", 16), ("labels-idx1", 8))
        )
    except OSError as error:
        raise InputError(
            f"MNIST's test digits are not in {folder}: set PUSHFORWARD_DATA to the folder above"
        ) from error
    images = torch.from_numpy(pixels.reshape(-1, 1, 28, 28).astype(np.float32))
    return Empirical(images / 127.5 - 1, {"label": labels.astype(np.int64)})
