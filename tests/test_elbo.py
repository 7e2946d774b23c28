"""The bound against one joint Gaussian of the whole path; Thm 2.3 as printed must fail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.linalg import block_diag

from refdiff import gaussian, schedule
from refdiff.ddpm import ddpm_chain, mu_from_x0
from refdiff.elbo import (
    Reverse,
    ddpm_elbo,
    elbo_terms,
    elbo_terms_forward,
    gaussian_reverse,
    log_likelihood,
    mean_kl,
)
from refdiff.forward import q_posterior, q_sample, sigma_q
from refdiff.mixture import Mixture
from refdiff.toys import example_2_1

MEAN, COV = np.array([0.4, -1.0]), np.array([[0.5, 0.3], [0.3, 0.4]])
DATA = Mixture(np.ones(1), MEAN[None], COV[None])
X0 = np.array([1.1, -0.6])


def gauss(k, n=3):
    """Nodes (n^k, k) and weights of N(0, I), exact for polynomials below degree 2n."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    nodes = np.stack(np.meshgrid(*[z] * k), -1).reshape(-1, k)
    return nodes, np.prod(np.meshgrid(*[w / w.sum()] * k), axis=0).ravel()


def nodes_of(mean, cov):
    """The same for N(mean, cov), which may be singular: a point has covariance 0."""
    nodes, w = gauss(len(mean))
    return mean + nodes @ gaussian.symmetric_root(cov), w


