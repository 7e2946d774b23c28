"""Five targets, one squared error: weights by 50 digits, the minimum by quadrature."""

from typing import NamedTuple

import mpmath as mp
import numpy as np
import pytest
from scipy import stats
from support import check_grad

from refdiff import gaussian, schedule
from refdiff.ddpm import MEAN
from refdiff.elbo import ddpm_elbo
from refdiff.forward import q_sample, sigma_q
from refdiff.losses import (
    least_loss,
    loss,
    slope,
    target_weight,
    weight_elbo,
    weight_snr,
    weight_snr_plus_1,
    weight_truncated_snr,
    weight_x0,
    weighting_bound,
    weighting_min_snr,
)
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.schedule import Schedule
from refdiff.targets import EPS, SCORE, X0, Target, V, score_from_x0
from refdiff.toys import example_2_1

TARGETS = [EPS, X0, V, SCORE, MEAN]
WEIGHTINGS = {
    "x0": weight_x0,
    "snr": weight_snr,
    "snr + 1": weight_snr_plus_1,
    "truncated": weight_truncated_snr,
    "min-snr": weighting_min_snr(5.0),
    "bound": weighting_bound(),
    "bound, var_1": weighting_bound(0.3),
    "elbo": weight_elbo,
}
SCHEDULES = [schedule.linear(1000), schedule.cosine(100), schedule.constant(50, 0.9)]
VANISHED = schedule.from_alpha([0.5, 1e-200, 1e-200])  # alpha_bar[3] underflows to 0

each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda y: y.name)
each_schedule = pytest.mark.parametrize("sched", SCHEDULES)


def guess(x):
    """A denoiser far from the best one."""
    return np.tanh(x) - 0.3


class Says(NamedTuple):
    """A network without parameters that says what `guess` is, as a target."""

    target: Target
    sched: Schedule

    def forward(self, params, x, t):
        return self.target.from_x0(x, guess(x), t.astype(int), self.sched), params

    def backward(self, cache, dy):
        return cache, dy


