"""Mixtures: density, score and posterior by other routes, and at 50 digits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from scipy import special, stats
from scipy.integrate import quad
from support import (
    ALPHA,
    assert_accurate,
    check_grad,
    exact,
    levels,
    mixture_cdf,
    mixtures,
)

from refdiff import mixture as mixture_module
from refdiff import schedule
from refdiff.mixture import Mixture, from_points
from refdiff.toys import blobs, example_2_1

POINTS = np.array([[0.3, -1.2, 0.7], [2.5, 0.1, -3.0], [0.0, 0.0, 0.0]])


def scipy_logpdf(m, x):
    parts = [
        np.log(w) + stats.multivariate_normal(mean, cov).logpdf(x)
        for w, mean, cov in zip(m.weights, m.means, m.covs, strict=True)
    ]
    return np.logaddexp.reduce(np.atleast_2d(np.array(parts).reshape(len(parts), -1)))


@pytest.mark.oracle
@given(m=mixtures())
def test_logpdf_is_the_log_of_the_weighted_sum(m):
    x = POINTS[:, : m.d]
    np.testing.assert_allclose(m.logpdf(x), scipy_logpdf(m, x), rtol=1e-10, atol=1e-12)


@pytest.mark.gradient
@given(m=mixtures())
def test_score_is_the_gradient_of_logpdf(m):
    for x in POINTS[:, : m.d]:
        numeric = [
            (m.logpdf(x + 1e-5 * e) - m.logpdf(x - 1e-5 * e)) / 2e-5
            for e in np.eye(m.d)
        ]
        np.testing.assert_allclose(m.score(x), numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.identity
@given(m=mixtures(d=1))
def test_score_has_mean_zero(m):
    """E_p[score] = 0 and E_p[score x] = -1, by quadrature."""
    far = 12 * np.sqrt(m.covs.max()) + np.abs(m.means).max()

    def p(x):
        return float(np.exp(m.logpdf(np.array([x]))) * m.score(np.array([x]))[0])

    options = {"limit": 400, "points": np.sort(m.means[:, 0]), "epsabs": 1e-11}
    assert abs(quad(p, -far, far, **options)[0]) < 1e-9
    assert quad(lambda x: x * p(x), -far, far, **options)[0] == pytest.approx(
        -1, abs=1e-9
    )


@pytest.mark.identity
@given(m=mixtures())
def test_responsibilities_are_bayes_rule(m):
    x = POINTS[:, : m.d]
    p = m.responsibilities(x)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    for k in range(len(m.weights)):
        joint = m.weights[k] * np.exp(
            stats.multivariate_normal(m.means[k], m.covs[k]).logpdf(x)
        )
        np.testing.assert_allclose(p[:, k] * np.exp(m.logpdf(x)), joint, rtol=1e-9)


@pytest.mark.identity
@given(m=mixtures())
def test_log_joint_is_likelihood_times_weight(m):
    """SciPy's likelihood; summed over k it is p(x), and over p(x) it is p(k | x)."""
    x = POINTS[:, : m.d]
    log_joint = m.log_joint(x)
    for k, (w, mean, cov) in enumerate(zip(m.weights, m.means, m.covs, strict=True)):
        likelihood = stats.multivariate_normal(mean, cov).logpdf(x)
        np.testing.assert_allclose(
            log_joint[:, k], np.log(w) + likelihood, rtol=1e-12, atol=1e-12
        )
    p, log_p = m.responsibilities(x), m.logpdf(x)
    total = special.logsumexp(log_joint, axis=1)
    np.testing.assert_allclose(total, log_p, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(np.exp(log_joint - log_p[:, None]), p, rtol=1e-10)


@pytest.mark.identity
@given(m=mixtures(d=1))
def test_mean_and_cov_are_the_moments_of_the_density(m):
    far = 14 * np.sqrt(m.covs.max()) + np.abs(m.means).max()
    x = np.linspace(-far, far, 20001)
    p = np.exp(m.logpdf(x[:, None])) * (x[1] - x[0])
    assert p.sum() == pytest.approx(1, abs=1e-11)
    assert m.mean[0] == pytest.approx(p @ x, abs=1e-9)
    assert m.cov[0, 0] == pytest.approx(p @ (x - p @ x) ** 2, rel=1e-9)


@pytest.mark.law
def test_samples_have_the_law():
    """1-D by KS; in 2-D the moments, and the share of each component."""
    rng = np.random.default_rng(0)
    one = example_2_1()
    assert stats.kstest(one.sample(50_000, rng)[:, 0], mixture_cdf(one)).pvalue > ALPHA
    covs = np.array([[[1.0, 0.8], [0.8, 1.0]], [[0.3, -0.2], [-0.2, 0.5]]])
    two = Mixture(np.array([0.25, 0.75]), np.array([[2.0, 0.0], [-1.0, 1.0]]), covs)
    x = two.sample(200_000, rng)
    error = x.mean(axis=0) - two.mean
    assert len(x) * error @ np.linalg.solve(two.cov, error) < -2 * np.log(ALPHA)
    white = np.linalg.solve(np.linalg.cholesky(two.cov), (x - two.mean).T)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        products = white[i] * white[j]
        off = products.mean() - (i == j)
        assert abs(off) < 5.1 * products.std() / np.sqrt(len(x))
    shares = two.responsibilities(x).mean(axis=0) - two.weights
    assert abs(shares[0]) < 5.1 * 0.5 / np.sqrt(len(x))


@pytest.mark.law
def test_noised_is_the_law_of_the_noised_samples():
    """(2.13), by KS of signal x0 + noise eps."""
    rng = np.random.default_rng(1)
    m, signal, noise = example_2_1(), 0.8, 0.6
    xt = signal * m.sample(50_000, rng) + noise * rng.standard_normal((50_000, 1))
    assert stats.kstest(xt[:, 0], mixture_cdf(m.noised(signal, noise))).pvalue > ALPHA
    wrong = m.noised(signal, noise**2)  # control: the variance where the root belongs
    assert stats.kstest(xt[:, 0], mixture_cdf(wrong)).pvalue < ALPHA


@pytest.mark.identity
@given(m=mixtures())
def test_noising_twice_is_noising_once(m):
    """(2.2) composed is (2.13)."""
    once = m.noised(0.8 * 0.5, np.sqrt(0.25 * 0.36 + 0.75))
    twice = m.noised(0.8, 0.6).noised(0.5, np.sqrt(0.75))
    np.testing.assert_allclose(twice.means, once.means, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(twice.covs, once.covs, rtol=1e-13, atol=1e-15)


@pytest.mark.identity
@given(m=mixtures(), level=levels())
def test_denoise_is_tweedies_formula(m, level):
    """E[x0 | xt] = (xt + noise^2 score) / signal, another route than the components'."""
    signal, noise = level
    xt = POINTS[:, : m.d]
    tweedie = (xt + noise**2 * m.noised(signal, noise).score(xt)) / signal
    np.testing.assert_allclose(
        m.denoise(xt, signal, noise), tweedie, rtol=1e-10, atol=1e-11 / signal
    )


@pytest.mark.oracle
def test_denoise_is_the_posterior_mean_by_quadrature():
    m, signal, noise, xt = example_2_1(), 0.6, 0.8, 0.1
    x0 = np.linspace(-12, 14, 40001)
    p = np.exp(m.logpdf(x0[:, None])) * stats.norm.pdf(xt, signal * x0, noise)
    p /= p.sum()
    point = np.array([[xt]])
    assert m.denoise(point, signal, noise)[0, 0] == pytest.approx(p @ x0, rel=1e-10)
    var = p @ (x0 - p @ x0) ** 2
    assert m.denoise_cov(point, signal, noise)[0, 0, 0] == pytest.approx(var, rel=1e-9)


@pytest.mark.gradient
@given(m=mixtures(), level=levels())
def test_denoise_cov_is_the_jacobian_of_denoise(m, level):
    """Cov[x0 | xt] = (noise^2 / signal) d E[x0 | xt] / d xt: Tweedie's second order."""
    signal, noise = level
    for xt in POINTS[:2, : m.d]:
        cov = m.denoise_cov(xt, signal, noise)
        np.testing.assert_allclose(cov, cov.T, rtol=1e-12, atol=1e-14)
        for i in range(m.d):
            row = signal / noise**2 * cov[i]
            check_grad(lambda x, i=i: m.denoise(x, signal, noise)[i], xt, row, 1e-4)


@pytest.mark.limit
def test_denoise_at_little_noise_is_the_point_itself():
    m = example_2_1()
    xt = np.array([[-2.1], [1.7]])
    np.testing.assert_allclose(m.denoise(xt, 1.0, 1e-8), xt, rtol=1e-13)
    np.testing.assert_allclose(m.denoise_cov(xt, 1.0, 1e-8)[:, 0, 0], 1e-16, rtol=1e-13)


@pytest.mark.limit
def test_denoise_at_no_signal_is_the_mean():
    m = example_2_1()
    np.testing.assert_allclose(
        m.denoise(np.array([[5.0]]), 0.0, 1.0), [m.mean], rtol=1e-14
    )
    np.testing.assert_allclose(
        m.denoise_cov(np.array([[5.0]]), 0.0, 1.0), [m.cov], rtol=1e-14
    )


def test_a_data_set_is_the_mixture_of_its_points():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    m = from_points(points)
    assert not m.has_density
    for density in (m.logpdf, m.log_joint):
        with pytest.raises(ValueError, match="noised"):
            density(points)
    x = np.array([[0.4, 0.3]])
    w = np.exp(-((x - points) ** 2).sum(axis=1) / (2 * 0.5**2))
    np.testing.assert_allclose(
        m.denoise(x, 1.0, 0.5), [w @ points / w.sum()], rtol=1e-13
    )
    np.testing.assert_allclose(m.denoise(x, 1.0, 1e-8), [points[0]], atol=1e-15)
    rows = {tuple(p) for p in m.sample(200, np.random.default_rng(0))}
    assert rows == {tuple(p) for p in points}
    assert m.noised(1.0, 0.5).has_density
    for bad in (np.zeros((0, 2)), np.zeros(3), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="points must be"):
            from_points(bad)


K3 = (
    np.array([0.2, 0.3, 0.5]),
    np.array([[0.0, 0.0], [1.0, -2.0], [-1.5, 0.5]]),
    np.array([[[1, 0.5], [0.5, 2]], [[0.3, 0], [0, 0.4]], [[1.5, -0.9], [-0.9, 1]]]),
)


def mp_mixture(v):
    """log p, score terms and their absolute sums for 2-D mixtures, at 50 digits.

    v: x (2), then for each component weight, mean (2), cov (a, b, c).
    """
    x, logs, terms = v[:2], [], []
    for k in range(2, len(v), 6):
        w, m0, m1, a, b, c = v[k : k + 6]
        det = a * c - b * b
        r0, r1 = x[0] - m0, x[1] - m1
        s0, s1 = (c * r0 - b * r1) / det, (a * r1 - b * r0) / det
        logs.append(
            mp.log(w) - (r0 * s0 + r1 * s1) / 2 - mp.log(det) / 2 - mp.log(2 * mp.pi)
        )
        terms.append((s0, s1))
    top = max(logs)
    total = sum(mp.exp(t - top) for t in logs)
    p = [mp.exp(t - top) / total for t in logs]
    score = [-sum(pk * s[i] for pk, s in zip(p, terms, strict=True)) for i in (0, 1)]
    sizes = [
        sum(pk * abs(s[i]) for pk, s in zip(p, terms, strict=True)) for i in (0, 1)
    ]
    return [top + mp.log(total), *score], sizes, max(abs(t) for t in logs)


@pytest.mark.oracle
@pytest.mark.parametrize("sigma", [1e-8, 1e-3, 1.0, 1e8])
@pytest.mark.parametrize("distance", [0.0, 1.0, 40.0])
@pytest.mark.parametrize("light", [0.2, 1e-300])
def test_mixture_agrees_with_50_digits(sigma, distance, light):
    """logpdf and score to 1e-13 x condition, 40 deviations out, weights to 1e-300."""
    weights = np.array([light, 0.3, 0.7 - light])
    means = K3[1] * (sigma if sigma > 1 else 1.0)
    m = Mixture(weights / weights.sum(), means, sigma**2 * K3[2])
    x = m.means[0] + distance * sigma * np.array([0.6, -0.8])
    inputs = list(x)
    for w, mean, cov in zip(m.weights, m.means, m.covs, strict=True):
        inputs += [w, *mean, cov[0, 0], cov[0, 1], cov[1, 1]]
    _, sizes, largest = mp_mixture(exact(inputs))
    got = [float(m.logpdf(x)), *m.score(x)]
    assert_accurate(got, lambda v: mp_mixture(v)[0], exact(inputs), [largest, *sizes])


@pytest.mark.oracle
@pytest.mark.parametrize("T", [1000, 10_000])
@pytest.mark.parametrize("distance", [0.0, 40.0])
def test_noised_score_agrees_with_50_digits_at_both_ends_of_a_schedule(T, distance):
    """signal and noise of the table, at t = 1 and T: the route of every exact model."""
    sched = schedule.linear(T)
    for t in (1, T):
        signal, noise = sched.signal[t], sched.noise[t]
        m = Mixture(*K3)
        x = signal * m.means[0] + distance * np.array([0.6, -0.8])

        def noised(v):
            signal, noise, out = v[0], v[1], v[2:4]
            for k in range(4, len(v), 6):
                w, m0, m1, a, b, c = v[k : k + 6]
                a, b, c = (
                    signal**2 * a + noise**2,
                    signal**2 * b,
                    signal**2 * c + noise**2,
                )
                out = [*out, w, signal * m0, signal * m1, a, b, c]
            return out

        inputs = [signal, noise, *x]
        for w, mean, cov in zip(*K3, strict=True):
            inputs += [w, *mean, cov[0][0], cov[0][1], cov[1][1]]
        _, sizes, largest = mp_mixture(noised(exact(inputs)))
        at_t = m.noised(signal, noise)
        got = [float(at_t.logpdf(x)), *at_t.score(x)]
        assert_accurate(
            got, lambda v: mp_mixture(noised(v))[0], exact(inputs), [largest, *sizes]
        )


@pytest.mark.oracle
@pytest.mark.parametrize("noise", [1e-8, 1e-4, 1.0, 1e8])
def test_denoise_agrees_with_50_digits(noise):
    """E[x0 | xt] and its variance in 1-D, from a mixture with a zero covariance in it."""
    weights, means, var = [0.3, 0.7], [-2.0, 2.0], [0.0, 1.0]
    m = Mixture(np.array(weights), np.array([means]).T, np.array(var)[:, None, None])
    signal = 0.75
    xt = signal * -2.0 + 1.5 * noise

    def f(v):
        xt, signal, noise, w0, m0, v0, w1, m1, v1 = v
        logs, post, spread = [], [], []
        for w, mean, var in ((w0, m0, v0), (w1, m1, v1)):
            S = signal**2 * var + noise**2
            logs.append(mp.log(w) - (xt - signal * mean) ** 2 / (2 * S) - mp.log(S) / 2)
            post.append(mean + signal * var / S * (xt - signal * mean))
            spread.append(noise**2 * var / S)
        p = [mp.exp(t - max(logs)) for t in logs]
        p = [t / sum(p) for t in p]
        mean = p[0] * post[0] + p[1] * post[1]
        cov = sum(
            pk * (s + (q - mean) ** 2) for pk, s, q in zip(p, spread, post, strict=True)
        )
        return [mean, cov]

    inputs = exact([xt, signal, noise, 0.3, -2.0, 0.0, 0.7, 2.0, 1.0])
    point = np.array([[xt]])
    got = [
        m.denoise(point, signal, noise)[0, 0],
        m.denoise_cov(point, signal, noise)[0, 0, 0],
    ]
    assert_accurate(got, f, inputs, [mp.mpf(2), abs(f(inputs)[1])])


def test_blocks_do_not_change_the_result(monkeypatch):
    m, x = example_2_1(), np.linspace(-5, 5, 101)[:, None]
    whole = m.logpdf(x), m.score(x), m.log_joint(x), m.denoise_cov(x, 0.6, 0.8)
    monkeypatch.setattr(mixture_module, "BLOCK", 14)
    parts = m.logpdf(x), m.score(x), m.log_joint(x), m.denoise_cov(x, 0.6, 0.8)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_follow_the_leading_axes():
    m = Mixture(*K3)
    x = np.zeros((4, 5, 2))
    assert m.logpdf(x).shape == (4, 5)
    assert m.score(x).shape == (4, 5, 2)
    assert m.log_joint(x).shape == (4, 5, 3)
    assert m.denoise_cov(x, 0.6, 0.8).shape == (4, 5, 2, 2)
    assert m.logpdf(np.zeros(2)).shape == ()
    assert m.score(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.array([0.5, 0.5, 0.5])}, "sum 1"),
        ({"weights": np.array([-0.5, 1.0, 0.5])}, "above 0"),
        ({"weights": np.array([0.0, 0.5, 0.5])}, "above 0"),
        ({"weights": np.array([0.5, 0.25, 0.255])}, "sum 1"),
        ({"covs": np.stack([np.diag([1, -0.05])] * 3)}, "semidefinite"),
        ({"weights": np.array([0.5, 0.5])}, "weights"),
        ({"means": np.zeros(3)}, "means must be"),
        ({"means": np.full((3, 2), np.nan)}, "means must be finite"),
        ({"covs": -K3[2]}, "positive semidefinite"),
        ({"covs": K3[2] + [[0, 1], [0, 0]]}, "symmetric"),
    ],
)
def test_bad_mixtures_are_refused_by_name(change, message):
    arguments = dict(zip(("weights", "means", "covs"), K3, strict=True)) | change
    with pytest.raises(ValueError, match=message):
        Mixture(**arguments)


