"""A field: a network, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.configuration import Recorded
from pushforward.contracts import Path, Prediction, TwoTimeField, VelocityLaw
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.predictions import as_predictions

__all__ = ["Field"]

MARGIN = 1e-3
"""Conversions that divide by a coefficient which vanishes at an end of the path are evaluated this far from it."""


class Field(Recorded, nn.Module):
    """A network together with the path it was trained on and what it `predicts`, one kind for each of its heads.

    `forward` is the raw prediction, the heads joined along the first axis of a point; `velocity`, `data`, `noise`,
    `score` and `denoiser` are served by the head of that name where there is one, and else converted through the path.
    Scores and denoisers exist only where the source is exactly N(0, I) given the target and the condition
    (`gaussian_source`), or the path has noise of its own; elsewhere asking raises `InputError`.

    Times are clamped to `path.interval`. A conversion that divides by sigma (from data, or to the score) is evaluated
    at most at t = 1 - 1e-3, one that divides by alpha (from noise, denoiser or score) at least at t = 1e-3: the network
    and the conversion both see that time, so the result is the prediction frozen over the margin, not one that blows
    up.

    `network` is an `Architecture`, built here, or any module with `forward(x, t, condition)`. A trainable path is part
    of the field's parameters.
    """

    def __init__(
        self,
        network: Architecture | nn.Module,
        path: Path,
        event_shape: tuple[int, ...],
        schema: Schema,
        predicts: str | Sequence[str] = "velocity",
        gaussian_source: bool = False,
    ) -> None:
        super().__init__()
        self.event_shape, self.schema = tuple(event_shape), schema
        self.predicts = as_predictions(predicts)
        self.gaussian_source = gaussian_source
        self.path = path.built(self.event_shape, schema)
        built = isinstance(network, Architecture)
        self.state_shape = states = self.path.target_end.shape(self.path.space.target.shape(self.event_shape))
        own = network.build(states, self.path.told(schema), len(self.predicts)) if built else network
        self.network = self.path.wrapped(own, states, schema, self.predicts)

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return what the network predicts at `x: (B, C, *rest)`, `t: (B,)`: `(B, heads C, *rest)`, like x for one
        head.
        """
        return self.network(x, t, condition)

    @property
    def architecture(self) -> Architecture:
        """What its network was built from. Raises `InputError` for a network that was given as a module."""
        network = self.__dict__["_init_args"]["network"]
        if not isinstance(network, Architecture):
            raise InputError(
                f"the network of this flow is a module, {type(network).__name__}: nothing says how to widen it"
            )
        return network

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times that a step must not cross: those of the path, and those of the network if it names any."""
        return tuple(sorted({*self.path.boundaries, *getattr(self.network, "boundaries", ())}))

    def entered(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Condition | None:
        """Return the condition to go on with from the states `x` at time t, where a segment of time begins: with what
        the network works out once for the whole of it, if it does.
        """
        entered = getattr(self.network, "entered", None)
        return condition if entered is None else entered(x, t, condition)

    def refined(self, x: Tensor, t: Tensor, before: Tensor, condition: Condition | None = None) -> Tensor:
        """Return dx/dt at `(x, t)` as a light network estimates it from the velocity `before`, a short step earlier.
        Raises `InputError` for a network without one.
        """
        refined = getattr(self.network, "refined", None)
        if refined is None:
            raise InputError("this flow has no refiner: train one beside it, fit with --adapter Refiner")
        return refined(x, t.clamp(*self.path.interval), before, condition)

    def mean_velocity(self, x: Tensor, s: Tensor, e: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the average velocity on the way from `x: (B, *event)` at time s to time e, each `(B,)`. Raises
        `InputError` for a network that is told one time only, or does not predict the velocity.
        """
        if self.predicts != ("velocity",):
            raise InputError(f"flow maps are velocities: the field predicts {', '.join(self.predicts)}")
        if not isinstance(self.network, TwoTimeField):
            raise InputError(
                "this network is told one time and knows no jumps: fit with --objective MeanFlow, or --network TwoTime"
            )
        low, high = self.path.interval
        if (low, high) != (0.0, 1.0):
            s, e = s.clamp(low, high), e.clamp(low, high)
        return self.network.mean_velocity(x, s, e, condition)

    @property
    def only_to_end(self) -> bool:
        """Whether its network knows jumps to t = 1 alone, and no velocity."""
        return getattr(self.network, "only_to_end", False)

    @property
    def law(self) -> VelocityLaw:
        """The law of the velocity given the state, of which `velocity` is the mean. Raises `InputError` for a network
        that knows no more than the mean.
        """
        if not isinstance(self.network, VelocityLaw):
            raise InputError(
                "this network predicts a mean, not the law of the velocity: fit with --network MixtureHead or FlowHead"
            )
        return self.network

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return dx/dt at `(x, t)`."""
        return self._convert(("velocity",), x, t, condition)[0]

    def data(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected target point given `(x, t)`."""
        return self._convert(("data",), x, t, condition)[0]

    def noise(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected source point given `(x, t)`."""
        return self._convert(("noise",), x, t, condition)[0]

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the gradient of the log-density at `(x, t)`. Raises `InputError` where the source is not N(0, I) given
        the target.
        """
        return self._convert(("score",), x, t, condition)[0]

    def denoiser(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected noise of the path given `(x, t)`, `-gamma score` for noise of size gamma. Raises
        `InputError` where the path has none.
        """
        return self._convert(("denoiser",), x, t, condition)[0]

    def velocity_and_score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> tuple[Tensor, Tensor]:
        """Return both from one evaluation of the network, as stochastic solvers need them."""
        velocity, score = self._convert(("velocity", "score"), x, t, condition)
        return velocity, score

    def _convert(
        self, kinds: tuple[Prediction, ...], x: Tensor, t: Tensor, condition: Condition | None
    ) -> list[Tensor]:
        low, high = self.path.interval
        for kind in kinds:
            low, high = _safe_interval(low, high, self.predicts, kind)
        if (low, high) != (0.0, 1.0):  # the common case costs nothing
            t = t.clamp(low, high)
        value = self.network(x, t, condition)
        heads = (value,) if len(self.predicts) == 1 else value.chunk(len(self.predicts), 1)
        known = dict(zip(self.predicts, heads, strict=True))
        return [
            known[kind] if kind in known
            else self.path.derive(known, x, t, kind, gaussian_source=self.gaussian_source)
            for kind in kinds
        ]  # fmt: skip


def _safe_interval(low: float, high: float, known: tuple[Prediction, ...], dst: Prediction) -> tuple[float, float]:
    """Narrow an interval of times to where `dst` follows from what is known."""
    if dst in known:
        return low, high
    if any(src in ("noise", "denoiser", "score") for src in known):
        low = max(low, MARGIN)
    if "data" in known or dst == "score":
        high = min(high, 1 - MARGIN)
    return low, high
