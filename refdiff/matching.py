"""Score matching: five losses that teach a network the score, each with its gradient.

s(x, t) is the network's output; t is the label of the noise level, 0 where there is one
level alone. A loss is a weighted sum over the rows of x (n, d); w (n,) are the weights,
1/n each unless given, so that a quadrature rule gives an expectation exactly. The factor
1/2 stands where the cited equation has it.
"""

import numpy as np

from refdiff._check import Array, above_zero, finite, vectors
from refdiff.kernels import NORMAL, Kernel, conditional_score
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.schedule import Level
from refdiff.targets import Network


def _batch(**arrays):
    """Arrays of one batch, (n, d) each, or a refusal that shows their shapes."""
    checked = vectors(**arrays)
    if {a.shape for a in checked} != {checked[0].shape} or checked[0].ndim != 2:
        shapes = ", ".join(
            f"{n} {a.shape}" for n, a in zip(arrays, checked, strict=True)
        )
        raise ValueError(f"all must be of one batch (n, d): {shapes}")
    return checked


def _weights(x, w):
    """The weights w as an array (n,), 1/n each if there are none."""
    if not len(x):
        raise ValueError("x must hold at least one point")
    if w is None:
        return np.full(len(x), 1 / len(x))
    (w,) = finite(w=w)
    if w.shape != (len(x),):
        raise ValueError(f"w must be ({len(x)},); got shape {w.shape}")
    return w


def esm_loss(
    params: Array, net: MLP, x: Array, score: Array, t: Array = 0.0, w: Array = None
) -> tuple[float, Array]:
    """Explicit score matching: the score is known where the network is asked.

    1/2 sum_n w_n ||s(x_n) - score_n||^2
    x, score (n, d)  ->  loss, gradient (size,)
    Source: Chan v3 Thm 3.2, (3.6), (3.7). Departs: (3.7) drops the 1/2.
    Test: test_matching.py::test_every_loss_has_its_gradient
    """
    (x, score), w = _batch(x=x, score=score), _weights(x, w)
    s, cache = net.forward(params, x, t)
    error = s - score
    dparams, _ = net.backward(cache, w[:, None] * error)
    return float(0.5 * w @ (error**2).sum(axis=1)), dparams


def ism_loss(
    params: Array, net: MLP, x: Array, t: Array = 0.0, w: Array = None
) -> tuple[float, Array]:
    """Implicit score matching: no score is needed, but the network's divergence is.

    sum_n w_n [div s(x_n) + 1/2 ||s(x_n)||^2], the divergence by d directions
    x (n, d)  ->  loss, gradient (size,)
    Source: Chan v3 (3.9); Hyvarinen05 (4)
    Test: test_matching.py::test_every_loss_has_its_gradient
    """
    (x,), w = finite(x=x), _weights(x, w)
    s, cache = net.forward(params, x, t)
    value = w @ (net.divergence(cache) + 0.5 * (s**2).sum(axis=1))
    dparams, _ = net.backward(cache, w[:, None] * s)
    for e in np.eye(net.d):
        along = np.tile(e, (len(x), 1))
        dparams += net.backward_jvp(cache, along, 0 * s, w[:, None] * along)
    return float(value), dparams


def ssm_loss(
    params: Array,
    net: MLP,
    x: Array,
    v: Array,
    t: Array = 0.0,
    w: Array = None,
    reduced: bool = False,
) -> tuple[float, Array]:
    """Sliced score matching: the divergence and the square along random directions v.

    sum_n w_n [v^T J v + 1/2 (v . s)^2];  reduced: 1/2 ||s||^2 for its square, whose
    mean is the same where E[v v^T] = I. For directions of random signs it has less
    variance wherever d > 1; for Gaussian ones from d = 3 on, at a score of N(0, I).
    x, v (n, d)  ->  loss, gradient (size,)
    Source: SongG19 for both forms
    Test: test_matching.py::test_every_loss_has_its_gradient
    """
    (x, v), w = _batch(x=x, v=v), _weights(x, w)
    s, cache = net.forward(params, x, t)
    push = s if reduced else (v * s).sum(axis=1, keepdims=True) * v
    slice_ = (v * net.jvp(cache, v)).sum(axis=1)
    value = w @ (slice_ + 0.5 * (push * s).sum(axis=1))
    return float(value), net.backward_jvp(cache, v, w[:, None] * push, w[:, None] * v)