def test_inputs_are_copied_and_results_are_read_only():
    weights, means, covs = (a.copy() for a in K3)
    m = Mixture(weights, means, covs)
    for mine, name in ((weights, "weights"), (means, "means"), (covs, "covs")):
        kept = getattr(m, name).copy()
        mine[0] = 99
        np.testing.assert_array_equal(getattr(m, name), kept)
        with pytest.raises(ValueError, match="read-only"):
            getattr(m, name)[0] = 1
    with pytest.raises(ValueError, match="signal must be finite"):
        m.noised(np.nan, 1.0)
    with pytest.raises(ValueError, match="x must be"):
        m.logpdf(np.zeros(3))
    with pytest.raises(TypeError, match="rng"):
        m.sample(3, 0)
    with pytest.raises(ValueError, match="std"):
        blobs([1.0], [[0.0]], 0.0)


@pytest.mark.identity
@pytest.mark.parametrize("sizes", [(1e-9, 1, 1e-9), (1, 1e-9, 1e-9), (1e9, 1, 1e-9)])
def test_a_coordinate_of_small_variance_keeps_its_correlations_in_samples(sizes):
    """By their deviations; the root of the covariance itself missed them by all."""
    corr = np.array([[1, 0.5, 0.3], [0.5, 1, -0.2], [0.3, -0.2, 1]])
    unit = np.outer(sizes, sizes)
    root = Mixture([1.0], np.zeros((1, 3)), (corr * unit)[None])._root[0]
    np.testing.assert_allclose(root @ root.T / unit, corr, atol=1e-14)


@pytest.mark.limit
def test_a_coordinate_without_variance_has_none_in_samples():
    cov = np.array([[4.0, 0, 2], [0, 0, 0], [2, 0, 1]])  # of rank one
    root = Mixture([1.0], np.zeros((1, 3)), cov[None])._root[0]
    np.testing.assert_allclose(root @ root.T, cov, atol=1e-14)
    assert (root[1] == 0).all()
