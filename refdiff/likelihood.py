"""Likelihoods of a diffusion model: by the probability flow, and as a weighted loss.

Along the flow the log density falls by the divergence of its drift, so a model's own
log density at a point is an integral over its path. The divergence needs the model's
derivative: a `Linearised` model returns its score and a function v -> J v.
"""

from collections.abc import Callable

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, above_zero, finite, whole
from refdiff.matching import _batch, _weights, esm_loss
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.ode import RK4, Tableau, flow, monotone, reference_flow
from refdiff.schedule import Level
from refdiff.sde import SDE

Linearised = Callable[[Array, Level], tuple[Array, Callable[[Array], Array]]]


def linearised_mixture(law: Mixture) -> Linearised:
    """The exact score of a noised mixture, with its derivative along v.

    s = sum_k p_k s_k,  s_k = -cov_k^-1 (x - mean_k),  p_k = p(k | x)
    J v = sum_k p_k [(s_k - s) (s_k - s)^T v - cov_k^-1 v]
    -> model(x (n, d), level) -> s (n, d), push(v (n, d)) -> (n, d)
    Source: definition
    Test: test_likelihood.py::test_linearised_models_have_their_derivative
    """

    def model(x, level):
        at = law.noised(level.signal, level.noise)
        L = gaussian.cholesky(at.covs)
        p = at.responsibilities(x)[..., None]
        each = -_solve(L, x[:, None] - at.means)
        s = (p * each).sum(axis=1)
        rest = each - s[:, None]

        def push(v):
            along = (rest * v[:, None]).sum(axis=-1, keepdims=True)
            return (p * (rest * along - _solve(L, v[:, None]))).sum(axis=1)

        return s, push

    return model


def _solve(L, r):
    return gaussian.unwhiten(L, gaussian.whiten(L, r))


def linearised_eps(net: MLP, params: Array, T: float = 1.0) -> Linearised:
    """The score -eps_hat / noise of a network, with its derivative by forward mode.

    The network is asked at T t: it may count time in 0..T where the SDE has 0..1
    -> model(x (n, d), level) -> score (n, d), push(v (n, d)) -> (n, d)
    Source: Song21 D.2 for its use
    Test: test_likelihood.py::test_linearised_models_have_their_derivative
    """

    def model(x, level):
        eps, cache = net.forward(params, x, T * level.t)
        return -eps / level.noise, lambda v: -net.jvp(cache, v) / level.noise

    return model


def divergence(push: Callable[[Array], Array], x: Array, probes: Array | None) -> Array:
    """Trace of a Jacobian J from its products: exact, or Hutchinson's estimate.

    sum_i e_i^T J e_i;  with probes: mean_m v_m^T J v_m, unbiased where E v v^T = I
    push(v (n, d)) -> J v (n, d), x (n, d), probes (M, n, d) or None  ->  (n,)
    ValueError if the probes are not finite, not of x's shape, or none at all.
    Source: Song21 D.2; Hutchinson89 for the probes
    Test: test_likelihood.py::test_hutchinson_takes_the_mean_over_probes
    """
    if probes is None:
        exact = np.broadcast_to(np.eye(x.shape[1])[:, None], (x.shape[1], *x.shape))
        return sum((v * push(v)).sum(axis=1) for v in exact)
    (probes,) = finite(probes=probes)
    if probes.ndim != 3 or probes.shape[1:] != x.shape or not len(probes):
        want = ", ".join(map(str, ("M", *x.shape)))
        raise ValueError(f"probes must be ({want}); got shape {probes.shape}")
    return sum((v * push(v)).sum(axis=1) for v in probes) / len(probes)


def _linearised(model, x, level):
    """Score and push of a model, refused unless both fit x."""
    answer = model(x, level)
    if not (isinstance(answer, tuple) and len(answer) == 2 and callable(answer[1])):
        raise TypeError("model must return (score, push), as linearised_mixture(law)")
    score, push = answer
    if np.shape(score) != x.shape or np.shape(push(x)) != x.shape:
        raise ValueError(f"score and push(v) must have the shape of x, {x.shape}")
    return score, push


def flow_with_divergence(
    sde: SDE, model: Linearised, probes: Array | None = None
) -> Callable[[Array, float], Array]:
    """Slope of (x, log p) along the probability flow, one array (n, d + 1).

    dx/dt = a x - g^2/2 s,  d log p/dt = -div of it = -(a d - g^2/2 tr J)
    Source: Song21 (39)
    Test: test_likelihood.py::test_the_flow_gives_the_closed_form_density
    """

    def slope(state, t):
        x = state[:, :-1]
        s, push = _linearised(model, x, sde.level(t))
        half = sde.g2(t) / 2
        trace = sde.a(t) * x.shape[1] - half * divergence(push, x, probes)
        return np.column_stack([sde.f(x, t) - half * s, -trace])

    return slope