def dsm_loss(
    params: Array,
    net: MLP,
    x0: Array,
    z: Array,
    sigma: float | Array,
    t: Array = 0.0,
    w: Array = None,
    kernel: Kernel = NORMAL,
) -> tuple[float, Array]:
    """Denoising score matching: the conditional score stands in for the score.

    1/2 sum_n w_n ||s(x) - grad log q(x | x0)||^2 at x = x0 + sigma z;  for Gaussian
    noise 1/2 ||s(x0 + sigma z) + z / sigma||^2
    x0, z (n, d), sigma a number or (n, 1)  ->  loss, gradient (size,)
    Source: Chan v3 Thm 3.3, (3.10), (3.11), Box 3.3 training
    Test: test_matching.py::test_every_loss_has_its_gradient
    """
    (x0, z), (sigma,) = _batch(x0=x0, z=z), above_zero(sigma=sigma)
    if sigma.ndim and sigma.shape != (len(x0), 1):
        raise ValueError(f"sigma must be a number or (n, 1); got shape {sigma.shape}")
    x = x0 + sigma * z
    score = conditional_score(sigma * z, 0 * z, sigma, kernel)
    return esm_loss(params, net, x, score, t, w)


def ncsn_loss(
    params: Array,
    net: MLP,
    x0: Array,
    z: Array,
    i: Array,
    sigma: Array,
    w: Array = None,
) -> tuple[float, Array]:
    """Denoising score matching at many noise levels, weighted by lambda = sigma^2.

    1/2 sum_n w_n sigma_i^2 ||s(x0 + sigma_i z, i) + z / sigma_i||^2, where the network
    gives sigma_i s(x, i), which is of size 1 at every level
    x0, z (n, d), i (n,) ints in 1..L, sigma (L,)  ->  loss, gradient (size,)
    Source: Chan v3 (3.13); SongE19 (5)-(6); SongE20 for the network's scale
    Test: test_matching.py::test_every_loss_has_its_gradient
    """
    (x0, z), (sigma,) = _batch(x0=x0, z=z), above_zero(sigma=sigma)
    i = np.asarray(i)
    if i.dtype.kind not in "iu" or i.shape != (len(x0),):
        raise ValueError(f"i must be ({len(x0)},) integers; got {i.dtype} {i.shape}")
    if not len(x0):
        raise ValueError("x0 must hold at least one point")
    if not (1 <= np.min(i) and np.max(i) <= len(sigma)):
        raise ValueError(f"i must be in 1..{len(sigma)}; got {np.min(i)}..{np.max(i)}")
    x = (x0 + sigma[i - 1, None] * z).astype(params.dtype)
    return esm_loss(params, net, x, -z, i, w)


def ncsn_model(y_hat: Network, x: Array, level: Level) -> Array:
    """Score of a network trained by `ncsn_loss`, as a model for `Chain.run`.

    y_hat(x, t) / level.noise
    Source: SongE20 for the network's scale
    Test: test_matching.py::test_the_ncsn_model_undoes_the_scale
    """
    return y_hat(x, level.t) / level.noise


def least_dsm(law: Mixture, x: Array, sigma: float) -> Array:
    """What the best network still loses in denoising score matching, at each x.

    1/2 tr Cov[x0 | x] / sigma^4, for x = x0 + sigma z with x0 from the law
    x (..., d)  ->  (...), to be averaged over the law of x
    Source: Vincent11 (11); Efron11 (2.8)
    Test: test_matching.py::test_the_least_dsm_is_reached_by_the_score
    """
    (sigma,) = above_zero(sigma=sigma)
    cov = law.denoise_cov(x, 1.0, float(sigma))
    return 0.5 * np.trace(cov, axis1=-2, axis2=-1) / sigma**4
