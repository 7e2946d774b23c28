"""DDIM: one family of reversals with DDPM at one end and a map with an inverse at the
other, its exact laws and orders, and direct denoising on the straight way."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_accurate, exact, mixture_cdf

from refdiff import gaussian, schedule
from refdiff.ddim import (
    ddim_chain,
    ddim_inversion,
    ddim_posterior,
    ddim_step,
    ddim_step_x0,
    ddim_undo,
    indi_chain,
    indi_mix,
    indi_step,
    sigma_eta,
)
from refdiff.ddpm import ddpm_chain
from refdiff.forward import q_marginal, q_posterior, q_sample, sigma_q
from refdiff.mixture import Mixture
from refdiff.targets import EPS, ask, x0_from_eps
from refdiff.toys import blobs, example_2_1

LINEAR = schedule.linear(1000)
SCHEDULES = [
    LINEAR,
    schedule.cosine(100),
    schedule.constant(50, 0.9),
    LINEAR.respace(schedule.trailing(1000, 7)),
    LINEAR.respace(schedule.leading(1000, 26)),
    schedule.linear(137).respace(schedule.linspace(137, 10)),
]
VANISHED = schedule.from_alpha([0.5, 0.5, 5e-324])  # alpha_bar[3] underflows to 0
DATA = Mixture(np.ones(1), np.array([[1.5]]), np.array([[[0.25]]]))
BUMPS = blobs([0.3, 0.7], [[-1.0], [1.0]], 0.5)

vectors = st.lists(st.floats(-3, 3), min_size=2, max_size=2).map(np.array)
shares = st.floats(0, 1)


@st.composite
def times(draw):
    sched = draw(st.sampled_from(SCHEDULES))
    return sched, draw(st.integers(1, sched.T))


def angular(T):
    """Equal steps of an angle: noise / signal = tan(1.5 t/T), smooth at both ends."""
    return schedule.from_alpha_bar(np.cos(1.5 * np.arange(1, T + 1) / T) ** 2)


def slopes(errors):
    """Orders of convergence of errors at steps that halve."""
    return -np.diff(np.log2(errors))


def end_law(chain, **start):
    means, covs = chain.law(DATA.mean, DATA.cov, **start)
    return means[-1, 0], covs[-1, 0, 0]


def pushed(x0, t, mean_at, var, sched):
    """Law of x_{t-1} given x_0: q(x_t | x_0) pushed through a mean affine in x_t."""
    b = mean_at(np.zeros(2))
    A = np.array([mean_at(e) - b for e in np.eye(2)]).T
    mean, noise2 = q_marginal(x0, t, sched)
    return gaussian.marginal(A, b, mean, noise2 * np.eye(2), var * np.eye(2))


@pytest.mark.identity
@given(where=times(), x0=vectors, share=shares)
def test_the_whole_family_keeps_the_marginals(where, x0, share):
    """Thm 2.9, by Thm 2.8: every sigma from 0 to noise[t-1] leads to q(x_{t-1} | x_0)."""
    sched, t = where
    sigma = share * sched.noise[t - 1]
    _, var = ddim_posterior(x0, x0, t, sigma, sched)
    assert var == pytest.approx(sigma**2, rel=1e-14)
    mean, cov = pushed(
        x0, t, lambda xt: ddim_posterior(x0, xt, t, sigma, sched)[0], var, sched
    )
    want_mean, want_var = q_marginal(x0, t - 1, sched)
    np.testing.assert_allclose(mean, want_mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(cov, want_var * np.eye(2), rtol=1e-10, atol=1e-30)


@pytest.mark.control
@given(where=times(), x0=vectors, share=st.floats(0.1, 1))
def test_a_family_that_does_not_give_up_what_it_adds_is_too_wide(where, x0, share):
    """(2.56) adds sigma z to all of the predicted noise: noise^2 + sigma^2."""
    sched, t = where
    sigma = share * sched.noise[t - 1]
    _, cov = pushed(
        x0,
        t,
        lambda xt: ddim_posterior(x0, xt, t, 0.0, sched)[0],
        sigma**2,
        sched,
    )
    want = q_marginal(x0, t - 1, sched)[1] + sigma**2
    np.testing.assert_allclose(np.diag(cov), [want[0]] * 2, rtol=1e-10)


@pytest.mark.identity
@pytest.mark.parametrize("sched", SCHEDULES)
def test_ddim_with_sigma_q_is_ddpm(sched):
    """The posteriors at all t at once, and the samplers' tables."""
    t = np.arange(1, sched.T + 1)
    sigma = sigma_eta(1.0, t, sched)
    np.testing.assert_array_equal(sigma, sigma_q(t, sched))
    one, none = np.ones((sched.T, 1)), np.zeros((sched.T, 1))
    for x0, xt in ((one, none), (none, one)):
        mean, var = ddim_posterior(x0, xt, t, sigma, sched)
        want_mean, want_var = q_posterior(x0, xt, t, sched)
        # the factor of x0 is signal[t-1] less left signal[t] / noise[t]
        np.testing.assert_allclose(mean, want_mean, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(var, want_var, rtol=1e-14)
    ddim, ddpm = ddim_chain(sched, 1.0), ddpm_chain(sched)
    for got, want in zip(
        (ddim.A, ddim.b, ddim.c, ddim.signal, ddim.noise, ddim.t, ddim.ends),
        (ddpm.A, ddpm.b, ddpm.c, ddpm.signal, ddpm.noise, ddpm.t, ddpm.ends),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=2e-15)


@pytest.mark.identity
@given(where=times(), x0=vectors, eps=vectors, z=vectors, share=shares)
def test_both_forms_of_the_step_are_one(where, x0, eps, z, share):
    """From eps and from x0; and with sigma = 0 both stay the same x0 and eps."""
    sched, t = where
    xt = q_sample(x0, t, eps, sched)
    size = sched.signal[t - 1] / sched.signal[t]  # of the terms it subtracts, about
    for sigma in (share * sched.noise[t - 1], 0.0):
        got = ddim_step(xt, t, eps, sigma, z, sched)
        want = ddim_step_x0(xt, t, x0, sigma, z, sched)
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-14 * (1 + size))
    along = q_sample(x0, t - 1, eps, sched)
    np.testing.assert_allclose(want, along, rtol=0, atol=1e-13)