def random_problem(seed, T, d):
    """x0, a reverse process with any A, and a schedule; entry 0 is not to be used."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((T + 1, d, d))
    cov = root @ np.swapaxes(root, 1, 2) + 0.2 * np.eye(d)
    A, b = 0.7 * rng.standard_normal((T + 1, d, d)), rng.standard_normal((T + 1, d))
    A[0], b[0], cov[0] = np.nan, np.nan, np.nan
    sched = schedule.from_alpha(rng.uniform(0.3, 0.95, T))
    return 1.5 * rng.standard_normal(d), Reverse(A, b, cov), sched


problems = st.builds(
    random_problem, st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 2)
)


def path_q(x0, sched):
    """Mean and covariance of (x_0, ..., x_T) under q, x_0 being a point.

    (1 - S) x = e + (x_0, 0, ..., 0): the whole path is one linear map of its noise.
    """
    one = np.eye(len(x0))
    S = np.diag(np.sqrt(sched.alpha[1:]), -1)
    path = np.kron(np.linalg.inv(np.eye(sched.T + 1) - S), one)
    return path[:, : len(x0)] @ x0, path @ np.kron(np.diag(sched.beta), one) @ path.T


def path_p(reverse, T):
    """Mean, covariance and precision of (x_0, ..., x_T) under p."""
    d = reverse.b.shape[1]
    L = np.eye((T + 1) * d)
    for t in range(1, T + 1):
        L[(t - 1) * d : t * d, t * d : (t + 1) * d] = -reverse.A[t]
    noise = block_diag(*reverse.cov[1:], np.eye(d))
    drift, back = np.concatenate([*reverse.b[1:], np.zeros(d)]), np.linalg.inv(L)
    return back @ drift, back @ noise @ back.T, L.T @ np.linalg.inv(noise) @ L


def expected_log_ratio(x0, reverse, sched):
    """E_q log p(x_{0:T}) / q(x_{1:T} | x_0), and the size of its terms."""
    d, T = len(x0), sched.T
    (m, S), (mean, _, P) = path_q(x0, sched), path_p(reverse, T)
    square = (m - mean) @ P @ (m - mean) + np.trace(P @ S)
    log_det = np.linalg.slogdet(P)[1] - (T + 1) * d * np.log(2 * np.pi)
    entropy = stats.multivariate_normal(np.zeros(T * d), S[d:, d:]).entropy()
    size = (m - mean) @ P @ (m - mean) + np.trace(np.abs(P) @ np.abs(S))
    return 0.5 * (log_det - square) + entropy, size + abs(log_det) + abs(entropy)


def close(value, size=1.0, tol=1e-12):
    return pytest.approx(value, rel=tol, abs=tol * (1 + float(np.max(size))))


@pytest.mark.identity
@given(problem=problems)
def test_theorem_2_4_is_the_expected_log_ratio(problem):
    """(2.21), for T = 1..6 steps in 1 and 2 dimensions with any A, b and covariances."""
    want, size = expected_log_ratio(*problem)
    assert elbo_terms(*problem).bound == close(want, size)


@pytest.mark.identity
@given(problem=problems)
def test_the_repaired_theorem_2_3_is_the_expected_log_ratio(problem):
    """With E log q(x_t | x_{t-1}) / p(x_t | x_{t+1}) in it; as printed, it is not."""
    want, size = expected_log_ratio(*problem)
    assert elbo_terms_forward(*problem).bound == close(want, size)


@pytest.mark.identity
@given(problem=problems)
def test_each_term_is_the_expected_divergence_it_is_named_for(problem):
    """Thm 2.4 and Thm 2.3 as printed, by quadrature over what stands outside each KL."""
    x0, (A, b, cov), sched = problem
    d, one, (m, S) = len(x0), np.eye(len(x0)), path_q(x0, sched)

    def part(*times):
        return np.concatenate([np.arange(t * d, (t + 1) * d) for t in times])

    def law(*times):
        keep = part(*times)
        return m[keep], S[np.ix_(keep, keep)]

    x1, w = nodes_of(*law(1))
    log_p = [stats.multivariate_normal(A[1] @ x + b[1], cov[1]).logpdf(x0) for x in x1]
    right = elbo_terms(*problem)
    printed = elbo_terms_forward(*problem, printed=True)
    for terms in (right, printed):
        assert terms.reconstruction == close(w @ log_p, w @ np.abs(log_p))
        assert terms.consistency[0] == 0
    assert right.consistency[1] == printed.consistency[-1] == 0
    zero = np.zeros(d)
    assert right.prior == close(gaussian.kl(*law(sched.T), zero, one), 10)
    before, w = nodes_of(*law(sched.T - 1))
    of_last = np.sqrt(sched.alpha[-1]) * before
    kl = gaussian.kl(of_last, sched.beta[-1] * one, zero, one)
    assert printed.prior == close(w @ kl, 10)
    for t in range(2, sched.T + 1):
        xt, w = nodes_of(*law(t))
        both = law(t - 1, t)
        kl = [
            gaussian.kl(
                *gaussian.condition(*both, list(range(d, 2 * d)), x),
                A[t] @ x + b[t],
                cov[t],
            )
            for x in xt
        ]
        assert right.consistency[t] == close(w @ kl, w @ kl, 1e-11)
    for t in range(1, sched.T):
        ends, w = nodes_of(*law(t - 1, t + 1))
        of_q = np.sqrt(sched.alpha[t]) * ends[:, :d]
        of_p = ends[:, d:] @ A[t + 1].T + b[t + 1]
        kl = gaussian.kl(of_q, sched.beta[t] * one, of_p, cov[t + 1])
        assert printed.consistency[t] == close(w @ kl, w @ kl)


@pytest.mark.control
def test_theorem_2_3_as_printed_is_not_the_expected_log_ratio():
    """The tutorial map's example with T = 2; log p(x0) = -1.7785."""
    A, b = np.array([0, 0.7, 0.9])[:, None, None], np.zeros((3, 1))
    reverse = Reverse(A, b, np.array([1, 0.25, 0.64])[:, None, None])
    sched, x0 = schedule.from_alpha([0.8, 0.6]), np.array([1.3])
    got = [
        expected_log_ratio(x0, reverse, sched)[0],
        elbo_terms(x0, reverse, sched).bound,
        elbo_terms_forward(x0, reverse, sched, printed=True).bound,
        log_likelihood(x0, reverse),
    ]
    assert got == pytest.approx([-1.9640, -1.9640, -2.1818, -1.7785], abs=5e-5)


@pytest.mark.control
@given(problem=problems)
def test_the_printed_excess_is_a_covariance_that_was_lost(problem):
    """(2.14) is off by sum_t beta[t] sqrt(alpha[t+1]) tr(cov[t+1]^-1 A[t+1])."""
    _, (A, _, cov), sched = problem
    right, wrong = elbo_terms_forward(*problem), elbo_terms_forward(*problem, True)
    excess = np.zeros(sched.T + 1)
    for t in range(1, sched.T):
        trace = np.trace(np.linalg.solve(cov[t + 1], A[t + 1]))
        excess[t] = sched.beta[t] * np.sqrt(sched.alpha[t + 1]) * trace
    size = np.abs(right.consistency) + np.abs(wrong.consistency)
    difference = wrong.consistency - right.consistency
    assert (np.abs(difference - excess) <= 1e-12 * (1 + size)).all()
    assert right.bound - wrong.bound == close(excess.sum(), size.sum())


