"""Give one photograph the colours of another: source, target and the results of three maps in one row.

Without photographs of your own: an ocean by day and at sunset from the folder that PUSHFORWARD_DATA names, or else two
photographs that come with scikit-learn.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pushforward.recipes.colour import Method, photographs, read_photograph, transfer

METHODS: dict[str, tuple[Method, int]] = {
    "Gaussian map": ("gaussian", 0),
    "exact plan, nearest neighbour": ("nearest", 0),
    "entropic plan, smoothed": ("entropic", 8),
}
GAP, CAPTION = 4, 16


def draw(source: Tensor, target: Tensor, points: int, output: Path) -> None:
    pictures = {"source": source, "target": target}
    for title, (method, smoothing) in METHODS.items():
        pictures[title] = transfer(source, target, method, smoothing=smoothing, points=points)
    tiles = [_tile(title, picture, source.shape[:2]) for title, picture in pictures.items()]
    width, height = tiles[0].size
    row = Image.new("RGB", ((width + GAP) * len(tiles) - GAP, height), "white")
    for k, tile in enumerate(tiles):
        row.paste(tile, (k * (width + GAP), 0))
    output.parent.mkdir(parents=True, exist_ok=True)
    row.save(output, optimize=True)
    print(f"the picture is {output}, {row.width} x {row.height} pixels")


def _tile(title: str, picture: Tensor, size: torch.Size) -> Image.Image:
    """Set a caption under a picture `(h, w, 3)`; the target is cropped to the source's size."""
    height, width = size
    image = Image.fromarray((picture * 255).round().byte().numpy().astype(np.uint8))
    image = image.crop((0, max(0, image.height - height), width, max(image.height, height)))
    tile = Image.new("RGB", (width, height + CAPTION), "white")
    tile.paste(image, (0, 0))
    font = ImageFont.load_default(11)
    ImageDraw.Draw(tile).text((width / 2, height + 2), title, fill="black", anchor="ma", font=font)
    return tile


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="the photograph to change")
    parser.add_argument("--target", type=Path, help="the photograph with the colours")
    parser.add_argument("--width", type=int, default=216, help="of the pictures, in pixels")
    parser.add_argument("--points", type=int, default=2000, help="pixels that the maps are learnt from")
    parser.add_argument("--quick", action="store_true", help="small pictures and samples, to see that everything runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/colour-transfer.png"))
    options = parser.parse_args()
    width, points = (40, 200) if options.quick else (options.width, options.points)
    if (options.source is None) != (options.target is None):
        parser.error("give both --source and --target, or neither")
    pair = photographs(width)
    if options.source is not None:
        pair = read_photograph(options.source, width), read_photograph(options.target, width)
    draw(*pair, points, options.output)