@pytest.mark.limit
@given(sched=st.sampled_from(SCHEDULES), xt=vectors, y=vectors)
def test_the_last_step_returns_x0_hat(sched, xt, y):
    """At t = 1 only sigma = 0 is left, and x_0 is the prediction itself."""
    np.testing.assert_array_equal(ddim_step_x0(xt, 1, y, 0.0, xt, sched), y)
    want = x0_from_eps(xt, y, sched.signal[1], sched.noise[1])
    np.testing.assert_array_equal(ddim_step(xt, 1, y, 0.0, xt, sched), want)


@pytest.mark.limit
@pytest.mark.parametrize("eta", [0.0, 0.37, 1.0])
def test_it_starts_where_alpha_bar_has_vanished(eta):
    """Zero terminal SNR: the first row asks for x0, and is the limit of rows of eps."""
    assert VANISHED.alpha_bar[3] == 0
    chain = ddim_chain(VANISHED, eta)
    assert chain.signal[0] == 0
    mean, _ = ddim_posterior(
        np.array([1.0, 0.0]), np.array([0.0, 1.0]), 3, chain.c[0, 0], VANISHED
    )
    assert (chain.b[0, 0], chain.A[0, 0, 0]) == pytest.approx(mean, rel=1e-14)
    means, covs = chain.law(DATA.mean, DATA.cov)
    want_mean, want_var = q_marginal(DATA.mean, 2, VANISHED)
    assert means[1] == pytest.approx(want_mean, rel=1e-14)  # x_3 tells nothing of x_0
    assert covs[1, 0] == pytest.approx(want_var, rel=1e-14)
    near = ddim_chain(schedule.from_alpha([0.5, 0.5, 1e-14]), eta)
    assert end_law(near) == pytest.approx(end_law(chain), rel=1e-6)
    *_, x = chain.run(np.ones((3, 1)), DATA.model, rng=np.random.default_rng(0))
    assert np.isfinite(x).all()
    with pytest.raises(ValueError, match=r"alpha_bar\[t\] = 0 \(t=3\)"):
        ddim_step(np.ones(1), 3, np.ones(1), 0.0, np.ones(1), VANISHED)