def log_likelihood(
    x: Array,
    sde: SDE,
    model: Linearised,
    grid: Array,
    prior: Callable[[Array], Array] | None = None,
    probes: Array | None = None,
    tableau: Tableau | None = RK4,
) -> tuple[Array, Array]:
    """Log density at time grid[0] of a model, by its probability flow to grid[-1].

    log p(x) = log prior(x_T) + integral of the flow's divergence
    x (n, d), grid rising; prior(x_T) -> (n,), N(0, noise(grid[-1])^2 I) unless given, so
    that signal(grid[-1]) must be small; probes (M, n, d) for Hutchinson, if d is large;
    tableau None: SciPy's  ->  (n,) nats, x_T (n, d)
    ValueError if x is not finite or not (n, d), or the grid does not rise.
    Source: Song21 (39)
    Test: test_likelihood.py::test_the_flow_gives_the_closed_form_density
    """
    (x,), grid = finite(x=x), monotone(grid)
    if grid[0] > grid[1]:
        raise ValueError(f"grid must rise; it falls from {grid[0]}")
    if x.ndim != 2:
        raise ValueError(f"x must be (n, d); got shape {x.shape}")
    start = np.column_stack([x, np.zeros(len(x))])
    slope = flow_with_divergence(sde, model, probes)
    if tableau is None:
        end = reference_flow(slope, start, grid)[-1]
    else:
        *_, end = flow(slope, start, grid, tableau)
    x_T, fallen = end[:, :-1], end[:, -1]
    log_prior = _prior(sde, grid[-1]) if prior is None else prior
    log_p = np.asarray(log_prior(x_T))
    if log_p.shape != (len(x),):
        raise ValueError(f"prior must return ({len(x)},); got shape {log_p.shape}")
    return log_p - fallen, x_T


def _prior(sde, t):
    """Log density of N(0, noise(t)^2 I)."""
    _, noise = sde.marginal(t)

    def logpdf(x):
        d = x.shape[-1]
        return gaussian.logpdf(x, np.zeros(d), noise**2 * np.eye(d))

    return logpdf


def bits_per_dim(log_p: Array, d: int, width: float) -> Array:
    """Bits per dimension of data that are integers, `width` apart in the model's units.

    -(log_p / d + log width) / log 2: for 8 bits scaled to -1..1, width = 2/256, which
    adds 7 to -log2 p / d; scaled to 0..1, 8. log_p is of data dequantised by noise.
    log_p (...) nats, d dimensions, width above 0  ->  (...) bits
    Source: Theis16 for the dequantised density
    Test: test_likelihood.py::test_bits_per_dimension_state_their_offset
    """
    whole(d=d)
    (log_p,), (width,) = finite(log_p=log_p), above_zero(width=width)
    return -(log_p / d + np.log(width)) / np.log(2)


def weight_likelihood(t: Array, sde: SDE) -> Array:
    """Weighting g(t)^2, under which the loss bounds the negative log-likelihood.

    Source: SongY21 for the bound
    Test: test_likelihood.py::test_likelihood_weighting_integrates_to_the_divergence
    """
    return sde.g2(t)


def weight_noise(t: Array, sde: SDE) -> Array:
    """Weighting noise(t)^2, under which the loss is the plain error of eps.

    Source: Song21 (7)
    Test: test_likelihood.py::test_the_continuous_loss_has_its_gradient
    """
    return sde.marginal(t)[1] ** 2


def continuous_loss(
    params: Array,
    net: MLP,
    x0: Array,
    t: Array,
    eps: Array,
    sde: SDE,
    weight: Callable[[Array, SDE], Array] = weight_noise,
    w: Array | None = None,
) -> tuple[float, Array]:
    """Denoising score matching at real times, for a network that predicts eps.

    sum_n w_n weight(t_n)/2 ||s + eps / noise||^2,  s = -eps_hat(x_t, t) / noise
    x0, eps (n, d), t (n,) in 0..T with noise above 0; w (n,) 1/n each unless given: a
    quadrature rule makes it an integral over t  ->  loss, gradient (size,)
    ValueError if shapes do not fit, t is outside 0..T or has no noise.
    Source: Song21 (7); SongY21 for the likelihood weighting
    Test: test_likelihood.py::test_the_continuous_loss_has_its_gradient
    """
    (x0, eps), (t,) = _batch(x0=x0, eps=eps), finite(t=t)
    if t.shape != (len(x0),):
        raise ValueError(f"t must be ({len(x0)},); got shape {t.shape}")
    signal, noise = (at[:, None] for at in sde.marginal(t))
    above_zero(noise=noise)
    w = _weights(x0, w) * weight(t, sde) / noise[:, 0] ** 2
    return esm_loss(params, net, signal * x0 + noise * eps, eps, t, w)
