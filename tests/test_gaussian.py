"""The Gaussian's formulas against SciPy, quadrature and Bayes' rule on a grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, stats
from support import assert_accurate, covariances, exact

from refdiff import gaussian

POINT = np.array([0.3, -1.2, 0.7])


@pytest.mark.oracle
@given(cov=covariances(3))
def test_logpdf_is_scipys(cov):
    mean = np.array([0.5, -0.2, 1.0])
    expected = stats.multivariate_normal(mean, cov).logpdf(POINT)
    assert gaussian.logpdf(POINT, mean, cov) == pytest.approx(expected, rel=1e-11)


def test_logpdf_broadcasts_over_leading_axes():
    rng = np.random.default_rng(0)
    x, mean = rng.standard_normal((5, 1, 2)), rng.standard_normal((4, 2))
    cov = np.array([np.eye(2) * (k + 1) for k in range(4)])
    one_by_one = [
        [gaussian.logpdf(x[i, 0], mean[k], cov[k]) for k in range(4)] for i in range(5)
    ]
    np.testing.assert_allclose(gaussian.logpdf(x, mean, cov), one_by_one, rtol=1e-14)


@pytest.mark.identity
@given(cov=covariances(3))
def test_whiten_and_unwhiten_solve_the_covariance(cov):
    L = gaussian.cholesky(cov)
    solved = gaussian.unwhiten(L, gaussian.whiten(L, POINT))
    np.testing.assert_allclose(cov @ solved, POINT, rtol=1e-10, atol=1e-11)


@pytest.mark.oracle
def test_kl_is_the_expected_log_ratio():
    """Thm 1.3 by Gauss-Hermite quadrature of log p0/p1, exact for quadratics."""
    rng = np.random.default_rng(1)
    for d in (1, 2, 3):
        m0, m1 = rng.standard_normal((2, d))
        A, B = rng.standard_normal((2, d, d))
        S0, S1 = A @ A.T + np.eye(d), B @ B.T + np.eye(d)
        z, w = np.polynomial.hermite_e.hermegauss(4)
        z = np.stack(np.meshgrid(*[z] * d), -1).reshape(-1, d)
        w = np.prod(np.meshgrid(*[w / w.sum()] * d), axis=0).ravel()
        x = m0 + z @ np.linalg.cholesky(S0).T
        p0, p1 = stats.multivariate_normal(m0, S0), stats.multivariate_normal(m1, S1)
        expected = w @ np.atleast_1d(p0.logpdf(x) - p1.logpdf(x))
        assert gaussian.kl(m0, S0, m1, S1) == pytest.approx(expected, rel=1e-11)


@pytest.mark.limit
def test_kl_vanishes_only_at_equality():
    m, S = np.array([1.0, 2.0]), np.array([[2.0, 0.3], [0.3, 1.0]])
    assert abs(gaussian.kl(m, S, m, S)) < 1e-15
    assert gaussian.kl(m, S, m, 1.01 * S) > 1e-5
    assert gaussian.kl(m, S, m + 0.01, S) > 1e-5


@pytest.mark.identity
@given(cov0=covariances(3), cov1=covariances(3))
def test_entropy_and_expected_logpdf_make_the_divergence(cov0, cov1):
    """KL = -E_q log p - H(q), where H(q) is SciPy's and -E_q log q as well."""
    m0, m1, H = POINT, np.array([0.5, -0.2, 1.0]), gaussian.entropy(cov0)
    cross = -gaussian.expected_logpdf(m0, cov0, m1, cov1)
    size = 1 + abs(cross) + abs(H)
    assert gaussian.kl(m0, cov0, m1, cov1) == pytest.approx(cross - H, abs=1e-12 * size)
    assert H == pytest.approx(-gaussian.expected_logpdf(m0, cov0, m0, cov0), abs=1e-12)
    scipys = stats.multivariate_normal(m0, cov0).entropy()
    assert H == pytest.approx(scipys, rel=1e-12, abs=1e-12)


