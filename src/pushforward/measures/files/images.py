"""A folder of images, in sub-folders by label or all together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from pushforward.errors import InputError
from pushforward.measures.files.table import Query, Table, check_plausible, only_columns

__all__ = ["IMAGE_SUFFIXES", "read_images", "to_unit_range"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
LABEL = "label"
T = TypeVar("T")
_GREY = {"1", "L", "LA"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def read_images(path: Path, query: Query) -> Table:
    """Read a folder of images of one size as `(n, C, H, W)` in [-1, 1]: C is 1 when all are grey and 3 otherwise;
    transparency is dropped.

    The name of an image's sub-folder is its `label`. Files are sorted by name; only the rows that are taken are
    decoded.
    """
    if query.key is not None:
        raise InputError(f"{query.path} is a folder of images: leave out the key {query.key!r}")
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise InputError(f"{query.path} is a folder without images ({' '.join(sorted(IMAGE_SUFFIXES))})")
    labels = [file.relative_to(path).parts[0] if file.parent != path else "" for file in files]
    only_columns(query.path, query.columns, [LABEL] if any(labels) else [])
    columns = {LABEL: np.array(labels)} if query.columns else {}
    return Table(len(files), lambda rows: _decode([files[i] for i in rows]), columns, where=lambda row: str(files[row]))


def to_unit_range(pixels: np.ndarray) -> np.ndarray:
    """Map bytes 0 .. 255 to floats in [-1, 1].

    >>> to_unit_range(np.array([0, 255], np.uint8))
    array([-1.,  1.], dtype=float32)
    """
    scaled = pixels.astype(np.float32)
    scaled /= 127.5
    scaled -= 1
    return scaled


def _decode(files: list[Path]) -> np.ndarray:
    """Decode images into one array that is allocated once; sizes and modes come from the headers before that."""
    heads = [_guarded(file, lambda image: (image.size, image.mode)) for file in files]
    (width, height), _ = heads[0]
    for file, (size, mode) in zip(files, heads, strict=True):
        if size != (width, height):
            raise InputError(
                f"{file} is {size[0]} x {size[1]} but {files[0]} is {width} x {height}: all images must be of one size"
            )
        if mode in _DEEP:
            raise InputError(f"{file} has more than 8 bits a channel (mode {mode}): convert it to 8 bits, or use .npy")
    target = "L" if all(mode in _GREY for _, mode in heads) else "RGB"
    channels = len(target)
    for file in files:
        check_plausible(str(file), "the image", width * height // 8, file.stat().st_size)
    pixels = np.empty((len(files), channels, height, width), np.uint8)
    for row, file in enumerate(files):
        decoded = _guarded(file, lambda image: np.asarray(image.convert(target)))
        pixels[row] = decoded.reshape(height, width, channels).transpose(2, 0, 1)
    return to_unit_range(pixels)


def _guarded(file: Path, read: Callable[[Image.Image], T]) -> T:
    """Apply `read` to an opened image; whatever a decoder raises on a damaged file becomes one line that names it."""
    try:
        with Image.open(file) as image:
            return read(image)
    except Exception as error:
        raise InputError(f"{file} is not an image that can be read: {error}") from error