def batch(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((2, n, d))


def times(sched):
    return [1, 2, 3, sched.T // 2, sched.T - 1, sched.T]


@pytest.mark.identity
@each_schedule
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_all_targets_have_one_loss(sched, name):
    """The weighted loss of one denoiser, whichever target it speaks: that of x0."""
    weighting, (x0, eps) = WEIGHTINGS[name], batch(6, 2)
    for t in times(sched)[name == "elbo" :]:
        at_t = np.full(6, t)
        error = guess(q_sample(x0, t, eps, sched)) - x0
        want = weighting(t, sched)[0] * np.mean(np.linalg.norm(error, axis=1) ** 2)
        for target in TARGETS:
            net, none = Says(target, sched), np.zeros(0)
            got, _ = loss(none, net, x0, at_t, eps, sched, target, weighting)
            assert got == pytest.approx(want, rel=1e-12), (target.name, t)


@pytest.mark.identity
@each_target
@each_schedule
def test_the_slope_is_what_two_origins_of_one_x_t_differ_by(target, sched):
    t, (x0, eps), (x0_, _) = np.array(times(sched)), batch(6, 3), batch(6, 3, seed=1)
    now = sched.at(t)
    eps_ = (q_sample(x0, t, eps, sched) - now.signal * x0_) / now.noise
    moved = target.of(x0_, eps_, t, sched) - target.of(x0, eps, t, sched)
    want = slope(target, t, sched) * (x0_ - x0)
    size = np.abs(target.of(x0, eps, t, sched)) + np.abs(target.of(x0_, eps_, t, sched))
    assert want.shape == moved.shape
    assert (np.abs(moved - want) <= 1e-14 * size + 1e-12 * np.abs(want)).all()


def bounds_weight(sched, printed=False):
    """Thm 2.7's coefficient for t = 2..T at 50 digits, by its definition.

    A table's alpha and beta are both rounded: the smaller one is taken as exact.
    """
    weights, before = [], None
    for a, b in zip(sched.alpha[1:], sched.beta[1:], strict=True):
        a, b = mp.mpf(float(a)), mp.mpf(float(b))
        a = 1 - b if b < 0.5 else a
        if before is None:
            before = a
            continue
        now = before * a
        left = 1 - mp.sqrt(before) if printed else 1 - before
        var = (1 - a) * left / (1 - now)
        weights.append((1 - a) ** 2 * before / (2 * var * (1 - now) ** 2))
        fall = before / (1 - before) - now / (1 - now)
        assert printed or abs(weights[-1] / fall * 2 - 1) < mp.mpf(10) ** -40
        before = now
    return np.array(weights, float)


@pytest.mark.oracle
@pytest.mark.parametrize("T", [10, 100, 1000])
@pytest.mark.parametrize("make", [schedule.linear, schedule.cosine])
def test_the_bounds_weight_is_half_the_fall_of_the_snr(make, T):
    """Both forms at 50 digits; infinite at t = 1; not with (2.26)'s printed variance."""
    sched = make(T)
    got = weight_elbo(np.arange(1, T + 1), sched)[:, 0]
    assert got[0] == np.inf
    np.testing.assert_allclose(got[1:], bounds_weight(sched), rtol=1e-13)
    printed = bounds_weight(sched, printed=True)
    assert (np.abs(printed / got[1:] - 1)[: T // 2] > 0.05).all()


@pytest.mark.oracle
@each_schedule
def test_the_bounds_weight_is_the_divergence_of_two_steps(sched):
    """At each t >= 2: KL of two posteriors whose x0 are 1 apart."""
    for t in times(sched)[1:]:
        apart = slope(MEAN, t, sched)
        var = sigma_q(t, sched)[None] ** 2
        kl = gaussian.kl(apart, var, np.zeros(1), var)
        assert weight_elbo(t, sched)[0] == pytest.approx(kl, rel=1e-12)


@pytest.mark.identity
@each_target
@pytest.mark.parametrize("var_1", [None, 0.3])
def test_the_bounds_weighting_is_that_of_its_estimate(target, var_1):
    """T times the loss over t = 1..T is what the bound's estimate loses but constants."""
    sched, (x0, eps) = schedule.cosine(30), batch(30, 2)
    t = np.arange(1, 31)
    x0[:] = x0[0]
    net = Says(target, sched)
    got, _ = loss(np.zeros(0), net, x0, t, eps, sched, target, weighting_bound(var_1))

    def model(x, level):
        return score_from_x0(x, guess(x), level.signal, level.noise)

    terms = ddpm_elbo(x0[:1], model, eps[:, None], sched, var_1)
    scale = np.sqrt(sched.beta[1] if var_1 is None else var_1)
    at_best = stats.norm.logpdf(0, scale=scale) * 2  # two coordinates, no error
    want = at_best - terms.prior - terms.bound
    assert 30 * got == pytest.approx(want[0], rel=1e-12)


@pytest.mark.identity
@each_schedule
def test_named_weights_are_1_for_their_target(sched):
    t = np.arange(1, sched.T + 1)
    named = {weight_x0: X0, weight_snr: EPS, weight_snr_plus_1: V}
    for weighting, target in named.items():
        np.testing.assert_allclose(
            target_weight(target, weighting, t, sched), np.ones((sched.T, 1)), 1e-13
        )
        for other in set(TARGETS) - {target}:
            assert abs(target_weight(other, weighting, t, sched) - 1).max() > 0.1
    ncsn = target_weight(SCORE, weight_snr, t, sched)[:, 0]
    np.testing.assert_allclose(ncsn, sched.noise[1:] ** 2, rtol=1e-13)
    for target in TARGETS:
        assert (target_weight(target, None, t, sched) == np.ones((sched.T, 1))).all()


@pytest.mark.limit
@each_schedule
def test_bounded_weights_are_the_snr_within_their_bounds(sched):
    """The SNR's own table where it is inside, the bound where it is not."""
    t, snr = np.arange(1, sched.T + 1), sched.snr[1:, None]
    low, inside = weight_truncated_snr(t, sched), snr > 1
    np.testing.assert_array_equal(low[inside], snr[inside])
    assert (low[~inside] == 1).all()
    for gamma in (0.5, 5.0):
        high, inside = weighting_min_snr(gamma)(t, sched), snr < gamma
        np.testing.assert_array_equal(high[inside], snr[inside])
        assert (high[~inside] == gamma).all()
        for_eps = target_weight(EPS, weighting_min_snr(gamma), t, sched)
        for_v = target_weight(V, weighting_min_snr(gamma), t, sched)
        np.testing.assert_allclose(for_eps * snr, high, rtol=1e-12)
        np.testing.assert_allclose(for_v * (snr + 1), high, rtol=1e-12)
    for gamma in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="gamma must be finite and above 0"):
            weighting_min_snr(gamma)
    with pytest.raises(ValueError, match="var_1 must be finite and above 0"):
        weighting_bound(0.0)


@pytest.mark.gradient
@each_target
@pytest.mark.parametrize("name", [None, *WEIGHTINGS])
def test_loss_gradient(target, name):
    net, sched = MLP(2, 20, (16, 16), 4), schedule.cosine(20)
    rng = np.random.default_rng(0)
    params = 0.3 * rng.standard_normal(net.size)
    x0, eps = rng.standard_normal((2, 8, 2))
    t = rng.integers(2, 21, 8)
    weighting = WEIGHTINGS.get(name)

    def f(p):
        return loss(p, net, x0, t, eps, sched, target, weighting)

    check_grad(lambda p: f(p)[0], params, f(params)[1])


@pytest.mark.identity
def test_the_eps_loss_of_a_network_that_predicts_zero_is_the_noise_itself():
    """Summed over d and averaged over the batch, with no half."""
    net, sched, (x0, eps) = MLP(3, 20, (8,), 2), schedule.cosine(20), batch(5, 3)
    params = net.init(np.random.default_rng(0))
    got, _ = loss(params, net, x0, np.arange(1, 6), eps, sched)
    assert got == pytest.approx(np.mean(np.linalg.norm(eps, axis=1) ** 2), rel=1e-14)


@pytest.mark.control
def test_the_loss_asks_the_network_at_x_t_and_t():
    """Another t, or x_0 in place of x_t, gives another loss for a trained-like network."""
    net, sched, (x0, eps) = MLP(2, 20, (16,), 4), schedule.cosine(20), batch(4, 2)
    params = np.random.default_rng(1).standard_normal(net.size)
    t = np.array([3, 7, 11, 20])
    rows = zip(x0, t, eps, strict=True)
    xt = np.array([q_sample(a, int(k), e, sched) for a, k, e in rows])
    got, _ = loss(params, net, x0, t, eps, sched)

    def of(x, t):
        return np.sum((net.forward(params, x, t)[0] - eps) ** 2) / 4

    assert got == pytest.approx(of(xt, t), rel=1e-13)
    assert got != pytest.approx(of(xt, t - 1))
    assert got != pytest.approx(of(x0, t))


def test_the_loss_tells_the_network_the_label_and_keeps_its_precision():
    """On a respaced schedule the network is asked at the times it visits."""
    asked = []

    class Spy(MLP):
        def forward(self, params, x, t):
            asked.append((x.dtype, list(t)))
            return super().forward(params, x, t)

    net, sched = Spy(2, 100, (4,), 1), schedule.linear(100).respace([10, 50, 100])
    x0, t = np.ones((3, 2)), np.array([1, 2, 3])
    params = net.init(np.random.default_rng(0), np.float32)
    for target in TARGETS:
        _, gradient = loss(params, net, x0, t, x0, sched, target, weight_snr)
        assert asked.pop() == (np.float32, [10, 50, 100])
        assert gradient.dtype == np.float32


def test_an_empty_batch_and_weights_that_are_not_finite_are_refused():
    net, sched = MLP(2, 50, (4,), 1), SCHEDULES[2]
    params, none = np.zeros(net.size), np.zeros((0, 2))
    with pytest.raises(ValueError, match="at least one point"):
        loss(params, net, none, np.zeros(0, int), none, sched)
    x0, t = np.ones((3, 2)), np.array([2, 1, 3])
    for target in TARGETS:
        with pytest.raises(ValueError, match="not finite at t = 1$"):
            loss(params, net, x0, t, x0, sched, target, weight_elbo)
        with pytest.raises(ValueError, match="not finite at t = 1$"):
            least_loss(example_2_1(), np.ones(1), 1, sched, target, weight_elbo)
    for target in (EPS, SCORE):  # where alpha_bar = 0 they say nothing of x0
        with pytest.raises(ValueError, match="not finite at t = 3$"):
            loss(params, net, x0, t, x0, VANISHED, target, weight_x0)
        assert target_weight(target, None, 3, VANISHED) == 1
    for target in (X0, V, MEAN):
        assert np.isfinite(target_weight(target, weight_x0, 3, VANISHED))


def test_times_outside_the_schedule_have_no_loss():
    net, sched, x0 = MLP(2, 50, (4,), 1), SCHEDULES[2], np.ones((1, 2))
    for t in (0, -1, 51):
        for target in TARGETS:
            for weighting in (None, weight_snr):
                with pytest.raises(ValueError, match=rf"1\.\.50; got {t}"):
                    at = np.array([t])
                    loss(np.zeros(net.size), net, x0, at, x0, sched, target, weighting)
        for weighting in WEIGHTINGS.values():
            with pytest.raises(ValueError, match=rf"1\.\.50; got {t}"):
                weighting(t, sched)


def world(law, n):
    """x0 and eps (m, 1) with their weights (m,): a grid of +-10 deviations for each."""
    u = np.linspace(-10, 10, n)
    p = stats.norm.pdf(u) * (u[1] - u[0])
    std = np.sqrt(law.covs[:, :, 0])
    x0 = (law.means + std * u)[:, :, None] + 0 * u
    weight = law.weights[:, None, None] * np.outer(p, p)
    return (
        x0.reshape(-1, 1),
        np.broadcast_to(u, x0.shape).reshape(-1, 1),
        weight.ravel(),
    )


@pytest.mark.oracle
@pytest.mark.parametrize("t", [1, 15, 150])
def test_the_least_loss_is_the_minimum_by_quadrature(t):
    """Ex 2.1: at E[x0 | x_t] it is lost, and 0.01 sin(x_t) beside it costs its square.

    Over (x0, eps) on one side, on nodes doubled until stable; over x_t on the other.
    """
    law, sched = example_2_1(), schedule.constant(200, 0.97)
    signal, noise = sched.signal[t], sched.noise[t]
    x = np.linspace(-14, 14, 5601)[:, None]
    p = np.exp(law.noised(signal, noise).logpdf(x)) * (x[1] - x[0])
    worlds = []
    for n in (201, 401):
        x0, eps, mass = world(law, n)
        xt = q_sample(x0, t, eps, sched)
        worlds.append((x0, eps, mass, xt, law.denoise(xt, signal, noise)))
    for target in TARGETS:
        for weighting in (None, weight_snr, weighting_bound()):
            weight = target_weight(target, weighting, t, sched)[0]
            found = []
            for x0, eps, mass, xt, x0_hat in worlds:
                y_hat = target.from_x0(xt, x0_hat, t, sched)
                error = y_hat - target.of(x0, eps, t, sched)
                beside = error + 0.01 * np.sin(xt)
                found.append([weight * mass @ e[:, 0] ** 2 for e in (error, beside)])
            assert found[0] == pytest.approx(found[1], rel=1e-11)
            least, more = found[1]
            want = p @ least_loss(law, x, t, sched, target, weighting)
            assert least == pytest.approx(want, rel=1e-10)
            cost = weight * 1e-4 * (p @ np.sin(x[:, 0]) ** 2)
            assert more - least == pytest.approx(cost, rel=1e-9, abs=1e-11 * least)
            assert cost > 1e-11 * least


@pytest.mark.oracle
@each_target
def test_the_least_loss_of_a_gaussian_in_the_plane_is_that_of_bayes_rule(target):
    """tr Var[y | x_t] from the joint Gaussian of (x0, x_t), and for rows of x_t."""
    sched, t, cov = SCHEDULES[1], 40, np.array([[0.5, 0.3], [0.3, 0.4]])
    law = Mixture(np.ones(1), np.array([[0.4, -1.0]]), cov[None])
    s, one, x = sched.signal[t], np.eye(2), batch(3, 2)[0]
    joint = np.block([[cov, s * cov], [s * cov, s**2 * cov + sched.noise2[t] * one]])
    _, left = gaussian.condition(np.zeros(4), joint, [2, 3], np.zeros(2))
    want = np.trace(left) * slope(target, t, sched)[0] ** 2
    got = least_loss(law, x, t, sched, target)
    np.testing.assert_allclose(got, np.full(3, want), rtol=1e-12)


def test_noise_for_another_batch_and_times_for_one_are_refused():
    net, sched = MLP(2, 12, (4,), 1), schedule.cosine(12)
    x0, t = np.zeros((3, 2)), np.array([1, 2, 3])
    with pytest.raises(ValueError, match=r"eps must be \(3, 2\) .* got shape \(1, 2\)"):
        loss(np.zeros(net.size), net, x0, t, np.zeros((1, 2)), sched)
    with pytest.raises(TypeError, match="integer"):
        least_loss(example_2_1(), np.zeros((3, 1)), t, sched)


def test_min_snr_is_five_unless_told_and_no_slope_is_at_time_0():
    sched = schedule.cosine(50)
    assert weighting_min_snr()(np.arange(1, 51), sched).max() == 5
    for target in (EPS, X0, V, SCORE, MEAN):
        with pytest.raises(ValueError, match=r"1\.\.50; got 0"):
            slope(target, 0, sched)
