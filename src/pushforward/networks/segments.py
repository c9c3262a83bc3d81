"""A network of its own for every segment of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import sub
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema, take
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.mlp import MLP

__all__ = ["BLOCKWISE", "SegmentExperts", "checked_edges", "segment_of"]

BLOCKWISE = Reference(
    "park2025blockwise",
    "Blockwise Flow Matching: Improving Flow Matching Models For Efficient High-Quality Generation",
    "Park, Dogyun and Lee, Taehoon and Joo, Minseok and Kim, Hyunwoo J.",
    2025,
    arxiv="2510.21167",
)


def checked_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """Return the ends of segments of time as numbers. Raises `InputError` unless they increase from 0 to 1."""
    times = tuple(float(edge) for edge in edges)
    if len(times) < 2 or times[0] != 0 or times[-1] != 1 or not all(gap > 0 for gap in map(sub, times[1:], times)):
        raise InputError(f"edges must increase from 0 to 1, got {times}")
    return times


def segment_of(t: Tensor, boundaries: tuple[float, ...]) -> Tensor:
    """Return the number of the segment that each time lies in, `(B,)`: at a boundary, of the one that begins there."""
    return (t.detach()[:, None] >= t.new_tensor(boundaries)).sum(1)


@dataclass(frozen=True)
class SegmentExperts(Architecture):
    """One network for each segment of time `[t_{m-1}, t_m)`, all of one architecture, `block`: each row goes to the one
    that its time lies in.

    `edges` are the times `0 = t_0 < ... < t_M = 1`, both ends among them; a time exactly at an edge belongs to the
    segment that begins there, 1 to the last. A forward pass costs what one block costs, but each block sees its share
    of the training rows only. The prediction may jump at the edges inside: solvers stop at them and start afresh.

    >>> net = SegmentExperts((0.0, 0.5, 1.0), MLP(width=8)).build((2,), {})
    >>> net(torch.zeros(5, 2), torch.rand(5)).shape, net.boundaries
    (torch.Size([5, 2]), (0.5,))
    """

    references: ClassVar[tuple[Reference, ...]] = (BLOCKWISE,)
    edges: tuple[float, ...] = (0.0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0)
    block: Architecture = field(default_factory=MLP)

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", checked_edges(self.edges))

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the networks as one, for points that the blocks take."""
        blocks = [self.block.build(event_shape, schema, heads) for _ in self.edges[1:]]
        return _Experts(blocks, self.edges[1:-1])


class _Experts(nn.Module):
    """Networks and the `boundaries` between them, `t_1, ..., t_{M-1}`."""

    def __init__(self, blocks: Sequence[nn.Module], boundaries: tuple[float, ...]) -> None:
        super().__init__()
        self.blocks, self.boundaries = nn.ModuleList(blocks), boundaries

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`, row by row from the block of its time."""
        segment = segment_of(t, self.boundaries)
        counts = torch.bincount(segment, minlength=len(self.blocks)).tolist()
        if max(counts) == len(t):  # as in sampling, where all rows have one time
            return self.blocks[counts.index(len(t))](x, t, condition)
        order = segment.argsort(stable=True)
        rows = [part for part in order.split(counts) if len(part)]
        live = [block for block, count in zip(self.blocks, counts, strict=True) if count]
        values = [block(x[part], t[part], take(condition, part)) for block, part in zip(live, rows, strict=True)]
        return torch.cat(values)[order.argsort()]