@pytest.mark.identity
@given(where=times(), xt=vectors, eps=vectors)
def test_undo_is_the_inverse_of_the_step(where, xt, eps):
    """In both orders, with the same eps_hat; at alpha_bar[t] = 0 it returns eps_hat."""
    sched, t = where
    size = sched.signal[t - 1] / sched.signal[t]
    there = ddim_step(xt, t, eps, 0.0, 0 * xt, sched)
    np.testing.assert_allclose(ddim_undo(there, t, eps, sched), xt, rtol=0, atol=1e-13)
    there = ddim_undo(xt, t, eps, sched)
    back = ddim_step(there, t, eps, 0.0, 0 * xt, sched)
    np.testing.assert_allclose(back, xt, rtol=0, atol=2e-14 * (1 + size))
    np.testing.assert_array_equal(ddim_undo(xt, 3, eps, VANISHED), eps)


def test_times_may_be_one_a_row():
    sched, t = SCHEDULES[1], np.array([1, 50, 100])
    x, y, z = np.random.default_rng(0).standard_normal((3, 3, 2))
    sigma = sigma_eta(0.37, t, sched)
    for call in (
        lambda x, t, y, s, z: ddim_posterior(x, y, t, s, sched)[0],
        lambda x, t, y, s, z: ddim_step(x, t, y, s, z, sched),
        lambda x, t, y, s, z: ddim_step_x0(x, t, y, s, z, sched),
        lambda x, t, y, s, z: ddim_undo(x, t, y, sched),
    ):
        whole = call(x, t, y, sigma, z)
        for i, t_i in enumerate(t):
            row = call(x[i], int(t_i), y[i], sigma[i], z[i])
            np.testing.assert_array_equal(whole[i], row)


@pytest.mark.order
def test_a_step_undone_with_the_noise_predicted_where_it_led_is_off_by_second_order():
    """At the fixed time 1/2, on Example 2.1."""
    m, x, errors = example_2_1(), np.linspace(-3, 4, 41)[:, None], []
    for T in (100, 200, 400, 800, 1600):
        sched, t = angular(T), T // 2
        there = ddim_step(x, t, ask(m.model, x, t, sched, EPS), 0.0, 0 * x, sched)
        back = ddim_undo(there, t, ask(m.model, there, t - 1, sched, EPS), sched)
        errors.append(np.abs(back - x).max())
    assert np.abs(slopes(errors) - 2).max() < 0.01


@pytest.mark.order
def test_inversion_closes_at_first_order():
    """x_0 to x_T and back; and x_T is that of the exact quantiles, at first order too."""
    x, trips, codes = np.linspace(-2, 2, 41)[:, None], [], []
    for T in (100, 200, 400, 800, 1600):
        sched = angular(T)
        *_, code = ddim_inversion(sched).run(x, BUMPS.model)
        *_, back = ddim_chain(sched).run(code, BUMPS.model)
        trips.append(np.abs(back - x).max())
        at_T = BUMPS.noised(sched.signal[T], sched.noise[T])
        codes.append(np.abs(mixture_cdf(at_T)(code) - mixture_cdf(BUMPS)(x)).max())
    for errors, last in ((trips, 3e-3), (codes, 3e-4)):
        assert np.abs(slopes(errors) - 1).max() < 0.01
        assert errors[-1] < last


@pytest.mark.limit
def test_inversion_asks_no_model_at_t_0():
    sched, x0, asked = SCHEDULES[3], np.array([[1.5], [-0.7]]), []

    def model(x, level):
        asked.append(level.t)
        return DATA.model(x, level)

    _, x1, *_ = ddim_inversion(sched).run(x0, model)
    np.testing.assert_allclose(x1, q_sample(x0, 1, 0 * x0, sched), rtol=1e-15)
    assert asked == list(sched.label[1:-1])


@pytest.mark.identity
@pytest.mark.parametrize("N", [1, 2, 7, 50, 1000])
def test_the_deterministic_map_is_monotone(N):
    """One dimension, the exact denoiser, any number of steps: no two paths cross."""
    chain = ddim_chain(LINEAR.respace(schedule.trailing(1000, N)))
    *_, x0 = chain.run(np.linspace(-5, 5, 4001)[:, None], example_2_1().model)
    assert (np.diff(x0[:, 0]) > 0).all()