@pytest.mark.oracle
@given(cov0=covariances(2), cov1=covariances(2))
def test_expected_logpdf_is_the_mean_over_four_points(cov0, cov1):
    """Points at +-1 in each direction of cov0's root: exact for quadratics."""
    m0, m1 = POINT[:2], POINT[1:]
    signs = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    x = m0 + signs @ np.linalg.cholesky(cov0).T
    values = stats.multivariate_normal(m1, cov1).logpdf(x)
    got = gaussian.expected_logpdf(m0, cov0, m1, cov1)
    assert got == pytest.approx(values.mean(), rel=1e-12, abs=1e-12)


@pytest.mark.limit
def test_the_expected_logpdf_of_a_point_is_the_density_there():
    m, cov, none = POINT[1:], np.array([[2.0, 0.3], [0.3, 1.0]]), np.zeros((2, 2))
    at = gaussian.logpdf(POINT[:2], m, cov)
    assert gaussian.expected_logpdf(POINT[:2], none, m, cov) == at
    line = np.array([[1.0, 1.0], [1.0, 1.0]])  # singular, as cov0 may be
    near = gaussian.expected_logpdf(POINT[:2], line + 1e-12 * np.eye(2), m, cov)
    got = gaussian.expected_logpdf(POINT[:2], line, m, cov)
    assert got == pytest.approx(near, abs=1e-11)


def test_kl_and_expected_logpdf_broadcast_over_means():
    m0, m1 = POINT[:2] + np.arange(5)[:, None, None], POINT[1:] * np.ones((4, 1))
    cov0, cov1 = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([[1.0, 0.5], [0.5, 3]])
    m1 = m1 + np.arange(4)[:, None]
    for f in (gaussian.kl, gaussian.expected_logpdf):
        rows = [[f(a[0], cov0, b, cov1) for b in m1] for a in m0]
        np.testing.assert_allclose(f(m0, cov0, m1, cov1), rows, rtol=1e-14)


@pytest.mark.identity
@given(cov=covariances(3), scale=st.sampled_from([1e-16, 1.0, 1e16]))
def test_the_symmetric_root_is_symmetric_and_a_root(cov, scale):
    """And SciPy's, and positive semidefinite; of singular matrices and of 0 too."""
    for S in (scale * cov, scale * np.outer(POINT, POINT), np.zeros((3, 3))):
        R, size = gaussian.symmetric_root(S), np.abs(S).max()
        np.testing.assert_allclose(R, R.T, rtol=0, atol=1e-14 * np.sqrt(size))
        np.testing.assert_allclose(R @ R, S, rtol=0, atol=1e-13 * size)
        assert np.linalg.eigvalsh(R)[0] >= -1e-14 * np.sqrt(size)
    want = linalg.sqrtm(cov)
    np.testing.assert_allclose(gaussian.symmetric_root(cov), want, atol=1e-12)


@pytest.mark.parametrize(
    "bad", [np.diag([1.0, -1e-9]), -np.eye(2), np.array([[1.0, 0.5], [0.4, 1.0]])]
)
def test_the_symmetric_root_refuses_what_is_no_covariance(bad):
    with pytest.raises(ValueError, match="symmetric and positive semidefinite"):
        gaussian.symmetric_root(bad)


@pytest.mark.identity
@given(cov=covariances(2), noise=covariances(2))
def test_marginal_and_condition_are_one_joint_law(cov, noise):
    """Thm 2.8: p(y) p(x|y) = p(x) p(y|x) at a point, with A^T and not A^-1."""
    A, b, mean = np.array([[1.0, 0.4], [-0.3, 0.8]]), np.array([0.1, 0.2]), POINT[:2]
    x, y = np.array([0.2, -0.5]), np.array([0.9, 0.4])
    joint_mean = np.concatenate([mean, A @ mean + b])
    joint = np.block([[cov, cov @ A.T], [A @ cov, A @ cov @ A.T + noise]])
    x_given_y = gaussian.condition(joint_mean, joint, [2, 3], y)
    left = gaussian.logpdf(x, mean, cov) + gaussian.logpdf(y, A @ x + b, noise)
    p_y = gaussian.logpdf(y, *gaussian.marginal(A, b, mean, cov, noise))
    assert p_y + gaussian.logpdf(x, *x_given_y) == pytest.approx(left, rel=1e-9)


