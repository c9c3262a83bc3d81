"""How likely the data are under a model."""

from __future__ import annotations

from torch import Tensor

from pushforward.errors import InputError

__all__ = ["negative_log_likelihood"]


def negative_log_likelihood(log_prob: Tensor) -> Tensor:
    """Mean negative log-likelihood `-E log p(y)` of held-out rows, in nats per row, from `log_prob: (n,)`.

    Its floor is that of the target itself under its own density, where there is one. Infinite where any row is
    impossible. Divide by `d log 2` for bits per dimension. Raises `InputError` for an empty or a NaN log-density.

    >>> import torch
    >>> negative_log_likelihood(torch.tensor([-1.0, -3.0]))
    tensor(2.)
    """
    if log_prob.ndim != 1 or log_prob.numel() == 0:
        raise InputError(f"log_prob has shape {tuple(log_prob.shape)}, wanted (rows,) with at least one row")
    if log_prob.isnan().any():
        raise InputError(f"log_prob is NaN at row {int(log_prob.isnan().nonzero()[0])}")
    return -log_prob.mean()
