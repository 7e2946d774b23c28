"""DDPM: the forward law, Bayes' rule, the chain's exact law, and what misprints do."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import TINY, assert_accurate, exact, ks_passes, mixture_cdf

from refdiff import gaussian, schedule
from refdiff.ddpm import (
    MEAN,
    ddpm_chain,
    ddpm_step,
    ddpm_step_beta,
    ddpm_step_learned,
    ddpm_step_mean,
    ddpm_step_score,
    ddpm_step_v,
    ddpm_step_x0,
    learned_var,
    mu_from_eps,
    mu_from_score,
    mu_from_v,
    mu_from_x0,
    x0_from_mu,
)
from refdiff.forward import (
    iterated_law,
    q_chain,
    q_marginal,
    q_posterior,
    q_sample,
    q_step,
    sigma_q,
)
from refdiff.targets import EPS, SCORE, V
from refdiff.targets import X0 as X0_TARGET
from refdiff.toys import example_2_1

SCHEDULES = [
    schedule.linear(1000),
    schedule.cosine(100),
    schedule.constant(50, 0.9),
    schedule.linear(1000).respace(schedule.trailing(1000, 7)),
]
X0, XT = np.array([0.7, -1.1]), np.array([0.2, 0.4])


def iterate(a, b, t):
    """Factor of x_0 and variance of x_t = a x_{t-1} + b eps, step by step at 50 digits."""
    factor, var = mp.mpf(1), mp.mpf(0)
    a, b = mp.mpf(float(a)), mp.mpf(float(b))
    for _ in range(t):
        factor, var = a * factor, a**2 * var + b**2
    return factor, var


@pytest.mark.oracle
@pytest.mark.parametrize(
    "size", [0.0, 1e-200, 0.3, 0.97**0.5, 1 - 1e-9, 1 - 2**-53, 1.0, 1 + 2**-52, 1.02]
)
def test_iterated_law_is_the_iteration(size):
    """Thm 2.1 at 50 digits, close to |a| = 1 and beyond it too, for both signs of a."""
    for a in {size, -size}:
        for t in (0, 1, 2, 7, 1000):
            factor, var = iterate(a, 0.7, t)
            got = iterated_law(a, 0.7, t)
            assert abs(mp.mpf(float(got[0])) - factor) <= 1e-13 * abs(factor) + TINY
            assert abs(mp.mpf(float(got[1])) - var) <= 1e-13 * var


@pytest.mark.limit
@pytest.mark.parametrize("a", [0.97**0.5, -(0.97**0.5), 0.3, 0.0, 0.999])
def test_iteration_tends_to_the_normal_for_either_sign_of_a(a):
    """Thm 2.1's a = sqrt(alpha) is not necessary: the sign of Cov[x_t, x_{t-1}] is free.

    By the matrix of x_1..x_t, which is a sum of a^(t-s) b e_s.
    """
    b = np.sqrt(1 - a**2)
    assert iterated_law(a, b, 100_000) == pytest.approx((0, 1), abs=1e-12)
    power = np.subtract.outer(np.arange(60), np.arange(60))
    root = np.where(power >= 0, b * float(a) ** np.maximum(power, 0), 0)
    cov = root @ root.T
    for t in (1, 2, 30, 60):
        assert iterated_law(a, b, t)[1] == pytest.approx(cov[t - 1, t - 1], rel=1e-12)
    beside = np.diagonal(cov, 1)
    assert (np.sign(beside) == np.sign(a)).all()
    assert beside[-1] == pytest.approx(a * iterated_law(a, b, 59)[1], abs=1e-14)


@pytest.mark.control
def test_iteration_has_no_normal_limit_for_another_a_or_b():
    for a in (1.0, -1.0, 1.01, -1.01):
        factor, var = iterated_law(a, 0.5, 2000)
        assert var > 100
        assert abs(factor) >= 1
    for a, b in ((0.9, 0.5), (-0.9, 0.4), (0.5, 0.9)):
        factor, var = iterated_law(a, b, 10_000)
        assert abs(factor) < 1e-12
        assert abs(var - 1) > 0.05


@pytest.mark.identity
@pytest.mark.parametrize("sched", SCHEDULES)
def test_q_marginal_is_t_fold_q_step(sched):
    """Thm 2.2: the steps' means and variances composed, and the chain's exact law."""
    mean, var = X0, 0.0
    for t in range(1, sched.T + 1):
        mean, added = q_step(mean, t, sched)
        var = sched.alpha[t] * var + added[0]
    got_mean, got_var = q_marginal(X0, sched.T, sched)
    np.testing.assert_allclose(got_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(got_var, var, rtol=1e-12)
    means, covs = q_chain(sched).law(X0, np.eye(2), X0, np.zeros((2, 2)))
    for t in (0, 1, sched.T // 2, sched.T):
        got_mean, got_var = q_marginal(X0, t, sched)
        np.testing.assert_allclose(means[t], got_mean, rtol=1e-12)
        np.testing.assert_allclose(covs[t], got_var * np.eye(2), rtol=1e-12)


def joint(t, sched, x0=X0[0]):
    """Mean and covariance of (x_{t-1}, x_t) given a number x_0, by the linear algebra of
    x_{t-1} = s x_0 + n e_1, x_t = sqrt(alpha) x_{t-1} + sqrt(beta) e_2."""
    before = np.array([[sched.noise[t - 1], 0.0]])
    after = np.sqrt(sched.alpha[t]) * before + [[0.0, np.sqrt(sched.beta[t])]]
    root = np.concatenate([before, after])
    mean = sched.signal[[t - 1, t]] * x0
    return mean, root @ root.T


@pytest.mark.identity
@pytest.mark.parametrize("sched", SCHEDULES)
def test_q_posterior_is_bayes_rule(sched):
    """Thm 2.5, by conditioning the joint Gaussian; sigma_q is its deviation."""
    for t in {2, 3, sched.T // 2, sched.T} - {0, 1}:
        want_mean, want_cov = gaussian.condition(*joint(t, sched), [1], XT[:1])
        mean, var = q_posterior(X0[:1], XT[:1], t, sched)
        np.testing.assert_allclose(mean, want_mean, rtol=1e-9)
        np.testing.assert_allclose(var, want_cov[0], rtol=1e-9)
        np.testing.assert_allclose(sigma_q(t, sched) ** 2, want_cov[0], rtol=1e-9)


@pytest.mark.oracle
def test_q_posterior_is_the_product_of_densities_on_a_grid():
    """(2.27): q(x_t | x_{t-1}) q(x_{t-1} | x_0), normalised by summation."""
    sched, t = schedule.constant(50, 0.9), 5
    x = np.linspace(-8, 8, 20001)
    mean, var = q_marginal(X0[:1], t - 1, sched)
    p = stats.norm.pdf(x, mean[0], np.sqrt(var[0]))
    p *= stats.norm.pdf(XT[0], *(np.sqrt(0.9) * x, np.sqrt(0.1)))
    p /= p.sum()
    mean, var = q_posterior(X0[:1], XT[:1], t, sched)
    assert mean[0] == pytest.approx(p @ x, rel=1e-10)
    assert var[0] == pytest.approx(p @ (x - p @ x) ** 2, rel=1e-10)


@pytest.mark.control
def test_the_printed_posterior_variance_fails_bayes_rule():
    """(2.26) prints 1 - sqrt(alpha_bar[t-1]) where 1 - alpha_bar[t-1] belongs."""
    sched = schedule.constant(50, 0.9)
    for t in (2, 5, 50):
        _, cov = gaussian.condition(*joint(t, sched), [1], XT[:1])
        printed = sched.beta[t] * (1 - sched.signal[t - 1]) / sched.noise2[t]
        assert abs(printed / cov[0, 0] - 1) > 1e-3


@pytest.mark.limit
@pytest.mark.parametrize("sched", SCHEDULES)
def test_the_last_step_returns_x0_without_noise(sched):
    mean, var = q_posterior(X0, XT, 1, sched)
    np.testing.assert_array_equal(mean, X0)
    assert var == sigma_q(1, sched) == 0


@pytest.mark.oracle
def test_posterior_coefficients_of_figure_2_10():
    """alpha = 0.9: the numbers of the tutorial map, and the coefficients' sum."""
    sched, one, none = schedule.constant(50, 0.9), np.ones(1), np.zeros(1)
    expected = {
        1: (0.0, 1.0),
        2: (0.49931, 0.49931),
        5: (0.79669, 0.19780),
        10: (0.89225, 0.09556),
        50: (0.94814, 0.00761),
    }
    for t, (of_xt, of_x0) in expected.items():
        c_t = q_posterior(none, one, t, sched)[0][0]
        c_0 = q_posterior(one, none, t, sched)[0][0]
        assert (c_t, c_0) == pytest.approx((of_xt, of_x0), abs=5e-6)
        total = (np.sqrt(0.9) + 0.9 ** ((t - 1) / 2)) / (1 + 0.9 ** (t / 2))
        assert c_t + c_0 == pytest.approx(total, rel=1e-13)
    variances = {1: 0, 2: 0.05263, 5: 0.08398, 10: 0.09405, 50: 0.09994}
    for t, var in variances.items():
        assert sigma_q(t, sched)[0] ** 2 == pytest.approx(var, abs=5e-6)


