"""Finite Markov chains: the weather. "Walk a Markov chain".

A chain with k states is a matrix P, (k, k): P[i, j] is the probability that state i today becomes state j tomorrow, so
every row sums to 1. A distribution over states is a row vector p, (k,).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def check_matrix(P: Float[Tensor, "k k"]) -> Float[Tensor, "k k"]:
    """P itself, if it is square, has no negative entry and rows that sum to 1; else a ValueError that says which."""
    if P.ndim != 2 or P.shape[0] != P.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {tuple(P.shape)}")
    if not (P >= 0).all():
        raise ValueError("expected probabilities, got a negative entry or NaN")
    for i, total in enumerate(P.sum(1).tolist()):
        if abs(total - 1) > 1e-4:
            raise ValueError(f"expected every row to sum to 1, but row {i} sums to {total:.4g}")
    return P


def check_distribution(p: Float[Tensor, "k"], P: Float[Tensor, "k k"]) -> Float[Tensor, "k"]:
    """p itself, if it has a probability for every state of the chain P and sums to 1; else a ValueError that says which."""
    if p.shape != P.shape[:1]:
        raise ValueError(f"expected a probability for each of the {len(P)} states, got shape {tuple(p.shape)}")
    if not (p >= 0).all() or abs(p.sum().item() - 1) > 1e-4:
        raise ValueError(f"expected probabilities that sum to 1, got {[round(x, 4) for x in p.tolist()]}")
    return p


def simulate(
    P: Float[Tensor, "k k"],
    start: int | Int[Tensor, "n"],
    steps: int,
    n: int = 1,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "n times"]:
    """n independent walks of `steps` steps: (n, steps + 1), each day drawn from the row of P that its yesterday names.

    A draw is a dart u, uniform in [0, 1), thrown at the row laid out as a line: P[i, 0] long for state 0, then P[i, 1]
    for state 1, and so on. `start` is one state for all walks or one for each.
    """
    edges = check_matrix(P).cumsum(1)
    edges = edges / edges[:, -1:]  # rounding must not leave a gap behind the last state
    walk = torch.empty(n, steps + 1, dtype=torch.int64)
    walk[:, 0] = start
    if n and not (0 <= walk[:, 0].min() and walk[:, 0].max() < len(P)):
        raise ValueError(f"expected a state in 0..{len(P) - 1} to start from, got {start}")
    for day in range(steps):
        u = torch.rand(n, generator=generator)
        walk[:, day + 1] = (u[:, None] >= edges[walk[:, day]]).sum(1)
    return walk


def after(P: Float[Tensor, "k k"], p0: Float[Tensor, "k"], steps: int) -> Float[Tensor, "k"]:
    """p_n = p_0 P^n: the distribution after `steps` steps."""
    if steps < 0:
        raise ValueError(f"expected steps >= 0, got {steps}: the inverse of P is not the way back, see `reverse`")
    return check_distribution(p0, P) @ torch.linalg.matrix_power(check_matrix(P), steps)


def stationary(P: Float[Tensor, "k k"]) -> Float[Tensor, "k"]:
    """The p with p = p P: the eigenvector of P^T for eigenvalue 1, made to sum to 1.

    Unique if every state can be reached from every other; for a chain that falls apart it is one of several.
    """
    values, vectors = torch.linalg.eig(check_matrix(P).T)
    p = vectors[:, (values - 1).abs().argmin()].real
    return p / p.sum()


def reverse(P: Float[Tensor, "k k"], p: Float[Tensor, "k"]) -> Float[Tensor, "k k"]:
    """R[j, i] = P(yesterday i | today j) = p_i P[i, j] / sum_i p_i P[i, j]: Bayes' rule, p the mix of yesterday.

    Transposing P is not reversing it: the way back needs to know how common each yesterday was.
    """
    joint = check_distribution(p, P)[:, None] * check_matrix(P)
    seen = joint.sum(0)
    if (seen == 0).any():
        raise ValueError("a state that is never seen today has no yesterday: every state needs a positive probability")
    return (joint / seen).T
