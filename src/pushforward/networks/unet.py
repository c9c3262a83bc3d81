"""A compact U-Net for images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.attention import attend
from pushforward.networks.embedding import ConditionEmbedding, FourierTime

__all__ = ["UNet"]


@dataclass(frozen=True)
class UNet(Architecture):
    """U-Net for images `(C, H, W)` of any size: residual blocks with group norm, time and condition by scale and shift.

    Level i has `channels * multipliers[i]` channels at 1/2^i of the resolution, with `blocks` residual blocks on the
    way down and on the way up; images whose sides are not a multiple of the coarsest pixel are padded inside and
    cropped again. `attention` adds self-attention at the coarsest level. The last convolution starts at zero, so that
    an untrained network predicts 0.

    >>> net = UNet(channels=8).build((1, 8, 8), {})
    >>> net(torch.zeros(2, 1, 8, 8), torch.zeros(2)).shape
    torch.Size([2, 1, 8, 8])
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "ronneberger2015unet",
            "U-Net: Convolutional Networks for Biomedical Image Segmentation",
            "Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas",
            2015,
            arxiv="1505.04597",
        ),
        Reference(
            "dhariwal2021diffusion",
            "Diffusion Models Beat GANs on Image Synthesis",
            "Dhariwal, Prafulla and Nichol, Alexander",
            2021,
            arxiv="2105.05233",
        ),
    )
    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention: bool = True
    time_features: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        if min(self.channels, self.blocks, self.time_features, *self.multipliers, len(self.multipliers)) < 1:
            raise InputError(f"UNet needs positive sizes, got {self}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` unless the event is `(C, H, W)`."""
        if len(event_shape) != 3:
            raise InputError(
                f"UNet takes images (channels, height, width), got points {tuple(event_shape)}: use MLP, or reshape"
            )
        return _UNetModule(self, event_shape[0], schema, heads)


class _UNetModule(nn.Module):
    def __init__(self, spec: UNet, image_channels: int, schema: Schema, heads: int) -> None:
        super().__init__()
        widths = [spec.channels * m for m in spec.multipliers]
        embedding = 4 * spec.channels
        self.factor = 2 ** (len(widths) - 1)
        self.time = nn.Sequential(FourierTime(spec.time_features), nn.Linear(2 * spec.time_features, embedding))
        self.condition = ConditionEmbedding(schema, embedding) if schema else None
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.first = nn.Conv2d(image_channels, widths[0], 3, padding=1)
        ins = [widths[0], *widths[:-1]]
        self.down = nn.ModuleList(_stack(a, b, embedding, spec.blocks) for a, b in zip(ins, widths, strict=True))
        self.middle = _Attention(widths[-1]) if spec.attention else nn.Identity()
        self.bottom = _Residual(widths[-1], widths[-1], embedding)
        # on the way up each level sees what came from below beside its own features on the way down
        pairs = list(zip(widths, [*widths[1:], widths[-1]], strict=True))
        self.up = nn.ModuleList(_stack(own + below, own, embedding, spec.blocks) for own, below in reversed(pairs))
        self.norm = _norm(widths[0])
        self.last = _zero(nn.Conv2d(widths[0], heads * image_channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, H, W), (B,) -> (B, heads C, H, W)`."""
        height, width = x.shape[-2:]
        embedding = self.time(t)
        if self.condition is not None:
            embedding = embedding + self.condition(condition, x.shape[0])
        embedding = self.mix(embedding)
        h = self.first(_pad(x, self.factor))
        h = self._decode(*self._encode(h, embedding), embedding)
        return self.last(F.silu(self.norm(h)))[..., :height, :width]

    def _encode(self, h: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        for level, stack in enumerate(self.down):
            h = _run(stack, F.avg_pool2d(h, 2) if level else h, embedding)
            features.append(h)
        return self.bottom(self.middle(h), embedding), features

    def _decode(self, h: Tensor, features: list[Tensor], embedding: Tensor) -> Tensor:
        for level, stack in enumerate(self.up):
            h = F.interpolate(h, scale_factor=2.0, mode="nearest") if level else h
            h = _run(stack, torch.cat([h, features[-1 - level]], 1), embedding)
        return h


class _Residual(nn.Module):
    """Norm, SiLU, convolution, twice, with the embedding's scale and shift between; the second convolution starts at
    zero.
    """

    def __init__(self, ins: int, outs: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(ins), nn.Conv2d(ins, outs, 3, padding=1)
        self.norm2, self.conv2 = _norm(outs), _zero(nn.Conv2d(outs, outs, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * outs)
        self.skip = nn.Conv2d(ins, outs, 1) if ins != outs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[..., None, None].chunk(2, 1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        return self.skip(x) + self.conv2(F.silu(torch.addcmul(shift, h, 1 + scale)))


class _Attention(nn.Module):
    """Residual self-attention over the pixels, heads of about 32 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, math.gcd(channels, max(1, channels // 32)))
        self.norm, self.qkv = _norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.project = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        return x + self.project(attend(q, k, v).transpose(-1, -2).reshape(x.shape))


def _stack(ins: int, outs: int, embedding: int, blocks: int) -> nn.ModuleList:
    return nn.ModuleList(_Residual(ins if i == 0 else outs, outs, embedding) for i in range(blocks))


def _run(stack: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
    for block in stack.children():
        h = block(h, embedding)
    return h


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _pad(x: Tensor, factor: int) -> Tensor:
    bottom, right = ((factor - side % factor) % factor for side in x.shape[-2:])  # compiled, -n % m goes wrong
    return F.pad(x, (0, right, 0, bottom)) if bottom or right else x
