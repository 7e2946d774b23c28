"""The estimators' expectations by Gauss-Hermite quadrature, exact for polynomials."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import check_grad

from refdiff import estimators, gaussian, vae
from refdiff.vae import Decoder

DECODER = Decoder(
    np.array([[1.0, -0.4], [0.3, 0.8], [0.5, 0.2]]),
    np.array([0.1, -0.2, 0.3]),
    np.array([[0.5, 0.1, 0.0], [0.1, 0.4, -0.1], [0.0, -0.1, 0.6]]),
)
X, MEAN, STD = np.array([0.7, -1.1, 0.4]), np.array([0.3, -0.6]), np.array([0.5, 1.3])
Z1, W1 = np.polynomial.hermite_e.hermegauss(5)  # exact up to degree 9
EPS = np.stack(np.meshgrid(Z1, Z1), -1).reshape(-1, 2)
W = np.prod(np.meshgrid(W1, W1), axis=0).ravel() / W1.sum() ** 2
SIGNS = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # equal weights, to degree 3

pairs = st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(np.array)
stds = st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)).map(np.array)


def log_joint(z):
    """log p(x, z) by SciPy, one a row."""
    C, v, cov = DECODER
    residual = X - z @ C.T - v
    log_px_z = stats.multivariate_normal(np.zeros(3), cov).logpdf(residual)
    return log_px_z + stats.norm.logpdf(z).sum(axis=1)


def log_joint_grad(z):
    """Its gradient in z: minus the posterior's precision times the distance to its mean."""
    mean, cov = vae.posterior(X, DECODER)
    return -np.linalg.solve(cov, (z - mean).T).T


def bound(p):
    """vae.elbo of p = (mean, std)."""
    return vae.elbo(X, p[0], np.diag(p[1] ** 2), DECODER)


def expected(gradient):
    """E_q of an estimator's rows, as (d mean, d std)."""
    return np.stack([W @ rows for rows in gradient])


def variances(gradient):
    return np.stack([W @ (rows - W @ rows) ** 2 for rows in gradient])


@pytest.mark.gradient
@given(mean=pairs, std=stds, eps=pairs)
def test_log_q_gradient(mean, std, eps):
    """z stays where it is while (mean, std) move."""
    z = mean + std * eps

    def log_q(p):
        return stats.norm(*p).logpdf(z).sum()

    gradient = np.stack(estimators.log_q_grad(eps, std))
    step = 1e-5 * std.min()
    check_grad(log_q, np.stack([mean, std]), gradient, rtol=1e-6, step=step)


@pytest.mark.identity
@given(std=stds)
def test_the_naive_swap_has_mean_zero(std):
    """(1.13) is no gradient: its mean is 0 wherever q stands, and the bound's is not."""
    np.testing.assert_allclose(
        expected(estimators.naive_grad(EPS, std)), 0, atol=1e-13 / std.min()
    )


@pytest.mark.gradient
@given(eps=pairs)
def test_the_naive_swap_is_the_gradient_at_samples_held_fixed(eps):
    z = MEAN + STD * eps

    def f(p):
        return log_joint(z[None]).sum() - stats.norm(*p).logpdf(z).sum()

    gradient = np.stack(estimators.naive_grad(eps, STD))
    check_grad(f, np.stack([MEAN, STD]), gradient, rtol=1e-6)


@pytest.mark.control
def test_the_naive_swap_is_not_the_bounds_gradient():
    naive = expected(estimators.naive_grad(EPS, STD))
    with pytest.raises(AssertionError):
        check_grad(bound, np.stack([MEAN, STD]), naive)


@pytest.mark.gradient
@given(mean=pairs, std=stds)
def test_both_estimators_agree_with_the_exact_gradient(mean, std):
    """Of the linear-Gaussian bound, by central differences of vae.elbo."""
    z = mean + std * EPS
    log_q = stats.norm(mean, std).logpdf(z).sum(axis=1)
    entropy = np.stack(estimators.entropy_grad(std))
    whole = estimators.score_function_grad(log_joint(z) - log_q, EPS, std)
    split = estimators.score_function_grad(log_joint(z), EPS, std)
    through = estimators.reparameterised_grad(log_joint_grad(z), EPS)
    exact = expected(whole)
    size = 1 + abs(W @ abs(whole[1])).max() + abs(W @ abs(whole[0])).max()
    for other in (split, through):
        gradient = expected(other) + entropy
        np.testing.assert_allclose(gradient, exact, rtol=1e-12, atol=1e-12 * size)
    check_grad(bound, np.stack([mean, std]), exact, rtol=1e-6, step=1e-5)