@pytest.mark.oracle
def test_example_2_1_approaches_the_normal():
    """KL(p_t || N(0,1)) of the map, by quadrature of the closed-form density."""
    sched, m = schedule.constant(200, 0.97), example_2_1()
    x = np.linspace(-14, 14, 56001)
    expected = {
        0: 1.7298,
        10: 0.9786,
        20: 0.6098,
        50: 0.1563,
        100: 0.0202,
        200: 0.00074,
    }
    for t, kl in expected.items():
        at_t = m.noised(sched.signal[t], sched.noise[t])
        log_p = at_t.logpdf(x[:, None])
        got = np.exp(log_p) @ (log_p - stats.norm.logpdf(x)) * (x[1] - x[0])
        assert got == pytest.approx(kl, abs=6e-5 if t < 200 else 6e-6)
        assert at_t.mean[0] == pytest.approx(0.8 * 0.97 ** (t / 2), rel=1e-12)
        assert at_t.cov[0, 0] == pytest.approx(1 + 3.072 * 0.97**t, rel=1e-12)


@pytest.mark.law
def test_q_sample_has_the_law_q_marginal():
    """(2.11) by KS; the training box's alpha_bar without its root must fail."""
    rng, sched, t = np.random.default_rng(0), SCHEDULES[1], 40
    eps = rng.standard_normal((50_000, 1))
    mean, var = q_marginal(np.array([2.0]), t, sched)
    white = (q_sample(np.array([2.0]), t, eps, sched) - mean) / np.sqrt(var)
    assert ks_passes(white, stats.norm.cdf)[0]
    printed = sched.alpha_bar[t] * 2.0 + sched.noise[t] * eps
    assert not ks_passes((printed - mean) / np.sqrt(var), stats.norm.cdf)[0]


