"""What a reader has to know about the figures on transport."""

__all__ = ["NOTES"]

_COMMON = """\
Every solver starts from the same points (a standard normal cloud and a shifted mixture of four rotated normals,
float64, uniform weights, mean squared distance 1) and runs in turn on one thread in one process; a solver that wants a
cost matrix gets it inside its time, by the function that ours uses. Compilation is not timed. A solver that is done
within a second and a half runs in several rounds, and the median counts; any other runs once."""

_ENTROPIC = f"""\
{_COMMON} It may take 60 seconds; one that failed by far at an easier problem is not tried. Each is told to stop, in
the terms of its own rule, so that the L1 error of the marginals, both sides summed, meets the tolerance. That error is
then computed anew from its potentials in float64, and a plan counts only if it is met and if the dual value, a lower
bound of the optimum, is within 1e-4 of the best one known. Epsilon is in units of the mean cost. By hand is the bare
iteration: the kernel computed once, two products a sweep, no acceleration. GeomLoss has no stopping rule and gets the
number of iterations that a search, not timed, found. Iterations are what each solver counts, and not comparable.
"""

NOTES = {
    "transport_entropic_1024": _ENTROPIC,
    "transport_entropic_4096": _ENTROPIC,
    "transport_exact": """\
The same clouds and the same worker process; a solver may take 120 seconds. Excess is the cost above the cheapest
plan's. BSP's plans are permutations that need not be optimal.
""",
    "transport_sliced": """\
10,000 points on either side, 64 dimensions, 500 random directions. By hand is the floor: project, sort either side,
compare. Directions differ between packages, and so do the values.
""",
    "transport_batched": """\
256 pairs of clouds of 64 points. Entropic plans at epsilon 0.05 of the mean cost to an L1 error of 1e-6 in every
problem, and exact plans; a loop over single problems where a package solves only those. Iterations are those of the
slowest problem.
""",
    "transport_sweep": """\
The difference between runs of 40 and of 10 iterations at epsilon 0.005, d 3, divided by 30: preparation cancels. An
iteration updates both potentials; GeomLoss does so from the old pair.
""",
    "transport_memory": """\
Growth of the resident memory at its peak, of a fresh process, over three sweeps in float64. The process may not
allocate more than 4 GB.
""",
    "transport_cuda": """\
Float32, epsilon 0.05 of the mean cost, an L1 error of 1e-3 computed anew in float64. Seconds are wall time, kernels
compiled beforehand. flash-sinkhorn and KeOps take part where they are installed.
""",
}