@pytest.mark.gradient
def test_the_gradients_vanish_at_the_best_diagonal_code():
    """mean the posterior's, std^2 = 1 / (diagonal of its precision)."""
    mean, cov = vae.posterior(X, DECODER)
    std = 1 / np.sqrt(np.diag(np.linalg.inv(cov)))
    through = estimators.reparameterised_grad(log_joint_grad(mean + std * EPS), EPS)
    total = expected(through) + estimators.entropy_grad(std)
    np.testing.assert_allclose(total, 0, atol=1e-12)


@pytest.mark.oracle
def test_the_reparameterised_estimator_varies_less():
    """In this example 52 and 3.9 times less in mean, 50 and 8.5 in std, by quadrature."""
    z = MEAN + STD * EPS
    log_q = stats.norm(MEAN, STD).logpdf(z).sum(axis=1)
    score = variances(estimators.score_function_grad(log_joint(z) - log_q, EPS, STD))
    through = variances(estimators.reparameterised_grad(log_joint_grad(z), EPS))
    np.testing.assert_allclose(score / through, [[51.9, 3.92], [49.8, 8.47]], rtol=2e-3)


@pytest.mark.limit
def test_the_reparameterised_estimator_has_no_variance_in_the_mean_of_a_line():
    """f linear: grad f is one vector, while the score function's f grad log q varies."""
    slope = np.array([2.0, -1.0])
    f, df = EPS @ slope, np.broadcast_to(slope, EPS.shape)
    d_mean, _ = variances(estimators.reparameterised_grad(df, EPS))
    np.testing.assert_allclose(d_mean, 0, atol=1e-14)
    assert (variances(estimators.score_function_grad(f, EPS, np.ones(2))) > 1).all()


@pytest.mark.identity
@given(mean=pairs, std=stds, eps=pairs)
def test_the_jacobian_turns_q_into_the_law_of_eps(mean, std, eps):
    """Ex 1.7: log q(z) + log |det dz/d eps| = log N(eps; 0, I)."""
    z = vae.reparameterise(mean, std, eps)
    log_q = stats.norm(mean, std).logpdf(z).sum()
    want = stats.norm.logpdf(eps).sum()
    rounding = 1e-13 * (1 + abs(mean / std).max())
    assert log_q + estimators.log_det(std) == pytest.approx(want, abs=10 * rounding)
    jacobian = vae.reparameterise(np.zeros(2), std, np.eye(2))
    assert estimators.log_det(std) == pytest.approx(
        np.linalg.slogdet(jacobian)[1], abs=1e-13
    )


@pytest.mark.gradient
@given(std=stds)
def test_entropy_gradient(std):
    gradient = np.stack(estimators.entropy_grad(std))

    def entropy(p):
        return gaussian.entropy(np.diag(p[1] ** 2))

    step = 1e-5 * std.min()
    check_grad(entropy, np.stack([MEAN, std]), gradient, rtol=1e-6, step=step)
    assert (gradient[0] == 0).all()


@pytest.mark.gradient
def test_the_decoders_gradient_commutes_with_the_expectation():
    """(1.14): averaged over samples that are exact for quadratics, it is the bound's."""
    d_C, d_v = estimators.decoder_grad(X, MEAN + STD * SIGNS, DECODER)
    assert (d_C.shape, d_v.shape) == ((3, 2), (3,))

    def of_C(C):
        return vae.elbo(X, MEAN, np.diag(STD**2), DECODER._replace(C=C))

    def of_v(v):
        return vae.elbo(X, MEAN, np.diag(STD**2), DECODER._replace(v=v))

    check_grad(of_C, DECODER.C, d_C)
    check_grad(of_v, DECODER.v, d_v)