@pytest.mark.identity
@given(data=st.data())
def test_mean_from_eps_is_the_posterior_mean(data):
    """(2.49) = (2.25) for the eps that made x_t."""
    sched = data.draw(st.sampled_from(SCHEDULES))
    t = data.draw(st.integers(1, sched.T))
    eps = np.array(data.draw(st.lists(st.floats(-3, 3), min_size=2, max_size=2)))
    xt = q_sample(X0, t, eps, sched)
    want, _ = q_posterior(X0, xt, t, sched)
    got = mu_from_eps(xt, t, eps, sched)
    size = np.abs(xt).max() / np.sqrt(sched.alpha[t])  # of the terms it subtracts
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-13 * size + 1e-13)


@pytest.mark.identity
@given(data=st.data())
def test_every_prediction_gives_the_posterior_mean(data):
    """From the eps, x0, v and score that made x_t, by conditioning the joint Gaussian."""
    sched = data.draw(st.sampled_from(SCHEDULES))
    t = data.draw(st.integers(1, sched.T))
    x0, eps = (np.array([data.draw(st.floats(-3, 3))]) for _ in "xe")
    s, n = sched.signal[t], sched.noise[t]
    xt, turned = np.array([[s, n], [-n, s]]) @ [x0, eps]
    want = x0
    if t > 1:
        want, _ = gaussian.condition(*joint(t, sched, x0[0]), [1], xt)
    made = {
        "eps": (mu_from_eps, eps),
        "x0": (mu_from_x0, x0),
        "v": (mu_from_v, turned),
        "score": (mu_from_score, (s * x0 - xt) / n**2),
    }
    size = abs(xt[0]) / np.sqrt(sched.alpha[t]) + abs(x0[0])  # of what is subtracted
    close = {"rtol": 1e-10, "atol": 1e-13 * size + 1e-13}
    for mu, prediction in made.values():
        np.testing.assert_allclose(mu(xt, t, prediction, sched), want, **close)
    score = made["score"][1]
    for got in (
        MEAN.of(x0, eps, t, sched),
        MEAN.from_x0(xt, x0, t, sched),
        MEAN.from_score(xt, score, t, sched),
    ):
        np.testing.assert_allclose(got, want, **close)
    c_0 = q_posterior(np.ones(1), np.zeros(1), t, sched)[0][0]
    close["atol"] /= c_0  # x0 from the mean: what the mean knows of it
    mu = mu_from_x0(xt, t, x0, sched)
    for back in (x0_from_mu(xt, t, mu, sched), MEAN.to_x0(xt, mu, t, sched)):
        np.testing.assert_allclose(back, x0, **close)


