"""What a network is trained on: five targets, one squared error, and its weights.

At a given x_t every target y is an affine function of x0, y = slope x0 + (what x_t
gives), so that ||y_hat - y||^2 = slope^2 ||x0_hat - x0||^2. A weighting is therefore
one function of t, stated for x0; the weight of another target is that over slope^2,
and all targets then have one loss. The functions weight_... are weightings, those named
weighting_... make one. Weights are (..., 1), one a row. The five targets are EPS, X0, V
and SCORE of `targets`, and MEAN of `ddpm`.
"""

from collections.abc import Callable
from operator import index

import numpy as np

from refdiff._check import Array, positive
from refdiff.forward import q_sample
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.schedule import Schedule
from refdiff.targets import EPS, Target

Weighting = Callable[[int | Array, Schedule], Array]


def slope(target: Target, t: int | Array, sched: Schedule) -> Array:
    """How fast a target moves with x0 while x_t stays: y - y' = slope (x0 - x0').

    x0: 1,  eps: -signal/noise,  v: -(signal^2 + noise^2)/noise,  score: signal/noise^2,
    mean: the coefficient of x0 in (2.25). slope^2 is the target's exact weight ratio.
    t in 1..T  ->  (..., 1)
    Source: Chan v3 (2.42); Salimans22 4
    Test: test_losses.py::test_all_targets_have_one_loss
    """
    sched.at(t, first=1)
    of_x0 = target.from_x0(np.zeros(1), np.ones(1), t, sched)
    return np.broadcast_to(of_x0, (*np.shape(t), 1))


def weight_elbo(t: int | Array, sched: Schedule) -> Array:
    """Weight of ||x0_hat - x0||^2 in the bound: half the fall of the SNR.

    1/(2 sigma_q^2) (1-a[t])^2 ab[t-1] / (1-ab[t])^2 = (SNR[t-1] - SNR[t]) / 2
    t in 1..T  ->  (..., 1), infinite at t = 1, where sigma_q = 0
    Source: Chan v3 Thm 2.7, (2.42)-(2.44), (2.47); Kingma21 for the difference. Departs: (2.44) sums
    from t = 1.
    Test: test_losses.py::test_the_bounds_weight_is_half_the_fall_of_the_snr
    """
    now, before = sched.at(t, first=1), sched.at(np.asarray(t) - 1)
    with np.errstate(divide="ignore"):
        return now.beta * before.alpha_bar / (2 * before.noise2 * now.noise2)


def weighting_bound(var_1: float | None = None) -> Weighting:
    """Weighting of the whole bound: `weight_elbo`, and 1 / (2 var_1) at t = 1.

    var_1 is the variance of p(x0 | x_1), beta[1] unless given.
    ValueError if var_1 is not above 0.
    Source: Chan v3 (2.43), (2.46); Ho20 3.2 for beta
    Test: test_losses.py::test_the_bounds_weighting_is_that_of_its_estimate
    """
    if var_1 is not None:
        positive(var_1=var_1)

    def weighting(t, sched):
        first = 1 / (2 * (sched.beta[1] if var_1 is None else var_1))
        return np.where(np.asarray(t)[..., None] == 1, first, weight_elbo(t, sched))

    return weighting


def weight_x0(t: int | Array, sched: Schedule) -> Array:
    """Weight 1: the plain x0 loss, of the tutorial's first training box.

    Source: Chan v3 Box 2.4 training
    Test: test_losses.py::test_named_weights_are_1_for_their_target
    """
    return np.ones_like(sched.at(t, first=1).signal)


def weight_snr(t: int | Array, sched: Schedule) -> Array:
    """Weight SNR = alpha_bar / (1 - alpha_bar): it makes the eps loss plain.

    It also weighs the score loss by noise^2, as NCSN does.
    Source: Ho20 (14); Salimans22 4
    Test: test_losses.py::test_named_weights_are_1_for_their_target
    """
    now = sched.at(t, first=1)
    return now.alpha_bar / now.noise2


def weight_snr_plus_1(t: int | Array, sched: Schedule) -> Array:
    """Weight SNR + 1 = 1 / (1 - alpha_bar): it makes the v loss plain.

    Source: Salimans22 4
    Test: test_losses.py::test_named_weights_are_1_for_their_target
    """
    return 1 / sched.at(t, first=1).noise2