@pytest.mark.order
def test_a_monotone_map_keeps_the_quantiles_at_first_order():
    """F_0(x_0) - F_T(x_T), with the distribution functions of the exact marginals."""
    m, x, errors = example_2_1(), np.linspace(-4, 4, 81)[:, None], []
    for T in (100, 200, 400, 800, 1600):
        sched = angular(T)
        *_, x0 = ddim_chain(sched).run(x, m.model)
        at_T = m.noised(sched.signal[T], sched.noise[T])
        errors.append(np.abs(mixture_cdf(m)(x0) - mixture_cdf(at_T)(x)).max())
    assert np.abs(slopes(errors) - 1).max() < 0.01
    assert errors[-1] < 3e-4


def recursion(alpha_bar, eta):
    """Mean and variance at the end on N(1.5, 0.25) data, from alpha_bar alone.

    sigma^2 is eta^2 times Bayes' variance, by adding precisions; what the step keeps of
    x_t is its regression, Cov / Var, on the x_{t-1} less sigma z made of the same x_0
    and eps.
    """
    m, v = 0.0, 1.0
    for now, before in zip(alpha_bar[:0:-1], alpha_bar[-2::-1], strict=True):
        a = now / before
        var = eta**2 / (1 / (1 - before) + a / (1 - a)) if before < 1 else 0.0
        Cov = np.sqrt(before * now) * 0.25 + np.sqrt((1 - before - var) * (1 - now))
        slope = Cov / (now * 0.25 + 1 - now)
        m = np.sqrt(before) * 1.5 + slope * (m - np.sqrt(now) * 1.5)
        v = slope**2 * v + var
    return m, v


def markov(alpha_bar):
    """The same for ancestral sampling, where x_t = sqrt(a) x_{t-1} + noise: no x_0."""
    m, v = 0.0, 1.0
    for now, before in zip(alpha_bar[:0:-1], alpha_bar[-2::-1], strict=True):
        a = now / before
        var = 1 / (1 / (1 - before) + a / (1 - a)) if before < 1 else 0.0
        slope = np.sqrt(a) * (before * 0.25 + 1 - before) / (now * 0.25 + 1 - now)
        m = np.sqrt(before) * 1.5 + slope * (m - np.sqrt(now) * 1.5)
        v = slope**2 * v + var
    return m, v


def alpha_bar_at(T, visited):
    every = np.concatenate([[1.0], np.cumprod(1 - np.linspace(1e-4, 0.02, T))])
    return every[np.concatenate([[0], visited])]


@pytest.mark.oracle
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize(
    ("T", "N"),
    [(1000, 2), (1000, 7), (1000, 26), (1000, 33), (1000, 50), (137, 10), (137, 137)],
)
def test_exact_laws_are_those_of_a_scalar_recursion(T, N, spacing):
    """N need not divide T, and eta = 0.37 is none of the two ends."""
    visited = getattr(schedule, spacing)(T, N)
    sched, alpha_bar = schedule.linear(T).respace(visited), alpha_bar_at(T, visited)
    for eta in (0.0, 0.37, 1.0):
        want = recursion(alpha_bar, eta)
        assert end_law(ddim_chain(sched, eta)) == pytest.approx(want, abs=1e-12)
    assert want == pytest.approx(markov(alpha_bar), abs=1e-13)
    assert end_law(ddpm_chain(sched)) == pytest.approx(want, abs=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("N", "spacing", "eta", "mean", "var"),
    [
        (50, "trailing", 0, 1.495508, 0.222220),
        (50, "leading", 0, 1.494555, 0.223199),
        (50, "linspace", 0, 1.495503, 0.222704),
        (50, "trailing", 1, 1.499985, 0.197225),
        (1000, "trailing", 0, 1.495250, 0.248498),
        (1000, "trailing", 1, 1.499985, 0.246125),
    ],
)
def test_exact_laws_are_the_museums_numbers(N, spacing, eta, mean, var):
    visited = getattr(schedule, spacing)(1000, N)
    law = end_law(ddim_chain(LINEAR.respace(visited), eta))
    assert law == pytest.approx((mean, var), abs=5.1e-7)
    assert law == pytest.approx(recursion(alpha_bar_at(1000, visited), eta), rel=1e-12)


