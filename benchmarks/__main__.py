"""`python -m benchmarks [NAME...]`: run benchmarks, save what they measured, write the page."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks import comparison, coupling, few_step, quality, sampling, solvers, training_step, transport
from benchmarks.memory import keep_freed_memory
from benchmarks.page import PAGE, page
from benchmarks.results import RESULTS, load, save
from benchmarks.settings import Benchmark, Rows, Settings
from pushforward.atomic import atomic_path

__all__ = ["BENCHMARKS", "main"]

_MODULES = (training_step, coupling, sampling, solvers, quality, comparison, few_step)
BENCHMARKS = [*(module.BENCHMARK for module in _MODULES), *transport.BENCHMARKS]


def main(arguments: list[str] | None = None) -> None:
    """Run the named benchmarks, all by default; `table` only writes the page."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.smoke and (options.results == RESULTS or options.page == PAGE):
        parser.error("--smoke measures nothing: give --results and --page, so that no real results are overwritten")
    torch.set_num_threads(1)
    keep_freed_memory()
    settings = Settings(options.rounds, options.steps, tuple(options.seeds), options.smoke)
    for benchmark in BENCHMARKS:
        if benchmark.name in options.names:
            _run(benchmark, settings, options.results, resume=options.resume)
    with atomic_path(options.page) as temporary:
        temporary.write_text(page(BENCHMARKS, options.results))


def _parser() -> argparse.ArgumentParser:
    names = [benchmark.name for benchmark in BENCHMARKS]

    def known(name: str) -> str:
        if name not in (*names, "table"):
            raise argparse.ArgumentTypeError(f"no benchmark is called {name!r}: wanted {', '.join(names)} or table")
        return name

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", type=known, default=names, metavar="NAME", help=f"{', '.join(names)}; or table"
    )
    parser.add_argument("--rounds", type=int, default=Settings.rounds, help="interleaved rounds of a timing")
    parser.add_argument("--steps", type=int, default=Settings.steps, help="training steps where quality is compared")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(Settings.seeds), help="training seeds where quality is compared"
    )
    parser.add_argument(
        "--resume", action="store_true", help="do what the saved results lack, where a benchmark can go on from them"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="tiny sizes, to see that everything runs; needs --results and --page elsewhere",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the saved results")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    return parser


def _run(benchmark: Benchmark, settings: Settings, folder: Path, *, resume: bool) -> None:
    print(f"{benchmark.name}: {benchmark.question}", flush=True)
    start, last = time.perf_counter(), []

    def keep(rows: Rows) -> None:
        last[:] = rows
        save(benchmark.name, settings, rows, folder)

    known = load(benchmark.name, folder) if resume else None
    if benchmark.resume is None or known is None:
        benchmark.run(settings, keep)
    elif known["settings"]["steps"] != settings.steps:
        raise SystemExit(f"the saved results are of {known['settings']['steps']} steps: give --steps, or no --resume")
    else:
        benchmark.resume(settings, keep, known["rows"])
    print(f"\n{benchmark.markdown(last)}\n{time.perf_counter() - start:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
