"""The exact model of mixture data at 50 digits: what a perfect network would say.

A law is {"weights", "means", "covs"}, plain lists, in one or two dimensions. At signal
and noise, component k of x has mean signal m_k and S_k = signal^2 C_k + noise^2 I.
"""

import numpy as np

GAUSSIAN = {
    "weights": [1.0],
    "means": [[1.5, -0.75]],
    "covs": [[[0.5, 0.25], [0.25, 0.375]]],
}
MIXTURE = {
    "weights": [0.5, 0.3125, 0.1875],
    "means": [[1.5, -0.75], [-1.25, 0.5], [0.25, 2.0]],
    "covs": [
        [[0.25, 0.125], [0.125, 0.1875]],
        [[0.125, -0.0625], [-0.0625, 0.25]],
        [[0.5, 0.0], [0.0, 0.0625]],
    ],
}
LINE = {  # in one dimension, where the flow is known in closed form
    "weights": [0.5, 0.3125, 0.1875],
    "means": [[1.5], [-1.25], [3.0]],
    "covs": [[[0.25]], [[0.125]], [[0.5]]],
}


def components(law, m):
    """Weights (K,), means (K, d) and covariances (K, d, d) as numbers of m."""
    return zip(*(m.number(law[k]) for k in ("weights", "means", "covs")), strict=True)


def spread(cov, signal, noise):
    """S = signal^2 C + noise^2 I."""
    return signal * signal * cov + noise * noise * np.eye(len(cov), dtype=np.int8)


def det(S):
    """Determinant of a 1 x 1 or 2 x 2 matrix."""
    return S[0, 0] if len(S) == 1 else S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]


def solve(S, r):
    """S^-1 r for each row of r, by the adjugate."""
    if len(S) == 1:
        return r / S[0, 0]
    first = S[1, 1] * r[:, 0] - S[0, 1] * r[:, 1]
    second = S[0, 0] * r[:, 1] - S[1, 0] * r[:, 0]
    return np.column_stack([first, second]) / det(S)


def score(x, law, signal, noise, m):
    """-sum_k p_k S_k^-1 (x - signal m_k), p_k = w_k N(x | k) over their sum."""
    size, square, pull = [], [], []
    for w, mean, cov in components(law, m):
        S, r = spread(cov, signal, noise), x - signal * mean
        pull.append(solve(S, r))
        size.append(w / m.sqrt(det(S)))
        square.append((r * pull[-1]).sum(axis=1))
    return -averaged(size, square, pull, m)


def averaged(size, square, values, m):
    """Mean of values by size_k exp(-square_k / 2), the least square taken out.

    Only a machine, whose exponential may be 0, needs that.
    """
    least = np.min(square, axis=0)
    pairs = zip(size, square, strict=True)
    weight = [(w * m.exp((least - s) / 2))[:, None] for w, s in pairs]
    top = sum(w * v for w, v in zip(weight, values, strict=True))
    return top / sum(weight)


def denoised(x, law, signal, noise, m):
    """E[x0 | x] in information form: (C^-1 + q signal I)^-1 (C^-1 m + q x), q = signal/noise^2.

    The weights come from whitened residuals, L^-1 (x - signal m_k) with S_k = L L^T.
    """
    q = signal / (noise * noise)
    size, squares, mean_of = [], [], []
    for w, mean, cov in components(law, m):
        precision = inverse(cov)
        posterior = precision + q * signal * np.eye(len(cov), dtype=np.int8)
        mean_of.append(solve(posterior, precision @ mean + q * x))
        square, root = _whitened(spread(cov, signal, noise), x - signal * mean, m)
        size.append(w / root)
        squares.append(square)
    return averaged(size, squares, mean_of, m)


def inverse(S):
    """Inverse of a 1 x 1 or 2 x 2 matrix."""
    if len(S) == 1:
        return 1 / S
    return np.array([[S[1, 1], -S[0, 1]], [-S[1, 0], S[0, 0]]]) / det(S)


def _whitened(S, r, m):
    """|L^-1 r|^2 of each row, and det L, for S = L L^T."""
    first = m.sqrt(S[0, 0])
    y = r[:, 0] / first
    if len(S) == 1:
        return y * y, first
    below = S[1, 0] / first
    second = m.sqrt(S[1, 1] - below * below)
    rest = (r[:, 1] - below * y) / second
    return y * y + rest * rest, first * second


def output(p, x, signal, noise, m):
    """What the exact model says at x, as p["target"]; v = (signal eps - noise x0) / r.

    r = sqrt(signal^2 + noise^2), which is 1 for variance-preserving processes.
    """
    if p["target"] in ("x0", "flow"):
        x0 = denoised(x, p["law"], signal, noise, m)
        return x0 if p["target"] == "x0" else (x - signal * x0) / noise - x0
    s = score(x, p["law"], signal, noise, m)
    if p["target"] == "score":
        return s
    eps = -noise * s
    if p["target"] == "eps":
        return eps
    r = m.sqrt(signal * signal + noise * noise)
    return (r * eps - noise * x / r) / signal


def x0_eps(p, x, y, signal, noise, m):
    """x0_hat and eps_hat from the model's output y."""
    if p["target"] == "x0":
        return y, (x - signal * y) / noise
    if p["target"] == "flow":  # x = (1 - s) x0 + s eps, y = eps - x0
        return x - noise * y, x + signal * y
    if p["target"] == "v":
        r2 = signal * signal + noise * noise
        return (signal * x / m.sqrt(r2) - noise * y) / m.sqrt(r2), (
            noise * x / m.sqrt(r2) + signal * y
        ) / m.sqrt(r2)
    eps = y if p["target"] == "eps" else -noise * y
    return (x - noise * eps) / signal, eps