@pytest.mark.control
def test_a_chain_that_stops_at_alpha_bar_1_has_another_variance():
    """The museum's IDX-03, which no feasible sample shows: 0.223355 for 0.223199."""
    chain = ddim_chain(LINEAR.respace(schedule.leading(1000, 50)))
    covs = chain.law(DATA.mean, DATA.cov)[1]
    assert covs[-2:, 0, 0] == pytest.approx([0.223355, 0.223199], abs=5e-7)


@pytest.mark.order
def test_bias_on_gaussian_data_falls_at_first_order():
    """To the flow's own limit: the monotone map of N(signal m, S) to N(m, 0.25), which
    a start in N(0, 1) misses by the prior's mismatch alone."""
    errors = []
    for T in (100, 200, 400, 800, 1600):
        sched = angular(T)
        at_T = DATA.noised(sched.signal[T], sched.noise[T])
        ratio = 0.25 / at_T.cov[0, 0]
        limit = np.array([1.5 - np.sqrt(ratio) * at_T.mean[0], ratio])
        chain = ddim_chain(sched)
        errors.append(np.abs(limit - end_law(chain)))
        start = {"start_mean": at_T.mean, "start_cov": at_T.cov}
        mean, var = end_law(chain, **start)
        assert mean == pytest.approx(1.5, rel=1e-9)  # no mismatch, no bias in the mean
        assert 0 < 0.25 - var < 1.1 * errors[-1][1]
    assert limit == pytest.approx([1.446847, 0.250942], abs=1e-6)
    orders = -np.diff(np.log2(errors), axis=0)
    assert np.abs(orders - 1).max() < 0.02
    assert (np.abs(np.diff(orders, axis=0)) < 0.011).all()


def test_a_deterministic_chain_needs_no_noise():
    chain, x = ddim_chain(SCHEDULES[3]), np.linspace(-1, 1, 5)[:, None]
    assert not chain.c.any()
    *_, a = chain.run(x, DATA.model)
    *_, b = chain.run(x, DATA.model, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="give rng or z"):
        ddim_chain(SCHEDULES[3], 0.37).run(x, DATA.model)


def test_sigma_above_the_noise_that_is_left_is_refused():
    sched, x = SCHEDULES[2], np.ones(2)
    for t in (1, 2, 50):
        most = sched.noise[t - 1]
        for sigma in (-1e-9, most + 1e-9, np.nan, np.inf):
            for call in (
                lambda s, t=t: ddim_posterior(x, x, t, s, sched),
                lambda s, t=t: ddim_step(x, t, x, s, x, sched),
                lambda s, t=t: ddim_step_x0(x, t, x, s, x, sched),
            ):
                with pytest.raises(ValueError, match="sigma must be"):
                    call(sigma)
        mean, var = ddim_posterior(x, x, t, most, sched)  # nothing is left of x_t
        np.testing.assert_array_equal(mean, sched.signal[t - 1] * x)
        assert var == pytest.approx(sched.noise2[t - 1], rel=1e-14)


def test_eta_up_to_its_bound_is_admissible():
    """noise[t] / sqrt(beta[t]) at its smallest, which is above 1."""
    for bad in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="eta must be"):
            sigma_eta(bad, 3, LINEAR)
        with pytest.raises(ValueError, match="eta must be"):
            ddim_chain(LINEAR, bad)
    for sched in SCHEDULES:
        bound = (sched.noise[2:] / np.sqrt(sched.beta[2:])).min()
        assert bound > 1
        ddim_chain(sched, bound * (1 - 1e-12))
        with pytest.raises(ValueError, match=r"noise\[t-1\]; got .* \(t=\d+\)"):
            ddim_chain(sched, bound * (1 + 1e-12))


