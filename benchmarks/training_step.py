"""What does a training step cost beyond the bare forward, backward and optimiser step?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import peers
from benchmarks.markdown import quartiles, table
from benchmarks.problems import BareStep, tables
from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.timing import Contender, Lap, interleave, ratios, timed
from pushforward.contracts import Coupling, Pairs
from pushforward.couplings import GibbsWeights, Independent, MinibatchOT, NearestNoise, SemiDiscrete
from pushforward.maps import Frame
from pushforward.networks import MLP, Field
from pushforward.objectives import FlowMatching
from pushforward.paths import Affine
from pushforward.randomness import seeded
from pushforward.training import FramedSides, PairStream, Trainer

__all__ = ["BENCHMARK"]

FLOOR = "bare step"
WARM_UP = 10
CLOCKS = (("wall", "Wall time"), ("thread", "CPU time of the training thread"), ("cpu", "CPU time of all threads"))
FIT = 10
"""Iterations of the semi-discrete fit, which the timing leaves out: potentials cost as much to look up however good."""

COUPLINGS: dict[str, Coupling] = {
    "independent": Independent(),
    "OT": MinibatchOT(),
    "OT of each batch": MinibatchOT(pool_rows=0),
    "Gibbs weights": GibbsWeights(),
    "nearest noise": NearestNoise(),
    "semi-discrete": SemiDiscrete(iterations=FIT, tolerance=1.0),
}
TARGETS = {f"pushforward, {name}": "1.2 at d 64, 1,024" for name in COUPLINGS} | {
    "pushforward, independent": "1.05",
    "pushforward, OT": "1.15 at 256, 1.5 at 1,024",
}


@dataclass
class Marks:
    """Clock readings when the trainer asks for a batch: at number `first`, and `steps` batches later."""

    first: int
    steps: int
    readings: list[Lap] = field(default_factory=list)

    def watch(self, batches: Iterator[Pairs]) -> Iterator[Pairs]:
        """Pass the batches on."""
        for number in itertools.count():
            if number in (self.first, self.first + self.steps):
                self.readings.append(Lap.now())
            batch = next(batches, None)
            if batch is None:
                return
            yield batch


@dataclass(frozen=True)
class MarkedStream(PairStream):
    """The trainer's stream, with a stop-watch at the place where the trainer waits for it."""

    marks: Marks = field(kw_only=True)

    @contextmanager
    def prefetched(self, first: int, last: int, *, ahead: int = 2) -> Iterator[Iterator[Pairs]]:
        """Watch the batches of the stream itself."""
        with super().prefetched(first, last, ahead=ahead) as batches:
            yield self.marks.watch(batches)


def trainer_step(coupling: Coupling, dimension: int, trainer: Trainer) -> Contender:
    """Measure steps in the middle of a real run, with its log and everything else a user gets."""
    data = tables(dimension)
    frame = Frame.fitted(data.source.x, data.target.x)
    sides = FramedSides((data.source, data.target), (frame, frame))
    coupling = coupling.prepared(sides, generator=seeded(0, "benchmark"))
    steps = trainer.steps - WARM_UP - 1  # the last step also writes the final checkpoint

    def run() -> Lap:
        marks = Marks(WARM_UP, steps)
        stream = MarkedStream(data.source, data.target, coupling, frame, frame, marks=marks)
        model = Field(MLP(width=256, depth=3), Affine(), (dimension,), {})
        with TemporaryDirectory() as folder:
            trainer.run(model, FlowMatching(), stream, directory=Path(folder))
        start, end = marks.readings
        return Lap.between(start, end, steps)

    return run


def script_step(dimension: int, rows: int, path: peers.PathSampler) -> Callable[[], None]:
    """Return the step of the loop that the peers' documentation shows: draw, couple and interpolate, descend."""
    data, bare = tables(dimension), BareStep(dimension, rows)

    def step() -> None:
        t, x, v = path(*data.draw(rows))
        bare.descend(x, t, v)

    return step


def straight(x0: torch.Tensor, x1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Interpolate by hand."""
    t = torch.rand(len(x0))
    return t, torch.lerp(x0, x1, t[:, None]), x1 - x0


def contenders(dimension: int, rows: int, steps: int) -> dict[str, Contender]:
    trainer = Trainer(steps=WARM_UP + steps + 1, batch_size=rows, checkpoint_every=10**9, device="cpu")
    ours = lambda coupling: trainer_step(coupling, dimension, trainer)  # noqa: E731
    found = {
        FLOOR: timed(BareStep(dimension, rows), steps),
        "bare step, torch's default Adam": timed(BareStep(dimension, rows, torch.optim.Adam), steps),
        "by hand, independent": timed(script_step(dimension, rows, straight), steps),
    } | {f"pushforward, {name}": ours(coupling) for name, coupling in COUPLINGS.items()}
    if peers.installed("torchcfm"):
        found["torchcfm, I-CFM"] = timed(script_step(dimension, rows, peers.matcher(exact=False)), steps)
        # as many steps as tell, where each costs twenty
        found["torchcfm, OT-CFM"] = timed(script_step(dimension, rows, peers.matcher(exact=True)), max(3, steps // 5))
    if peers.installed("flow_matching"):
        found["flow_matching, CondOT"] = timed(script_step(dimension, rows, peers.condot()), steps)
    return found


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure every dimension and batch size."""
    rows: Rows = []
    for dimension, batch in [(2, 16)] if settings.smoke else [(2, 256), (2, 1024), (64, 256), (64, 1024)]:
        steps = 4 if settings.smoke else 150 if batch <= 256 else 30
        laps = interleave(contenders(dimension, batch, steps), settings.rounds)
        rows += [{"dimension": dimension, "batch": batch, **row} for row in ratios(laps, FLOOR)]
        save(rows)


def markdown(rows: Rows) -> str:
    """Return one table for each clock, with the targets beside the times they are about."""
    cases = list(dict.fromkeys((row["dimension"], row["batch"]) for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows))
    parts = []
    for clock, title in CLOCKS:
        header = [title, *(f"d {dimension}, batch {batch:,}" for dimension, batch in cases), "target"]
        found = {(row["name"], row["dimension"], row["batch"]): row[clock] for row in rows}
        targets = TARGETS if clock == "wall" else {}
        parts.append(
            table(
                header,
                [
                    [name, *(quartiles(found.get((name, *case))) for case in cases), targets.get(name, "")]
                    for name in names
                ],
            )
        )
    return "\n".join(parts)


BENCHMARK = Benchmark(
    "training_step",
    "What does a training step cost beyond the bare forward, backward and optimiser step?",
    run,
    markdown,
)
