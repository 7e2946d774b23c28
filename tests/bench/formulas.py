"""The peers' formulas, for any array library `xp`: NumPy, torch or jax.numpy.

`written_` is how a user writes them, on (n, 2) points; `soa_` is tuned: one array a
coordinate, a loop over components, elementwise work alone, so that compilers fuse it.
"""

from functools import reduce
from operator import add

import numpy as np


def components(problem) -> np.ndarray:
    """Return the numbers of a component: log weight, mean, precision or whitening.

    -> (rows, K, 4) for round components, (rows, K, 6) for others
    """
    log_w, means, W = problem.mixtures()
    shape = W if problem.full else W[..., :1] ** 2
    return np.concatenate([log_w[..., None], means, shape], axis=-1)


def precisions(problem) -> np.ndarray:
    """Return inverse covariances (rows, K, 2, 2), or numbers (rows, K) if round."""
    _, _, W = problem.mixtures()
    if not problem.full:
        return W[..., 0] ** 2
    root = np.zeros((*W.shape[:-1], 2, 2), W.dtype)
    root[..., 0, 0], root[..., 1, 0], root[..., 1, 1] = np.moveaxis(W, -1, 0)
    return np.swapaxes(root, -1, -2) @ root


def written_score(xp, softmax, x, log_w, means, precision):
    """Score of a mixture at x (n, 2)."""
    diff = means - x[:, None]
    if precision.ndim == 1:
        pull = precision[:, None] * diff
    else:
        pull = xp.einsum("kij,nkj->nki", precision, diff)
    p = softmax(log_w - (pull * diff).sum(-1) / 2)
    return (p[..., None] * pull).sum(1)


def soa_score(xp, x, y, rows):
    """Score of a mixture at points x, y (n,); rows: K rows of `components`."""
    logits, pulls = zip(*(_pull(x, y, *row) for row in rows), strict=True)
    top = reduce(xp.maximum, logits)
    p = [xp.exp(logit - top) for logit in logits]
    total = reduce(add, p)
    by_x = reduce(add, (p_k * u for p_k, (u, _) in zip(p, pulls, strict=True)))
    by_y = reduce(add, (p_k * v for p_k, (_, v) in zip(p, pulls, strict=True)))
    return by_x / total, by_y / total


def _pull(x, y, log_w, m1, m2, *shape):
    """Logit of a component, and its score."""
    dx, dy = m1 - x, m2 - y
    if len(shape) == 1:
        (precision,) = shape
        square, pull = dx * dx + dy * dy, (precision * dx, precision * dy)
        return log_w - precision / 2 * square, pull
    w11, w21, w22 = shape
    u, v = w11 * dx, w21 * dx + w22 * dy
    return log_w - (u * u + v * v) / 2, (w11 * u + w21 * v, w22 * v)


def soa_step(xp, x, y, row, rows, z1, z2):
    """x <- c_x x + c_s score + c_z z."""
    c_x, c_s, c_z = row
    s1, s2 = soa_score(xp, x, y, rows)
    return c_x * x + c_s * s1 + c_z * z1, c_x * y + c_s * s2 + c_z * z2


def soa_heun(xp, x, y, row, rows, next_row, next_rows):
    """Heun's step of dx/dt = a x + b score."""
    (a, b, h), (a_next, b_next, _) = row, next_row
    s1, s2 = soa_score(xp, x, y, rows)
    k1, k2 = h * (a * x + b * s1), h * (a * y + b * s2)
    s1, s2 = soa_score(xp, x + k1, y + k2, next_rows)
    l1, l2 = (
        h * (a_next * (x + k1) + b_next * s1),
        h * (a_next * (y + k2) + b_next * s2),
    )
    return x + (k1 + l1) / 2, y + (k2 + l2) / 2


def heun(score, x, row, level, next_row, next_level):
    """Return Heun's step of dx/dt = a x + b score(x, level), on points (n, 2)."""
    (a, b, h), (a_next, b_next, _) = row, next_row
    k = h * (a * x + b * score(x, level))
    k_next = h * (a_next * (x + k) + b_next * score(x + k, next_level))
    return x + (k + k_next) / 2