@pytest.mark.identity
@given(problem=problems)
def test_the_gap_of_the_bound_is_the_divergence_of_the_paths(problem):
    """log p(x0) - bound = KL(q(x_{1:T} | x0) || p(x_{1:T} | x0)), which is >= 0."""
    x0, reverse, sched = problem
    d, bound = len(x0), elbo_terms(*problem).bound
    (m, S), (mean, cov, _) = path_q(x0, sched), path_p(reverse, sched.T)
    log_p = stats.multivariate_normal(mean[:d], cov[:d, :d]).logpdf(x0)
    assert log_likelihood(x0, reverse) == close(log_p, 10)
    p_mean, p_cov = gaussian.condition(mean, cov, list(range(d)), x0)
    gap = gaussian.kl(m[d:], S[d:, d:], p_mean, (p_cov + p_cov.T) / 2)
    assert log_p - bound == close(gap, abs(bound), 1e-10)
    assert bound <= log_p + 1e-12 * abs(log_p)


@pytest.mark.identity
def test_rows_of_x0_broadcast():
    _, reverse, sched = random_problem(3, 4, 2)
    x0 = np.random.default_rng(0).standard_normal((3, 5, 2))
    for terms in (
        elbo_terms,
        elbo_terms_forward,
        lambda *problem: elbo_terms_forward(*problem, printed=True),
    ):
        whole = terms(x0, reverse, sched)
        assert whole.consistency.shape == (5, 3, 5)
        for i in np.ndindex(3, 5):
            row = terms(x0[i], reverse, sched)
            for got, want in zip((*whole, whole.bound), (*row, row.bound), strict=True):
                np.testing.assert_allclose(got[(..., *i)], want, rtol=1e-12)
    rows = [[log_likelihood(x, reverse) for x in row] for row in x0]
    np.testing.assert_allclose(log_likelihood(x0, reverse), rows, rtol=1e-13)


@pytest.mark.identity
@given(data=st.data())
def test_mean_kl_is_the_divergence(data):
    """Thm 2.6, of two Gaussians with the posterior's variance."""
    sched = data.draw(st.sampled_from([schedule.cosine(50), schedule.linear(1000)]))
    t = data.draw(st.integers(2, sched.T))
    number = st.lists(st.floats(-3, 3), min_size=2, max_size=2).map(np.array)
    a, b = data.draw(number), data.draw(number)
    cov = sigma_q(t, sched) ** 2 * np.eye(2)
    want = gaussian.kl(a, cov, b, cov)
    assert mean_kl(a, b, t, sched) == pytest.approx(want, rel=1e-12, abs=1e-14)
    with pytest.raises(ValueError, match=rf"2\.\.{sched.T}; got 1"):
        mean_kl(a, b, 1, sched)


@pytest.mark.oracle
@pytest.mark.parametrize("var_1", [None, 0.05])
def test_the_estimate_on_quadrature_nodes_is_the_exact_terms(var_1):
    """The noise given to ddpm_elbo is a rule that integrates squares exactly."""
    sched, (nodes, w) = schedule.cosine(12), gauss(2)
    exact = elbo_terms(X0, gaussian_reverse(MEAN, COV, sched, var_1), sched)
    x0, eps = np.broadcast_to(X0, nodes.shape), np.broadcast_to(nodes, (12, 9, 2))
    terms = ddpm_elbo(x0, DATA.model, eps, sched, var_1)
    assert w @ terms.reconstruction == close(exact.reconstruction)
    np.testing.assert_allclose(terms.prior, exact.prior, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(terms.consistency @ w, exact.consistency, rtol=1e-11)
    assert w @ terms.bound == close(exact.bound)


@pytest.mark.law
def test_the_estimate_agrees_with_the_exact_terms():
    """20,000 draws, within 5 standard errors in each term; a wrong var_1 is seen."""
    sched, n = schedule.cosine(12), 20_000
    eps = np.random.default_rng(0).standard_normal((12, n, 2))
    terms = ddpm_elbo(np.broadcast_to(X0, (n, 2)), DATA.model, eps, sched)
    drawn = np.concatenate([terms.reconstruction[None], terms.consistency[2:]])

    def z_scores(var_1):
        reverse = gaussian_reverse(MEAN, COV, sched, var_1)
        exact = elbo_terms(X0, reverse, sched)
        want = np.array([exact.reconstruction, *exact.consistency[2:]])
        error = drawn.mean(axis=1) - want
        return np.abs(error) / drawn.std(axis=1) * np.sqrt(n)

    assert z_scores(None).max() < 5
    assert z_scores(2 * sched.beta[1])[0] > 5


@pytest.mark.oracle
def test_the_estimate_of_a_mixture_is_the_divergence_of_its_steps():
    """Ex 2.1: each t's term is E mean_kl(mu_q, mu_hat), by a grid over the noise."""
    law, sched, x0 = example_2_1(), schedule.constant(20, 0.8), np.array([-0.7])
    want, got = [], []
    for n in (401, 801):
        u = np.linspace(-10, 10, n)[:, None]
        p, points = (
            stats.norm.pdf(u[:, 0]) * (u[1] - u[0]),
            np.broadcast_to(x0, u.shape),
        )
        eps = np.broadcast_to(u, (20, n, 1))
        got.append(ddpm_elbo(points, law.model, eps, sched).consistency @ p)
        want.append(np.zeros(21))
        for t in range(2, 21):
            xt = q_sample(points, t, u, sched)
            x0_hat = law.denoise(xt, sched.signal[t], sched.noise[t])
            mu = q_posterior(points, xt, t, sched)[0], mu_from_x0(xt, t, x0_hat, sched)
            want[-1][t] = p @ mean_kl(*mu, t, sched)
    np.testing.assert_allclose(want[0], want[1], rtol=1e-10)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-10)