def test_times_outside_the_schedule_are_refused():
    sched, x = SCHEDULES[2], np.ones(2)
    for call in (
        lambda t: sigma_eta(1.0, t, sched),
        lambda t: ddim_posterior(x, x, t, 0.0, sched),
        lambda t: ddim_step(x, t, x, 0.0, x, sched),
        lambda t: ddim_step_x0(x, t, x, 0.0, x, sched),
        lambda t: ddim_undo(x, t, x, sched),
    ):
        for t in (0, -1, 51):
            with pytest.raises(ValueError, match=rf"1\.\.50; got {t}"):
                call(t)


def mp_steps(before, now, v):
    """Posterior mean, and the step from eps, by conditioning: the covariance of x_{t-1}
    and x_t is what leaves x_{t-1} the variance sigma^2. Also the sums of their terms."""
    x0, xt, eps, z, sigma = v
    var, var_prev = 1 - now, 1 - before
    gain = mp.sqrt(var * (var_prev - sigma**2)) / var

    def mean(x0, minus=1):
        return (mp.sqrt(before) - minus * gain * mp.sqrt(now)) * x0 + gain * xt

    def step(eps):
        return mean((xt - mp.sqrt(var) * eps) / mp.sqrt(now)) + sigma * z

    def size(x0):
        terms = mp.sqrt(before) * x0, gain * mp.sqrt(now) * x0, gain * xt
        return sum(map(abs, terms)) + abs(sigma * z)

    largest = (abs(xt) + abs(mp.sqrt(var) * eps)) / mp.sqrt(now)
    return [mean(x0), step(eps)], [size(x0), size(largest)]


def products(beta):
    before = mp.mpf(1)
    for b in beta[:-1]:
        before *= 1 - b
    return before, before * (1 - beta[-1])


NUMBERS = np.array([0.7, -0.4, 1.3, 0.9])  # x0, xt, eps, z


def steps_in_float64(t, sigma, sched):
    x0, xt, eps, z = NUMBERS[:, None]
    mean, var = ddim_posterior(x0, xt, t, sigma, sched)
    assert var == pytest.approx(sigma**2, rel=1e-15)
    return [mean[0], ddim_step(xt, t, eps, sigma, z, sched)[0]]


@pytest.mark.oracle
@pytest.mark.parametrize("share", [0.0, 0.37, 0.99])
@pytest.mark.parametrize("t", [1, 2, 100])
@pytest.mark.parametrize("T", [1000, 10_000])
def test_steps_agree_with_50_digits(T, t, share):
    """Against products of the schedule's float64 betas, these taken as exact."""
    sched = schedule.linear(T)
    sigma = share * sched.noise[t - 1]
    inputs = exact([*NUMBERS, sigma, *sched.beta[1 : t + 1]])
    _, sizes = mp_steps(*products(inputs[5:]), inputs[:5])
    assert_accurate(
        steps_in_float64(t, sigma, sched),
        lambda v: mp_steps(*products(v[5:]), v[:5])[0],
        inputs,
        sizes,
    )


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("T", "t"),
    [(1000, 1000), *((10_000, t) for t in (1, 2, 5000, 9999, 10_000))],
)
def test_steps_agree_with_50_digits_at_the_far_end(T, t):
    """Relative to the sum of the absolute terms, with no condition number."""
    sched = schedule.linear(T)
    for share in (0.0, 0.37, 0.99):
        sigma = share * sched.noise[t - 1]
        v = exact([*NUMBERS, sigma])
        want, sizes = mp_steps(*products(exact(sched.beta[1 : t + 1])), v)
        got = steps_in_float64(t, sigma, sched)
        for g, w, size in zip(got, want, sizes, strict=True):
            assert abs(mp.mpf(g) - w) <= 1e-13 * size


@pytest.mark.identity
@given(x0=vectors, y=vectors, t=st.floats(1e-3, 1), part=st.floats(1e-3, 1))
def test_the_straight_way_is_met_by_its_steps(x0, y, t, part):
    """With the x_0 that made x_t, a step of any length stays on the way exactly."""
    tau = part * t
    step = indi_step(indi_mix(x0, y, t), t, tau, x0)
    np.testing.assert_allclose(step, indi_mix(x0, y, t - tau), rtol=0, atol=5e-15)
    np.testing.assert_array_equal(indi_mix(x0, y, 0.0), x0)
    np.testing.assert_array_equal(indi_mix(x0, y, 1.0), y)
    np.testing.assert_array_equal(indi_step(y, t, t, x0), x0)