@pytest.mark.control
def test_marginal_with_the_printed_inverse_is_not_the_law():
    """Thm 2.8 prints A^-1 for A^T: on a 1-D example with a = 2 they differ by 4^2."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(100_000)
    y = 2 * x + rng.standard_normal(100_000)
    A, one = np.array([[2.0]]), np.eye(1)
    _, var = gaussian.marginal(A, np.zeros(1), np.zeros(1), one, one)
    printed = one + A @ one @ np.linalg.inv(A)
    error = var[0, 0] * np.sqrt(2 / len(y))  # one standard error of a sample variance
    assert abs(y.var() - var[0, 0]) < 5 * error
    assert abs(y.var() - printed[0, 0]) > 5 * error


@pytest.mark.oracle
@given(cov=covariances(2), y=st.floats(-1, 1))
def test_condition_is_bayes_rule_on_a_grid(cov, y):
    mean = np.array([0.3, -0.1])
    got_mean, got_cov = gaussian.condition(mean, cov, [1], np.array([y]))
    std = np.sqrt(cov[0, 0])
    x = np.linspace(-14, 14, 4001) * std + mean[0]
    p = stats.multivariate_normal(mean, cov).pdf(np.stack([x, 0 * x + y], 1))
    p /= p.sum()
    assert got_mean[0] == pytest.approx(p @ x, abs=1e-9)
    assert got_cov[0, 0] == pytest.approx(p @ (x - p @ x) ** 2, rel=1e-7)


@pytest.mark.oracle
@pytest.mark.parametrize("sigma", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("distance", [0.0, 1.0, 40.0])
def test_logpdf_agrees_with_50_digits(sigma, distance):
    import mpmath as mp

    mean, std = 3.0, sigma
    x = mean + distance * std
    log_2pi = mp.log(2 * mp.pi)

    def f(v):
        x, mean, var = v
        return [-((x - mean) ** 2) / (2 * var) - mp.log(var) / 2 - log_2pi / 2]

    got = gaussian.logpdf(np.array([x]), np.array([mean]), np.array([[std**2]]))
    scale = [(distance**2 + abs(np.log(std**2)) + float(log_2pi)) / 2]
    assert_accurate(got, f, exact([x, mean, std**2]), scale)


@pytest.mark.oracle
def test_kl_agrees_with_50_digits():
    import mpmath as mp

    m0, v0, m1, v1 = 1.0, 1e-8, 1.0 + 3e-4, 2e-8

    def f(v):
        m0, v0, m1, v1 = v
        return [(v0 / v1 - 1 + (m1 - m0) ** 2 / v1 + mp.log(v1 / v0)) / 2]

    one = [np.atleast_1d(m0), np.atleast_2d(v0), np.atleast_1d(m1), np.atleast_2d(v1)]
    assert_accurate(gaussian.kl(*one), f, exact([m0, v0, m1, v1]))


@pytest.mark.oracle
@pytest.mark.parametrize("std0", [1e-8, 1e-3, 1.0, 1e8])
@pytest.mark.parametrize("std1", [1e-8, 1.0, 1e8])
def test_expected_logpdf_and_entropy_agree_with_50_digits(std0, std1):
    import mpmath as mp

    m0, m1 = 1.0, 1.0 + 3 * std1

    def terms(v):
        m0, v0, m1, v1 = v
        return -((m0 - m1) ** 2) / v1 / 2, -v0 / v1 / 2, -mp.log(2 * mp.pi * v1) / 2

    one = [np.atleast_1d(m0), np.atleast_2d(std0**2)]
    one += [np.atleast_1d(m1), np.atleast_2d(std1**2)]
    inputs = exact([m0, std0**2, m1, std1**2])
    size = [sum(abs(a) for a in terms(inputs)) + 2]  # 2: log 2 pi apart from log v1
    got = gaussian.expected_logpdf(*one)
    assert_accurate(got, lambda v: [sum(terms(v))], inputs, size)
    got = gaussian.entropy(one[1])
    want = [mp.log(2 * mp.pi * mp.e * inputs[1]) / 2]
    assert_accurate(got, lambda v: want, [], [abs(want[0]) + 2])


def test_singular_covariances_are_refused():
    singular = np.array([[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="positive definite"):
        gaussian.logpdf(np.zeros(2), np.zeros(2), singular)
    with pytest.raises(ValueError, match="positive definite"):
        gaussian.logpdf(np.zeros(2), np.zeros(2), singular + 1e-16 * np.eye(2))
    with pytest.raises(ValueError, match="positive definite"):
        gaussian.logpdf(np.zeros(2), np.zeros(2), -np.eye(2))
    with pytest.raises(ValueError, match="symmetric"):
        gaussian.kl(np.zeros(2), np.array([[1, 0.9], [0, 1]]), np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="positive definite"):
        gaussian.entropy(singular)
    with pytest.raises(ValueError, match="positive definite"):
        gaussian.expected_logpdf(np.zeros(2), np.eye(2), np.zeros(2), singular)
    wide = np.diag([1e16, 1e-16])  # badly scaled, but not singular
    assert np.isfinite(gaussian.logpdf(np.zeros(2), np.zeros(2), wide))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="mean must be finite"):
        gaussian.logpdf(np.zeros(1), np.array([bad]), np.eye(1))
    with pytest.raises(TypeError, match="x must be real"):
        gaussian.logpdf(np.array(["a"]), np.zeros(1), np.eye(1))


def test_the_observed_may_be_counted_from_the_end_or_masked():
    cov = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 3.0]])
    want = gaussian.condition(POINT, cov, [2], np.ones(1))
    for observed in ([-1], [False, False, True]):
        for a, b in zip(
            gaussian.condition(POINT, cov, observed, np.ones(1)), want, strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_every_door_refuses_what_is_not_finite():
    zero, one, bad = np.zeros(1), np.eye(1), np.full(1, np.nan)
    for call, name in (
        (lambda: gaussian.kl(zero, one, bad, one), "mean1"),
        (lambda: gaussian.marginal(one, bad, zero, one, one), "b"),
        (lambda: gaussian.condition(zero, one, [0], bad), "value"),
        (lambda: gaussian.entropy(bad[None]), "cov"),
        (lambda: gaussian.symmetric_root(bad[None]), "cov"),
        (lambda: gaussian.expected_logpdf(zero, bad[None], zero, one), "cov0"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            call()


def test_nearly_singular_is_not_singular():
    """A pivot of 2e-11 of the variance is small, and still has five digits."""
    r = 1 - 1e-11
    got = gaussian.logpdf(np.zeros(2), np.zeros(2), np.array([[1, r], [r, 1]]))
    want = -0.5 * np.log((1 - r) * (1 + r)) - np.log(2 * np.pi)
    assert got == pytest.approx(want, rel=1e-6)


def test_a_stack_of_covariances_has_no_one_entropy():
    with pytest.raises(ValueError, match=r"cov must be \(d, d\)"):
        gaussian.entropy(np.stack([np.eye(2), np.eye(2)]))


@pytest.mark.limit
def test_kl_of_many_thin_dimensions_does_not_underflow():
    thin = 1e-4 * np.eye(400)
    got = gaussian.kl(np.zeros(400), thin, np.zeros(400), np.eye(400))
    assert got == pytest.approx(400 * 0.5 * (1e-4 - 1 - np.log(1e-4)), rel=1e-13)