def test_times_may_be_one_a_row():
    sched, t = SCHEDULES[1], np.array([1, 50, 100])
    x0, xt, eps = np.random.default_rng(0).standard_normal((3, 3, 2))
    for i, t_i in enumerate(t):
        for whole, row in (
            (
                q_posterior(x0, xt, t, sched)[0],
                q_posterior(x0[i], xt[i], t_i, sched)[0],
            ),
            (q_sample(x0, t, eps, sched), q_sample(x0[i], t_i, eps[i], sched)),
            (mu_from_eps(xt, t, eps, sched), mu_from_eps(xt[i], t_i, eps[i], sched)),
            (
                ddpm_step_beta(xt, t, eps, x0, sched),
                ddpm_step_beta(xt[i], t_i, eps[i], x0[i], sched),
            ),
        ):
            np.testing.assert_array_equal(whole[i], row)


def exact_recursion(sched, var_of_step, mean, var):
    """Law of ancestral sampling on N(mean, var) data, from E[x0 | x_t] and Bayes' rule.

    Each step draws x_{t-1} around q_posterior's mean at x0_hat = E[x0 | x_t].
    """
    m, v = 0.0, 1.0
    for t in range(sched.T, 0, -1):
        s, one, none = sched.signal[t], np.ones(1), np.zeros(1)
        gain = s * var / (s**2 * var + sched.noise2[t])
        c_t = q_posterior(none, one, t, sched)[0][0]
        c_0 = q_posterior(one, none, t, sched)[0][0]
        slope = c_t + c_0 * gain
        m = slope * m + c_0 * (1 - gain * s) * mean
        v = slope**2 * v + var_of_step(t)
    return m, v


@pytest.mark.oracle
@pytest.mark.parametrize("sched", SCHEDULES)
def test_law_of_the_chain_is_the_exact_recursion(sched):
    """Both classic variances, on N(1.5, 0.25) data, to 1e-12."""
    cases = {
        ddpm_step: lambda t: sigma_q(t, sched)[0] ** 2,
        ddpm_step_beta: lambda t: sched.beta[t] if t > 1 else 0.0,
    }
    for step, var_of_step in cases.items():
        means, covs = ddpm_chain(sched, step).law(np.array([1.5]), np.array([[0.25]]))
        m, v = exact_recursion(sched, var_of_step, 1.5, 0.25)
        assert means[-1, 0] == pytest.approx(m, rel=1e-12)
        assert covs[-1, 0, 0] == pytest.approx(v, rel=1e-12)


