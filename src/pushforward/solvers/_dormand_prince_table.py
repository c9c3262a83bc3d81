"""The coefficients of Dormand and Prince's 5(4) pair, with Shampine's quartic interpolant (as in SciPy's RK45)."""

from __future__ import annotations

__all__ = ["DENSE", "ERROR", "STAGES", "STAGE_TIMES"]

STAGE_TIMES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
"""Of the six new slopes of a step; the first slope is the last of the step before."""

STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
"""Weights of the earlier slopes for each new stage; the last row is the fifth-order result itself."""

ERROR = (-71 / 86400, 0.0, 142 / 50085, -71 / 2880, 5751 / 169600, -44 / 1575, 1 / 60)
"""Weights of the seven slopes in the difference of the fourth- and the fifth-order result, for Shampine's choice of the
fourth-order formula: two thirds of Dormand and Prince's own difference, as in torchdiffeq."""

DENSE = (
    (1.0, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
    (0.0, 0.0, 0.0, 0.0),
    (0.0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
    (0.0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
    (0.0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
    (0.0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
    (0.0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
)
"""At the fraction `u` of the step slope j weighs `sum_p DENSE[j][p] u^(p+1)`."""
