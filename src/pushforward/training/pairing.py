"""Both sides as they are paired: the data themselves, or their latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition, Schema, condition_to
from pushforward.contracts import Coupling, Path
from pushforward.errors import InputError
from pushforward.maps import Frame
from pushforward.measures import Empirical, Gaussian, Measure, Samples
from pushforward.paths import Codec
from pushforward.randomness import seeded
from pushforward.spaces import Space

__all__ = ["paired_measures"]

ROWS_AT_ONCE = 256


def paired_measures(
    path: Path, coupling: Coupling, measures: tuple[Measure, Measure], frames: tuple[Frame, Frame]
) -> tuple[tuple[Measure, Measure], tuple[Frame, Frame]]:
    """Return source and target in the space where the pairs of `path` are made, each with the frame that is left.

    Outside a latent space these are the measures and frames that were given. The latents of a finite set are computed
    here, once. Raises `InputError` for a coupling that starts from an observation, which lives in the data.
    """
    space, codec = path.space, path.space.target
    if not isinstance(codec, Codec):
        return measures, frames
    if coupling.starts_from is not None:
        raise InputError(
            f"a latent has no known entries: {type(coupling).__name__} starts from what is observed of the data; give "
            "that as a condition instead, with Latent(encoded=...)"
        )
    shape = codec.shape(measures[1].event_shape)
    source = _source(measures[0], frames[0], space)
    return (source, _target(measures[1], frames[1], space, codec)), (Frame(shape), Frame(shape))


def _source(measure: Measure, frame: Frame, space: Space) -> Measure:
    if measure.is_standard_normal:  # so are its first numbers, whose frame is the identity
        return Gaussian.standard(*space.source.shape(measure.event_shape))
    return _Mapped(measure, space.source.shape(measure.event_shape), lambda x: space.source.encode(frame.enter(x)))


def _target(measure: Measure, frame: Frame, space: Space, codec: Codec) -> Measure:
    def summary(x: Tensor) -> Tensor:
        return codec.summary(frame.enter(x)).detach().to(x.device)  # the codec may have been on an accelerator before

    def condition(rows: Condition | None) -> Condition | None:
        return condition_to(space.condition(rows, frame.normalise), "cpu")

    shape = codec.shape(measure.event_shape)
    if not isinstance(measure, Empirical):
        return _Mapped(measure, shape, summary, condition, codec.draw)
    summaries = torch.cat([summary(x) for x in measure.x.split(ROWS_AT_ONCE)])
    known = measure.mapped(summaries, condition(measure.condition))
    return _Mapped(known, shape, draw_from=codec.draw) if codec.is_random else known


def _same(x: Tensor) -> Tensor:
    return x


def _as_it_is(rows: Condition | None) -> Condition | None:
    return rows


def _certain(summary: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    return summary


@dataclass(frozen=True)
class _Mapped(Measure):
    """The points of another measure, summed up by `summary` and drawn from that, with their conditions mapped too."""

    measure: Measure
    shape: tuple[int, ...]
    summary: Callable[[Tensor], Tensor] = _same
    condition: Callable[[Condition | None], Condition | None] = _as_it_is
    draw_from: Callable[..., Tensor] = _certain

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of what comes out."""
        return self.shape

    @property
    def schema(self) -> Schema:
        """What the conditions mean."""
        return self.measure.schema

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points."""
        return self.draw(n, generator=generator).x

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Samples:
        """Draw `n` points with their conditions."""
        return self._mapped(self.measure.draw(n, generator=generator), generator)

    def block(self, index: int, n: int, *, seed: int) -> Samples:
        """Return a block of the other measure, mapped."""
        return self._mapped(self.measure.block(index, n, seed=seed), seeded(seed, "latents", index))

    def _mapped(self, rows: Samples, generator: torch.Generator | None) -> Samples:
        x = self.draw_from(self.summary(rows.x), generator=generator)
        return Samples(x, self.condition(rows.condition))