@pytest.mark.control
def test_the_printed_variance_changes_the_chains_law():
    sched = SCHEDULES[0]

    def printed(xt, t, eps_hat, z, sched):
        var = sched.beta[t] * (1 - sched.signal[t - 1]) / sched.noise2[t]
        return mu_from_eps(xt, t, eps_hat, sched) + np.sqrt(var) * z

    data = np.array([1.5]), np.array([[0.25]])
    right = ddpm_chain(sched).law(*data)[1][-1, 0, 0]
    wrong = ddpm_chain(sched, printed).law(*data)[1][-1, 0, 0]
    assert abs(wrong - right) > 0.05


TABLES = {
    EPS: ddpm_step,
    X0_TARGET: ddpm_step_x0,
    V: ddpm_step_v,
    SCORE: ddpm_step_score,
    MEAN: ddpm_step_mean,
}


@pytest.mark.identity
@pytest.mark.parametrize("sched", SCHEDULES)
def test_every_target_gives_one_table(sched):
    """Five samplers, one list of (A, b, c): a step in closed form beside the others."""
    want = ddpm_chain(sched)
    for target, step in TABLES.items():
        got = ddpm_chain(sched, step, target)
        for name in ("A", "b", "c", "signal", "noise", "t", "ends"):
            column, wanted = getattr(got, name), getattr(want, name)
            np.testing.assert_allclose(column, wanted, rtol=1e-12, err_msg=target.name)
    root = np.sqrt(sched.alpha[:0:-1])
    np.testing.assert_allclose(want.A[:, 0, 0] * root, 1, rtol=1e-13)


@pytest.mark.limit
def test_targets_that_lead_back_run_from_where_alpha_bar_has_vanished():
    """x0, v and the mean give one table at alpha_bar[T] = 0, with the exact law."""
    for alpha in ([0.5, 1e-200, 1e-200], [0.5, 0.5, 5e-324]):
        sched = schedule.from_alpha(alpha)
        assert sched.alpha_bar[3] == 0
        chains = [ddpm_chain(sched, TABLES[y], y) for y in (X0_TARGET, V, MEAN)]
        for chain in chains[1:]:
            for name in ("A", "b", "c"):
                want = getattr(chains[0], name)
                np.testing.assert_allclose(getattr(chain, name), want, 1e-12, 1e-150)
        for target in (EPS, SCORE):
            with pytest.raises(ValueError, match=r"alpha_bar\[t\] = 0"):
                ddpm_chain(sched, TABLES[target], target)
    m, v = exact_recursion(sched, lambda t: sigma_q(t, sched)[0] ** 2, 1.5, 0.25)
    for (
        chain
    ) in chains:  # of the second; the first has an A of 1e100, where law cancels
        means, covs = chain.law(np.array([1.5]), np.array([[0.25]]))
        assert means[-1, 0] == pytest.approx(m, rel=1e-12)
        assert covs[-1, 0, 0] == pytest.approx(v, rel=1e-12)


@pytest.mark.identity
@given(share=st.floats(0, 1), sched=st.sampled_from(SCHEDULES))
def test_learned_variance_lies_between_its_bounds(share, sched):
    """sigma_q^2 at share 0, beta at 1, a straight line of logarithms between them.

    At t = 1, where sigma_q = 0, the lower bound is t = 2's, and no noise is added.
    """
    t = np.arange(2, sched.T + 1)
    low, high = sigma_q(t, sched) ** 2, sched.beta[2:, None]
    np.testing.assert_allclose(learned_var(0.0, t, sched), low, rtol=1e-13)
    np.testing.assert_allclose(learned_var(1.0, t, sched), high, rtol=1e-13)
    got = learned_var(share, t, sched)
    assert (low * (1 - 1e-13) <= got).all()
    assert (got <= high * (1 + 1e-13)).all()
    on_the_line = np.interp(share, [0, 1], np.log([low[0, 0], high[0, 0]]))
    assert np.log(got[0, 0]) == pytest.approx(on_the_line, rel=1e-12)
    at_1 = learned_var(np.array([0.0, share, 1.0]), 1, sched)
    assert at_1[[0, 2]] == pytest.approx([low[0, 0], sched.beta[1]], rel=1e-13)
    assert at_1[1] ** 2 / at_1[0] == pytest.approx(
        learned_var(2 * share, 1, sched)[0], rel=1e-12
    )
    z, none = np.array([1.0, -2.0]), np.zeros(2)
    shares = np.array([share, 1 - share])
    for i in (1, 2, sched.T):
        still = ddpm_step_learned(XT, i, X0, shares, none, sched)
        noise = ddpm_step_learned(XT, i, X0, shares, z, sched) - still
        np.testing.assert_array_equal(still, mu_from_eps(XT, i, X0, sched))
        want = learned_var(shares, i, sched) * z**2 * (i > 1)
        np.testing.assert_allclose(noise**2, want, rtol=1e-9, atol=1e-15)
    rows = learned_var(shares, np.array([[1], [2], [sched.T]]), sched)
    for row, i in zip(rows[:, 0], (1, 2, sched.T), strict=True):
        np.testing.assert_array_equal(row, learned_var(shares, i, sched))


