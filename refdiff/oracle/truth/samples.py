"""What samples alone can show, at 50 digits: mean, covariance, shares of the modes.

The component means stand on one line, so that the points nearest to each lie between
two parallel lines, and their share is a difference of normal integrals.
"""

from itertools import pairwise

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.mixtures import components, det

ROW = {
    "weights": [0.5, 0.3125, 0.1875],
    "means": [[1.5, -0.5], [-1.5, -4.5], [3.75, 2.5]],
    "covs": [
        [[0.25, 0.125], [0.125, 0.375]],
        [[0.5, -0.25], [-0.25, 0.5]],
        [[0.125, 0.0], [0.0, 0.25]],
    ],
}

HILL = {  # three modes in one: its covariance is that of a mode
    "weights": [0.5, 0.3125, 0.1875],
    "means": [[0.5, -0.25], [0.25, 0.0], [0.75, -0.5]],
    "covs": ROW["covs"],
}


def statistics(p, m):
    """(2, q): expected mean, covariance by rows and shares; deviation of one draw of each."""
    parts = list(components(p["law"], m))
    mean = sum(w * mu for w, mu, _ in parts)
    cov = sum(w * (C + np.outer(mu - mean, mu - mean)) for w, mu, C in parts)
    fourth = sum(w * _fourth(mu - mean, C) for w, mu, C in parts)
    share = _shares(parts, _normal_integral(m), m)
    return collected(mean, cov, fourth, share, m)


def collected(mean, cov, fourth, share, m):
    """Both rows from the moments; a share's variance is s (1 - s)."""
    values = np.concatenate([mean, cov.ravel(), share])
    variance = [np.diagonal(cov), (fourth - cov * cov).ravel(), share * (1 - share)]
    return {"samples": np.array([values, m.sqrt(np.concatenate(variance))])}


def _fourth(r, C):
    """E[a_i^2 a_j^2] for a ~ N(r, C), by Isserlis."""
    own, at = np.diagonal(C), r * r
    mixed = np.outer(at, own) + np.outer(own, at) + 4 * np.outer(r, r) * C
    return np.outer(at, at) + mixed + np.outer(own, own) + 2 * C * C


def _shares(parts, below, m):
    """Mass between the lines midway between neighbours, for each mean in their order."""
    line = parts[2][1] - parts[0][1]
    order = sorted(range(len(parts)), key=lambda k: parts[k][1] @ line)
    places = [parts[k][1] @ line for k in order]
    cuts = [(a + b) / 2 for a, b in pairwise(places)]
    share = [m.number(0.0)] * len(parts)
    for w, mu, C in parts:
        std = m.sqrt(line @ C @ line)
        F = [0, *(below((cut - mu @ line) / std) for cut in cuts), 1]
        for i, k in enumerate(order):
            share[k] = share[k] + w * (F[i + 1] - F[i])
    return np.array(share)


def _normal_integral(m):
    """Phi by the error function."""
    return lambda u: (1 + m.erf(u / m.sqrt(m.number(2.0)))) / 2


def _normal_series(m):
    """Phi(u) = 1/2 + density(u) sum_j u^(2j+1) / (1 3 5 ... (2j+1))."""

    def below(u):
        term = total = u
        for j in range(1, 600):
            term = term * u * u / (2 * j + 1)
            total = total + term
        return m.exp(-u * u / 2) / m.sqrt(2 * m.pi) * total + m.number(0.5)

    return below


def statistics_again(p, m):
    """The moments by a rule of 3 x 3 nodes a component, which is exact to degree 5."""
    parts = list(components(p["law"], m))
    nodes = [
        (m.number(0.0), 4),
        (m.sqrt(m.number(3.0)), 1),
        (-m.sqrt(m.number(3.0)), 1),
    ]
    points, weights = [], []
    for w, mu, C in parts:
        first = m.sqrt(C[0, 0])
        second = m.sqrt(det(C)) / first
        for a, p_a in nodes:
            for b, p_b in nodes:
                step = np.array([first * a, C[1, 0] / first * a + second * b])
                points.append(mu + step)
                weights.append(w * p_a * p_b / 36)
    x, w = np.array(points), np.array(weights)
    mean = w @ x
    r = x - mean
    cov = (w[:, None] * r).T @ r
    fourth = (w[:, None] * r * r).T @ (r * r)
    return collected(mean, cov, fourth, _shares(parts, _normal_series(m), m), m)


def _cases(large):
    problem = {
        "law": ROW,
        "n": 4000,
        "target": "score",
        "scaling": "ve",
        "time": "sigma",
        "sigma_max": 80.0,
    }
    for target in ("score", "eps", "x0", "v") if large else ("x0",):
        yield Case(f"three-modes/n4000/{target}", problem | {"target": target})
    yield Case("one-hill/n1000/x0", problem | {"law": HILL, "n": 1000, "target": "x0"})


FAMILIES = (
    Family(
        "samples",
        "STAT",
        "sample",
        "definition",
        "n samples of the data, by any sampler that is asked for: model(x, sigma) says "
        "what p['target'] is at x = x0 + sigma eps. Mean, covariance and the share of "
        "each mode are compared with the data's own: of modes far apart, and of three in "
        "one hill. What it cannot see: an error below about 6 standard errors (0.2 in the "
        "mean and 10 % of a variance of the first, 0.1 and 30 % of the second), such as a "
        "wrong last step from a small sigma; the shape of a mode; and which step of the "
        "sampler is wrong.",
        statistics,
        statistics_again,
        _cases,
        {"samples": "statistical"},
    ),
)