def weight_truncated_snr(t: int | Array, sched: Schedule) -> Array:
    """Weight max(SNR, 1): no level is forgotten as the signal vanishes.

    Source: Salimans22 4
    Test: test_losses.py::test_bounded_weights_are_the_snr_within_their_bounds
    """
    return np.maximum(weight_snr(t, sched), 1)


def weighting_min_snr(gamma: float = 5.0) -> Weighting:
    """Weighting min(SNR, gamma): no level with little noise outweighs the others.

    For eps it is min(SNR, gamma) / SNR, for v min(SNR, gamma) / (SNR + 1).
    ValueError if gamma is not above 0.
    Source: Hang23 3.4
    Test: test_losses.py::test_bounded_weights_are_the_snr_within_their_bounds
    """
    positive(gamma=gamma)
    return lambda t, sched: np.minimum(weight_snr(t, sched), gamma)


def target_weight(
    target: Target, weighting: Weighting | None, t: int | Array, sched: Schedule
) -> Array:
    """Weight of ||y_hat - y||^2 for a weighting stated for x0: weighting / slope^2.

    weighting None is the simple loss, weight 1 for whatever the target is.
    t in 1..T  ->  (..., 1)
    ValueError where it is not finite: `weight_elbo` at t = 1, or alpha_bar = 0.
    Source: Salimans22 4; Hang23 3.4
    Test: test_losses.py::test_all_targets_have_one_loss
    """
    if weighting is None:
        return np.ones_like(sched.at(t, first=1).signal)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = weighting(t, sched) / slope(target, t, sched) ** 2
    if not np.isfinite(weight).all():
        bad = np.broadcast_to(t, weight.shape[:-1])[~np.isfinite(weight[..., 0])]
        raise ValueError(f"this weight is not finite at t = {bad.flat[0]}")
    return weight


def loss(
    params: Array,
    net: MLP,
    x0: Array,
    t: Array,
    eps: Array,
    sched: Schedule,
    target: Target = EPS,
    weighting: Weighting | None = None,
) -> tuple[float, Array]:
    """Weighted squared error of the network, summed over d, averaged over the batch.

    loss = (1/n) sum_n w(t) ||y_hat(x_t, t) - y||^2,  x_t = signal x0 + noise eps
    params (size,), x0 and eps (n, d), t (n,) in 1..T  ->  loss, gradient (size,)
    ValueError if t is outside 1..T, shapes differ, the batch is empty or a weight not finite.
    Source: Chan v3 Box 2.4 training, Box 2.5 training, (2.47); Ho20 (14). Departs: section
    2.5 minimises the bound, where it means its negative.
    Test: test_losses.py::test_loss_gradient
    """
    if not len(x0):
        raise ValueError("x0 must hold at least one point")
    if np.shape(eps) != np.shape(x0) or np.shape(t) not in ((), (len(x0),)):
        raise ValueError(
            f"eps must be {np.shape(x0)} and t ({len(x0)},); got shape {np.shape(eps)} "
            f"and {np.shape(t)}"
        )
    weight = target_weight(target, weighting, t, sched)
    xt = q_sample(x0, t, eps, sched).astype(params.dtype, copy=False)
    y_hat, cache = net.forward(params, xt, sched.label[t])
    error = y_hat - target.of(x0, eps, t, sched)
    dparams, _ = net.backward(cache, 2 / len(x0) * weight * error)
    return float((weight * error**2).sum() / len(x0)), dparams


def least_loss(
    law: Mixture,
    xt: Array,
    t: int,
    sched: Schedule,
    target: Target = EPS,
    weighting: Weighting | None = None,
) -> Array:
    """What the best network still loses at x_t: the target's posterior variance.

    min E[w ||y_hat - y||^2 | x_t] = w slope^2 tr Cov[x0 | x_t], at y_hat = E[y | x_t]
    xt (..., d)  ->  (...), to be averaged over the law of x_t
    Source: Efron11 (2.8)
    Test: test_losses.py::test_the_least_loss_is_the_minimum_by_quadrature
    """
    now, t = sched.at(t, first=1), index(t)
    scale = target_weight(target, weighting, t, sched) * slope(target, t, sched) ** 2
    cov = law.denoise_cov(xt, now.signal[0], now.noise[0])
    return scale[0] * np.trace(cov, axis1=-2, axis2=-1)