@pytest.mark.limit
def test_the_learned_variance_of_a_single_step_is_beta():
    sched, share = schedule.from_alpha([0.6]), np.array([0.0, 0.5, 1.0])
    np.testing.assert_array_equal(learned_var(share, 1, sched), np.full(3, 0.4))
    step = ddpm_step_learned(XT, 1, X0, 0.5, X0, sched)
    np.testing.assert_array_equal(step, mu_from_eps(XT, 1, X0, sched))


@pytest.mark.limit
def test_more_steps_bring_the_data_back():
    """The sampler's own error in the variance falls as 1/T, the slope nearing 1."""
    errors = []
    for T in (200, 400, 800, 1600):
        chain = ddpm_chain(schedule.cosine(T))
        _, covs = chain.law(np.array([1.5]), np.array([[0.25]]))
        errors.append(0.25 - covs[-1, 0, 0])
    assert all(e > 0 for e in errors)
    slopes = -np.diff(np.log(errors)) / np.log(2)
    assert (np.abs(slopes - 1) < 0.1).all()
    assert (np.diff(slopes) > 0).all()


@pytest.mark.law
def test_ancestral_sampling_of_example_2_1_passes_ks():
    """T = 1000, linear, sigma_q, 100,000 samples: the bias D = 0.0018 is not seen.

    Ex 2.1's own alpha = 0.97 with T = 200 must fail: its steps are too long (D = 0.026).
    """
    m, rng = example_2_1(), np.random.default_rng(0)
    start = rng.standard_normal((100_000, 1))
    *_, fine = ddpm_chain(schedule.linear(1000)).run(start, m.model, rng=rng)
    *_, coarse = ddpm_chain(schedule.constant(200, 0.97)).run(start, m.model, rng=rng)
    passes, D = ks_passes(fine, mixture_cdf(m))
    assert passes
    assert D < 0.0018 + 0.0061  # bias, and a KS statistic of alpha 1e-3 at this n
    passes, D = ks_passes(coarse, mixture_cdf(m))
    assert not passes
    assert D == pytest.approx(0.026, abs=0.005)


def mp_posterior(v):
    """q_posterior's mean and variance and mu_from_eps, from alphas by products alone."""
    x0, xt, eps, *beta = v
    before = mp.mpf(1)
    for b in beta[:-1]:
        before *= 1 - b
    a = 1 - beta[-1]
    ab = before * a
    mean = ((1 - before) * mp.sqrt(a) * xt + beta[-1] * mp.sqrt(before) * x0) / (1 - ab)
    return [
        mean,
        beta[-1] * (1 - before) / (1 - ab),
        (xt - beta[-1] / mp.sqrt(1 - ab) * eps) / mp.sqrt(a),
    ]


@pytest.mark.oracle
@pytest.mark.parametrize(("T", "t"), [(1000, 1), (1000, 2), (1000, 1000), (10_000, 2)])
def test_posterior_agrees_with_50_digits(T, t):
    sched, x = schedule.linear(T), np.array([0.7, -0.4, 1.3])
    inputs = exact([*x, *sched.beta[1 : t + 1]])
    mean, var = q_posterior(x[:1], x[1:2], t, sched)
    mu = mu_from_eps(x[1:2], t, x[2:], sched)
    sizes = [mp.mpf(1), mp_posterior(inputs)[1], mp.mpf(1) / 10]
    assert_accurate([mean[0], var[0], mu[0]], mp_posterior, inputs, sizes)