@pytest.mark.law
@pytest.mark.parametrize("make", [schedule.cosine, schedule.linear])
def test_the_likelihood_of_a_ddpm_is_the_law_of_its_sampler(make):
    """The chain's exact law, which ends at x0_hat(x_1), with var_1 beside it."""
    sched, x0 = make(100), np.random.default_rng(0).standard_normal((4, 2))
    means, covs = ddpm_chain(sched).law(MEAN, COV)
    for var_1, added in ((None, sched.beta[1]), (0.05, 0.05)):
        reverse = gaussian_reverse(MEAN, COV, sched, var_1)
        law = stats.multivariate_normal(means[-1], covs[-1] + added * np.eye(2))
        got = log_likelihood(x0, reverse)
        np.testing.assert_allclose(got, law.logpdf(x0), rtol=1e-10)


def geometric(T):
    """T levels evenly spaced in log SNR, from 1000 to 1e-7."""
    snr = np.geomspace(1e3, 1e-7, T)
    return schedule.from_alpha_bar(snr / (1 + snr))


def even(T):
    """The same alpha at every step, and alpha_bar[T] = exp(-14) for every T."""
    return schedule.constant(T, np.exp(-14 / T))


def mse_1(sched, var):
    """Mean squared error of E[x0 | x_1] for data of variance var, by conditioning."""
    s, n2 = sched.signal[1], sched.noise2[1]
    joint = np.array([[var, s * var], [s * var, s**2 * var + n2]])
    return gaussian.condition(np.zeros(2), joint, [1], np.zeros(1))[1][0, 0]


def lost(make, T):
    """log p(x0) of N(0.4, 0.3) data less the bound, with the best var_1; and the gap."""
    mean, cov, x0, sched = np.array([0.4]), np.array([[0.3]]), np.array([1.1]), make(T)
    reverse = gaussian_reverse(mean, cov, sched, mse_1(sched, 0.3))
    bound = elbo_terms(x0, reverse, sched).bound
    return gaussian.logpdf(x0, mean, cov) - bound, log_likelihood(x0, reverse) - bound


@pytest.mark.order
def test_the_bound_of_gaussian_data_comes_near_the_log_likelihood():
    """As 1/T on levels that refine everywhere: both the data's own and the model's."""
    errors = np.array([lost(geometric, T) for T in (400, 800, 1600, 3200)])
    slopes = -np.diff(np.log2(errors), axis=0)
    assert (np.abs(slopes - 1) < 0.03).all()
    assert (np.diff(np.abs(slopes - 1), axis=0) < 0).all()
    assert (errors[-1] < 0.01).all()


@pytest.mark.control
def test_steps_of_one_size_leave_half_of_eulers_constant():
    """With equal alphas log SNR falls by log(t/(t-1)) near the data, whatever T is:

    sum_t 1/2 [1/(t-1) - log(t/(t-1))] = gamma/2 nats a dimension stay lost for ever.
    """
    T = np.array([200, 800, 3200])
    errors = [lost(even, t)[0] for t in T]
    terms = np.stack([np.ones(3), np.log(T) / T, 1 / T], axis=1)
    limit, *_ = np.linalg.solve(terms, errors)
    assert limit == pytest.approx(np.euler_gamma / 2, abs=1e-3)
    assert errors[-1] > 0.27