@pytest.mark.identity
@given(x0=vectors, y=vectors, t=st.floats(0.1, 1), parts=st.lists(shares, max_size=4))
def test_steps_on_the_straight_way_compose(x0, y, t, parts):
    """Many steps with one prediction are one step: only new predictions matter."""
    stops = sorted({t * (0.05 + 0.9 * p) for p in parts}, reverse=True) + [t / 100]
    x, now = y, t
    for after in stops:
        x, now = indi_step(x, now, now - after, x0), after
    want = indi_step(y, t, t - t / 100, x0)
    np.testing.assert_allclose(x, want, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("noise", "signal_at"), [(None, lambda t: 1 - t), (0.5, lambda t: 1.0)]
)
@pytest.mark.identity
def test_direct_denoising_is_euler_on_the_straight_flow(noise, signal_at):
    """dx/dt = (x - E[x0 | x]) / t in equal steps from 1 to 0, in a loop of its own."""
    m, steps, scale = example_2_1(), 20, noise or 1.0
    x = np.linspace(-4, 4, 17)[:, None]
    chain = indi_chain(steps, noise)
    got = list(chain.run(x, m.model))
    for k in range(steps):
        np.testing.assert_allclose(got[k], x, rtol=1e-11, atol=1e-12)
        t = (steps - k) / steps
        assert chain.t[k] == t
        x = x - (x - m.denoise(x, signal_at(t), scale * t)) / t / steps
    np.testing.assert_allclose(got[steps], x, rtol=1e-11, atol=1e-12)


@pytest.mark.limit
def test_one_step_of_direct_denoising_is_the_mmse_estimate():
    """E[x0 | y]: for N(1.5, 0.25) and noise 1/2, half of the variance is lost."""
    m, y = example_2_1(), np.linspace(-4, 4, 17)[:, None]
    *_, x0 = indi_chain(1, 0.7).run(y, m.model)
    np.testing.assert_allclose(x0, m.denoise(y, 1.0, 0.7), rtol=1e-12, atol=1e-13)
    *_, x0 = indi_chain(1).run(y, m.model)
    np.testing.assert_allclose(x0, np.full_like(y, m.mean[0]), rtol=1e-14)
    start = {"start_mean": DATA.mean, "start_cov": DATA.cov + 0.25}
    assert end_law(indi_chain(1, 0.5), **start) == pytest.approx(
        (1.5, 0.125), rel=1e-14
    )


@pytest.mark.order
@pytest.mark.parametrize("noise", [None, 0.5])
def test_many_small_steps_of_direct_denoising_keep_the_law(noise):
    """The variance that one step loses comes back at first order in the step."""
    start = {"start_mean": DATA.mean, "start_cov": DATA.cov + 0.25} if noise else {}
    errors = []
    for steps in (100, 200, 400, 800):
        mean, var = end_law(indi_chain(steps, noise), **start)
        assert mean == pytest.approx(1.5, rel=1e-11)
        errors.append(0.25 - var)
    assert np.abs(slopes(errors) - 1).max() < 0.02
    assert 0 < errors[-1] < 1e-3