@pytest.mark.oracle
@pytest.mark.parametrize("t", [1, 2, 5000, 9999, 10_000])
def test_posterior_agrees_with_50_digits_over_10_000_steps(t):
    """All t of a long table, against products of its float64 betas at 50 digits."""
    sched = schedule.linear(10_000)
    want_mean, want_var, want_mu = mp_posterior(
        exact([0.7, -0.4, 1.3, *sched.beta[1 : t + 1]])
    )
    mean, var = q_posterior(np.array([0.7]), np.array([-0.4]), t, sched)
    mu = mu_from_eps(np.array([-0.4]), t, np.array([1.3]), sched)
    assert abs(mp.mpf(mean[0]) - want_mean) < 1e-13
    assert abs(mp.mpf(var[0]) - want_var) <= 1e-13 * want_var
    assert abs(mp.mpf(mu[0]) - want_mu) < 1e-13


def test_times_outside_the_schedule_are_refused():
    sched, z = SCHEDULES[2], np.zeros(2)
    for call in (
        lambda t: q_step(X0, t, sched),
        lambda t: q_posterior(X0, XT, t, sched),
        lambda t: ddpm_step(XT, t, z, z, sched),
        lambda t: ddpm_step_beta(XT, t, z, z, sched),
        lambda t: mu_from_x0(XT, t, z, sched),
        lambda t: mu_from_v(XT, t, z, sched),
        lambda t: mu_from_score(XT, t, z, sched),
        lambda t: x0_from_mu(XT, t, z, sched),
        lambda t: learned_var(0.5, t, sched),
    ):
        for t in (0, -1, 51):
            with pytest.raises(ValueError, match=rf"1\.\.50; got {t}"):
                call(t)


@pytest.mark.control
def test_no_eps_leads_back_from_where_alpha_bar_has_vanished():
    """alpha_bar underflows to 0 although no alpha is 0."""
    sched = schedule.from_alpha([0.5, 1e-200, 1e-200])
    assert sched.alpha_bar[3] == 0
    with pytest.raises(ValueError, match=r"alpha_bar\[t\] = 0"):
        mu_from_eps(XT, 3, XT, sched)
    with pytest.raises(ValueError, match=r"alpha_bar\[t\] = 0"):
        ddpm_chain(sched)


def test_what_is_no_vector_or_not_finite_is_refused_by_name():
    sched, bad = SCHEDULES[2], np.array([np.nan, 0.0])
    for call, name in (
        (lambda: q_step(bad, 2, sched), "x_prev"),
        (lambda: q_marginal(bad, 2, sched), "x0"),
        (lambda: q_sample(X0, 2, bad, sched), "eps"),
        (lambda: q_posterior(X0, bad, 2, sched), "xt"),
        (lambda: mu_from_eps(XT, 2, bad, sched), "eps"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            call()
    with pytest.raises(ValueError, match=r"the same for all: x0 \(3, 1\), eps \(3,\)"):
        q_sample(np.ones((3, 1)), 2, np.ones(3), sched)
    with pytest.raises(ValueError, match="last axis must be the vector"):
        q_step(1.0, 2, sched)


def test_steps_and_the_iterated_law_refuse_what_is_not_finite():
    sched, x, nan = SCHEDULES[2], np.ones(2), np.array([1.0, np.nan])
    for step in (ddpm_step, ddpm_step_beta):
        with pytest.raises(ValueError, match="z must be finite"):
            step(x, 2, x, nan, sched)
    with pytest.raises(ValueError, match="mu_hat must be finite"):
        ddpm_step_mean(x, 2, nan, x, sched)
    with pytest.raises(ValueError, match="share must be finite"):
        learned_var(np.nan, 2, sched)
    for bad in ((np.nan, 1.0, 3), (0.5, np.inf, 3), (0.5, 1.0, -2), (1.5, 1.0, 10_000)):
        with pytest.raises(ValueError, match="must be"):
            iterated_law(*bad)