@pytest.mark.limit
def test_the_bound_falls_without_end_as_the_last_variance_vanishes():
    """sigma_q(1) = 0 in p(x0 | x_1): the bound is -E||x0 - x0_hat||^2 / (2 var_1)."""
    sched = schedule.cosine(12)
    nodes, w = gauss(2)
    x1 = q_sample(np.broadcast_to(X0, nodes.shape), 1, nodes, sched)
    x0_hat = DATA.denoise(x1, sched.signal[1], sched.noise[1])
    mse = w @ ((x0_hat - X0) ** 2).sum(axis=1)

    def bound(var_1):
        reverse = gaussian_reverse(MEAN, COV, sched, var_1)
        return elbo_terms(X0, reverse, sched).bound

    var_1 = 10.0 ** -np.arange(4, 13, 2)
    rates = np.array([2 * v * bound(v) for v in var_1])
    assert (np.diff(np.abs(rates / mse + 1)) < 0).all()
    assert rates[-1] == pytest.approx(-mse, rel=1e-8)
    best = optimize.minimize_scalar(
        lambda log_v: -bound(np.exp(log_v)), bounds=(-10, 2), options={"xatol": 1e-9}
    )
    assert np.exp(best.x) == pytest.approx(mse / 2, rel=1e-6)


@pytest.mark.limit
def test_the_best_last_variance_is_the_mean_squared_error_over_the_data():
    """E over x0 too, by quadrature: it is tr Cov[x0 | x_1] / d, and less than beta[1]."""
    sched = schedule.cosine(12)
    x0, w = nodes_of(MEAN, COV)

    def bound(log_v):
        reverse = gaussian_reverse(MEAN, COV, sched, np.exp(log_v))
        return w @ elbo_terms(x0, reverse, sched).bound

    best = optimize.minimize_scalar(
        lambda log_v: -bound(log_v), bounds=(-10, 2), options={"xatol": 1e-9}
    )
    left = DATA.denoise_cov(X0, sched.signal[1], sched.noise[1])
    assert np.exp(best.x) == pytest.approx(np.trace(left) / 2, rel=1e-6)
    assert np.exp(best.x) < sched.beta[1]


def test_noise_of_the_wrong_shape_and_what_is_not_finite_are_refused():
    sched, z = schedule.cosine(12), np.zeros((12, 3, 2))
    x0, reverse = np.zeros((3, 2)), gaussian_reverse(MEAN, COV, sched)
    with pytest.raises(ValueError, match=r"eps \(12, n, d\); got"):
        ddpm_elbo(x0, DATA.model, z[:-1], sched)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="eps must be finite"):
            ddpm_elbo(x0, DATA.model, z + bad, sched)
        for call in (
            lambda x0: elbo_terms(x0, reverse, sched),
            lambda x0: elbo_terms_forward(x0, reverse, sched),
            lambda x0: ddpm_elbo(x0, DATA.model, z, sched),
        ):
            with pytest.raises(ValueError, match="x0 must be finite"):
                call(x0 + bad)
        with pytest.raises(ValueError, match="x must be finite"):
            log_likelihood(x0 + bad, reverse)
        with pytest.raises(ValueError, match="mu_hat must be finite"):
            mean_kl(X0, X0 + bad, 2, sched)


def test_what_does_not_fit_together_is_refused():
    """A point for a batch, another schedule's reverse process, a variance of none."""
    sched = schedule.cosine(12)
    reverse = gaussian_reverse(MEAN, COV, sched)
    with pytest.raises(ValueError, match=r"x0 must be \(n, d\)"):
        ddpm_elbo(MEAN, None, np.zeros((12, 2)), sched)
    for terms in (elbo_terms, elbo_terms_forward):
        for T in (6, 24):
            with pytest.raises(ValueError, match=rf"a Reverse with b \({T + 1}, 2\)"):
                terms(MEAN, reverse, schedule.cosine(T))
    for var_1 in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="var_1 must be finite and above 0"):
            gaussian_reverse(MEAN, COV, sched, var_1)
        with pytest.raises(ValueError, match="var_1 must be finite and above 0"):
            ddpm_elbo(MEAN[None], None, np.zeros((12, 1, 2)), sched, var_1)


def test_a_reverse_process_with_a_negative_variance_has_no_likelihood():
    reverse = gaussian_reverse(MEAN, COV, schedule.cosine(4))
    reverse.cov[2] *= -1
    with pytest.raises(ValueError, match="cov must be positive definite"):
        log_likelihood(MEAN, reverse)