@pytest.mark.identity
@pytest.mark.parametrize("noise", [None, 0.5, 40.0])
def test_direct_denoising_is_ddim_on_another_scale(noise):
    """Both are Euler's method for x / signal in noise / signal, so the tables are one.

    The schedule with the same ratio; a row's numbers change by the scale of x alone.
    """
    indi, T = indi_chain(30, noise), 30
    t = np.arange(1, T + (noise is not None)) / T  # without t = 1 where the signal is 0
    ratio = noise * t if noise else t / (1 - t)
    sched = schedule.from_alpha_bar(1 / (1 + ratio**2))
    ddim, k = ddim_chain(sched), np.arange(T - sched.T, T)
    signal = np.append(indi.signal[k], 1.0)
    scale = sched.signal[::-1] / signal  # x of ddim over x of indi, down to t = 0
    ratio_of_steps = scale[1:] / scale[:-1]
    A, b = ddim.A[:, 0, 0] / ratio_of_steps, ddim.b[:, 0] / scale[1:] / scale[:-1]
    np.testing.assert_allclose(A, indi.A[k, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(b, indi.b[k, 0], rtol=1e-10)
    np.testing.assert_allclose(ddim.noise / ddim.signal, ratio[::-1], rtol=1e-12)
    assert not (ddim.c.any() or indi.c.any())


def test_direct_denoising_refuses_what_is_outside():
    x = np.ones(2)
    for t, tau in ((0.5, 0.6), (0.5, 0.0), (0.5, -0.1), (1.5, 1.0), (0.5, np.nan)):
        with pytest.raises(ValueError, match="0 < tau <= t <= 1 must hold"):
            indi_step(x, t, tau, x)
    for steps in (0, -1):
        with pytest.raises(ValueError, match=f"steps must be at least 1; got {steps}"):
            indi_chain(steps)
    with pytest.raises(TypeError, match="integer"):
        indi_chain(2.5)
    for noise in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="noise must be finite and above 0; got"):
            indi_chain(3, noise)
    for t in (-0.1, 2.0):
        with pytest.raises(ValueError, match=r"t must be in 0\.\.1; got"):
            indi_mix(np.ones(2), np.ones(2), t)


def test_nothing_leads_on_from_where_alpha_bar_has_vanished():
    sched = schedule.from_alpha([0.5, 1e-200, 1e-200, 0.5])
    with pytest.raises(ValueError, match=r"alpha_bar\[t-1\] = 0 \(t=4\)"):
        ddim_undo(np.ones(2), 4, np.ones(2), sched)
    with pytest.raises(ValueError, match=r"alpha_bar\[t-1\] = 0 \(t=4\)"):
        ddim_inversion(sched)


def test_a_sigma_is_refused_by_its_own_number_and_shape():
    sched, x = SCHEDULES[2], np.ones((2, 2))
    for sigma, got in (([[-1.0], [0.001]], "-1.0"), ([[0.001], [9.0]], "9.0")):
        with pytest.raises(ValueError, match=rf"got {got} \(t=5\)"):
            ddim_posterior(x, x, 5, np.array(sigma), sched)
    with pytest.raises(ValueError, match=r"sigma must be a number or \(\.\.\., 1\)"):
        ddim_posterior(x, x, 5, np.zeros(2), sched)


def test_the_doors_refuse_what_is_not_finite_and_what_is_no_vector():
    sched, x, nan = SCHEDULES[2], np.ones(2), np.array([1.0, np.nan])
    for call in (
        lambda x, y: ddim_posterior(x, y, 5, 0.0, sched),
        lambda x, y: ddim_step(x, 5, y, 0.0, x, sched),
        lambda x, y: ddim_step_x0(x, 5, y, 0.0, x, sched),
        lambda x, y: ddim_undo(x, 5, y, sched),
        lambda x, y: indi_mix(x, y, 0.5),
        lambda x, y: indi_step(x, 0.5, 0.1, y),
    ):
        for bad in ((x, nan), (nan, x)):
            with pytest.raises(ValueError, match="must be finite"):
                call(*bad)
        with pytest.raises(ValueError, match="last axis"):
            call(x, np.ones(3))


@pytest.mark.limit
def test_the_largest_eta_is_admitted_and_runs():
    """eta = noise[t] / sqrt(beta[t]) makes sigma = noise[t-1], up to rounding."""
    for sched in SCHEDULES:
        for t in range(2, min(sched.T, 60) + 1):
            eta = float(sched.noise[t] / np.sqrt(sched.beta[t]))
            sigma = sigma_eta(eta, t, sched)
            assert sigma[0] == pytest.approx(sched.noise[t - 1], rel=1e-12)
            assert np.isfinite(
                ddim_step(np.ones(2), t, np.ones(2), sigma, np.ones(2), sched)
            ).all()


def test_inversion_asks_no_model_at_time_0_and_variances_keep_their_shape():
    sched = SCHEDULES[2]
    chain = ddim_inversion(sched)
    asked = chain.t[np.isfinite(chain.t)]
    assert asked.min() == 1
    assert chain.evaluations == sched.T - 1
    _, var = ddim_posterior(
        np.ones((3, 2)), np.ones((3, 2)), np.array([2, 3, 4]), 0.0, sched
    )
    assert var.shape == (3, 1)
