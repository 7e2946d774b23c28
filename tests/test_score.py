"""The score: 50 digits, quadrature, and what it says of the data it was made from."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import assert_accurate, check_grad, covariances, ks_passes, mixtures

from refdiff import score
from refdiff.langevin import annealed_chain, ladder, langevin_chain, stationary_cov
from refdiff.mixture import Mixture, from_points
from refdiff.score import (
    dsm_constant,
    gaussian_score,
    jacobian,
    kde,
    ordinary_score,
    posterior_cov,
    posterior_mean,
    stein_term,
)

SIGMA = st.floats(0.05, 3)
NEAR, FAR = (
    mp.mpf(10) ** -16,
    mp.mpf(10) ** -10,
)  # steps of first and second differences


def log_normal(x, mean, cov):
    """Log density of a Gaussian at 50 digits, from lists of numbers."""
    cov, r = mp.matrix(cov), mp.matrix([a - b for a, b in zip(x, mean, strict=True)])
    return -(r.T * (cov**-1 * r))[0] / 2 - mp.log(mp.det(cov)) / 2


def log_mixture(law, x):
    """Log density of a mixture at 50 digits, but for a constant."""
    parts = zip(law.weights, law.means.tolist(), law.covs.tolist(), strict=True)
    return mp.log(
        sum(mp.mpf(float(w)) * mp.exp(log_normal(x, m, c)) for w, m, c in parts)
    )


def moved(x, i, by):
    return [v + by * (j == i) for j, v in enumerate(x)]


def gradient(f, x):
    """Central differences at 50 digits: good to 30."""
    return [
        (f(moved(x, i, NEAR)) - f(moved(x, i, -NEAR))) / (2 * NEAR)
        for i in range(len(x))
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("far", [1, 40])
def test_the_score_is_the_gradient_of_the_log_density(d, far):
    """Stein's in x, Fisher's in the mean, at 50 digits; of each row of x for itself."""
    rng = np.random.default_rng(d)
    A, mean, x = rng.standard_normal((d, d)), *rng.standard_normal((2, d))
    cov, x = A @ A.T + 0.3 * np.eye(d), far * x

    def split(v):
        cov = [
            [v[2 * d + d * min(i, j) + max(i, j)] for j in range(d)] for i in range(d)
        ]
        return v[:d], v[d : 2 * d], cov

    def in_x(v):
        x, mean, cov = split(v)
        return gradient(lambda x: log_normal(x, mean, cov), x)

    def in_mean(v):
        x, mean, cov = split(v)
        return gradient(lambda mean: log_normal(x, mean, cov), mean)

    inputs = [mp.mpf(float(v)) for v in (*x, *mean, *cov.ravel())]
    assert_accurate(gaussian_score(x, mean, cov), in_x, inputs)
    assert_accurate(ordinary_score(x, mean, cov), in_mean, inputs)
    rows = rng.standard_normal((2, 3, d))
    check_grad(
        lambda x: stats.multivariate_normal(mean, cov).logpdf(x).sum(),
        rows,
        gaussian_score(rows, mean, cov),
    )


@pytest.mark.identity
@given(law=mixtures(most=1), seed=st.integers(0, 99))
def test_the_score_of_one_gaussian_is_that_of_its_mixture(law, seed):
    x = 3 * np.random.default_rng(seed).standard_normal((5, law.d))
    got = gaussian_score(x, law.means[0], law.covs[0])
    np.testing.assert_allclose(got, law.score(x), rtol=1e-10, atol=1e-12)


def world(law, n):
    """A grid on 12 deviations of each component: x, and weights that give E under law."""
    u = np.linspace(-12, 12, n)
    u = np.stack(np.meshgrid(*[u] * law.d), axis=-1).reshape(-1, law.d)
    mass = np.exp(-0.5 * (u**2).sum(axis=1)) / np.sqrt(2 * np.pi) ** law.d
    roots = np.linalg.cholesky(law.covs)
    x = np.concatenate([m + u @ L.T for m, L in zip(law.means, roots, strict=True)])
    return x, np.outer(law.weights, mass * (24 / (n - 1)) ** law.d).ravel()


def stable(f, n, most):
    """A quadrature by f(nodes), the nodes doubled until it is stable to 1e-11."""
    value = f(n)
    while n < most:
        n, last = 2 * n - 1, value
        value = f(n)
        if np.abs(value - last).max() <= 1e-11 * max(1, np.abs(value).max()):
            return value
    raise AssertionError(f"not stable: moves by {np.abs(value - last).max()}")


def ripple(x):
    a = np.arange(1, 1 + x.shape[1])
    return np.sin(x @ a)[:, None] * a, np.cos(x @ a) * (a @ a)


FIELDS = {  # f and its divergence
    "one": lambda x: (np.ones_like(x), np.zeros(len(x))),
    "x": lambda x: (x, np.full(len(x), x.shape[1])),
    "cubes": lambda x: (x**3, 3 * (x**2).sum(axis=1)),
    "tanh": lambda x: (np.tanh(x), (np.cosh(x) ** -2).sum(axis=1)),
    "ripple": ripple,
    "swirl": lambda x: (x[:, ::-1] * [1, -1][: x.shape[1]], (x.shape[1] == 1) * 1.0),
}


def steins(law, field, n, sign=1):
    """E[score . f + div f] by quadrature, and the mean square of its terms."""
    x, w = world(law, n)
    score, (f, div) = law.score(x), FIELDS[field](x)
    size = (score * f).sum(axis=1) ** 2 + div**2
    return np.array([w @ stein_term(sign * score, f, div), w @ size])


@pytest.mark.identity
@pytest.mark.parametrize("field", FIELDS)
@given(law=mixtures(d=1))
def test_steins_identity(field, law):
    """The field `one` says that a score has mean 0; the field x, that E[score x] = -1."""
    value, size = stable(lambda n: steins(law, field, n), 301, 20000)
    assert abs(value) <= 1e-11 * max(1, size**0.5)


@pytest.mark.identity
@pytest.mark.parametrize("field", FIELDS)
def test_steins_identity_in_the_plane(field):
    """And, the control, without the score's sign it fails wherever div f is not 0."""
    covs = np.array([[[0.8, 0.3], [0.3, 0.5]], [[0.6, -0.2], [-0.2, 1.0]]])
    law = Mixture(np.array([0.3, 0.7]), np.array([[-1, 0.5], [0.8, -0.3]]), covs)
    value, size = stable(lambda n: steins(law, field, n), 76, 600)
    assert abs(value) <= 1e-11 * max(1, size**0.5)
    if field not in ("one", "swirl"):
        assert abs(steins(law, field, 301, sign=-1)[0]) > 0.01


def hessian(law, x):
    """Second differences of the log density at 50 digits: good to 20."""
    H = np.empty((len(x), len(x)))
    for i, j in np.ndindex(H.shape):
        corners = [(a, b) for a in (FAR, -FAR) for b in (FAR, -FAR)]
        values = [log_mixture(law, moved(moved(x, i, a), j, b)) for a, b in corners]
        H[i, j] = (values[0] - values[1] - values[2] + values[3]) / (4 * FAR**2)
    return H


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2])
def test_the_jacobian_is_the_derivative_of_the_score(d):
    """Second differences of the log density at 50 digits, where components compete."""
    rng = np.random.default_rng(d)
    A = 0.4 * rng.standard_normal((3, d, d))
    covs = A @ np.swapaxes(A, 1, 2) + 0.2 * np.eye(d)
    law = Mixture(np.array([0.2, 0.5, 0.3]), rng.standard_normal((3, d)), covs)
    for x in [*rng.standard_normal((3, d)), *(20 * rng.standard_normal((2, d)))]:
        want = hessian(law, [mp.mpf(float(v)) for v in x])
        error = np.abs(jacobian(law, x) - want).max()
        assert error <= 1e-12 * max(1, np.abs(want).max())


@pytest.mark.gradient
@given(law=mixtures(), seed=st.integers(0, 99))
def test_the_jacobian_is_symmetric_and_follows_the_score(law, seed):
    rng = np.random.default_rng(seed)
    x, v = rng.standard_normal((2, 4, law.d))
    J = jacobian(law, x)
    assert J.shape == (4, law.d, law.d)
    size = np.abs(J).max() + 1 / np.linalg.eigvalsh(law.covs).min()
    assert np.abs(J - np.swapaxes(J, 1, 2)).max() <= 1e-13 * size
    check_grad(
        lambda x: np.sum(v * law.score(x)),
        x,
        np.einsum("nij,ni->nj", J, v),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(
        jacobian(law, x.reshape(2, 2, -1)).reshape(J.shape), J
    )


@pytest.mark.identity
@given(law=mixtures(), sigma=SIGMA, seed=st.integers(0, 99), points=st.booleans())
def test_tweedie_gives_the_posterior_mean_and_covariance(law, sigma, seed, points):
    """Against Bayes' rule for the mixture, or for a data set, which has no score."""
    law = from_points(law.means) if points else law
    x = 3 * np.random.default_rng(seed).standard_normal((5, law.d))
    noisy = law.noised(1.0, sigma)
    mean = posterior_mean(x, noisy.score(x), sigma)
    cov = posterior_cov(jacobian(noisy, x), sigma)
    want = law.denoise(x, 1.0, sigma)
    np.testing.assert_allclose(mean, want, rtol=1e-10, atol=1e-10)
    want = law.denoise_cov(x, 1.0, sigma)
    np.testing.assert_allclose(cov, want, rtol=1e-10, atol=1e-10)
    for got in (posterior_mean(x, -noisy.score(x), sigma), x + sigma * noisy.score(x)):
        if abs(sigma - 1) > 0.01 and np.abs(noisy.score(x)).max() > 0.01:  # controls
            assert np.abs(got - law.denoise(x, 1.0, sigma)).max() > 1e-6


@pytest.mark.limit
def test_without_noise_tweedie_leaves_the_point_where_it_is():
    law = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    x = np.array([[1.0, -2.0]])
    np.testing.assert_array_equal(posterior_mean(x, law.score(x), 0.0), x)
    np.testing.assert_array_equal(
        posterior_cov(jacobian(law, x), 0.0), np.zeros((1, 2, 2))
    )


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("h", [0.05, 0.4, 2.0])
def test_the_kernel_estimate_is_scipys(d, h):
    """SciPy's bandwidth is h times the data's covariance, which is made 1 here."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((30, d))
    L = np.linalg.cholesky(np.cov(points.T).reshape(d, d))
    points = points @ np.linalg.inv(L).T
    x = np.concatenate([points[:5], 2 * rng.standard_normal((20, d))])
    theirs, ours = stats.gaussian_kde(points.T, bw_method=h), kde(points, h)
    np.testing.assert_allclose(theirs.covariance, h**2 * np.eye(d), atol=1e-12)
    np.testing.assert_allclose(
        ours.logpdf(x), theirs.logpdf(x.T), rtol=1e-10, atol=1e-10
    )
    check_grad(lambda x: theirs.logpdf(x.T).sum(), x, ours.score(x), 1e-6, 1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_kernel_estimate_is_a_density(d):
    """With 1/h for 1/h^d, as (3.5) prints it, its mass is 1 where d = 1 alone."""
    points, h = np.random.default_rng(0).standard_normal((4, d)), 0.5
    u, step = np.linspace(-9, 9, 109, retstep=True)
    x = np.stack(np.meshgrid(*[u] * d), axis=-1).reshape(-1, d)
    kernel = stats.multivariate_normal(np.zeros(d))
    printed = sum(kernel.pdf((x - p) / h) for p in points) / (4 * h)
    assert np.exp(kde(points, h).logpdf(x)).sum() * step**d == pytest.approx(
        1, abs=1e-12
    )
    assert (printed.sum() * step**d == pytest.approx(1, abs=1e-3)) == (d == 1)


def nearest(x, points):
    return np.linalg.norm(x[:, None] - points, axis=2).min(axis=1)


@pytest.mark.law
@pytest.mark.parametrize(
    ("start", "d"), [("points", 1), ("points", 2), ("points", 5), ("noise", 2)]
)
def test_langevin_on_a_kernel_estimate_gives_the_data_back(start, d):
    """Each sample lies h chi_d from a data point: they are memorised, and none is new.

    Plain Langevin from the points, or annealed Langevin from noise; fresh draws of the
    data's own law, the control, lie elsewhere.
    """
    rng, n, h = np.random.default_rng(d), 1000, 1e-3
    points = np.linspace(-2, 2, 12)[:, None] * np.ones(d)
    points = points + 0.03 * rng.standard_normal(points.shape)
    if start == "points":
        tau, x = 0.2 * h**2, points[rng.integers(12, size=n)]
        chain, law = langevin_chain(tau, 150), kde(points, h)
    else:
        sigma = ladder(
            h, 4.0, 24
        )  # at level i the data set itself is smoothed by sigma
        tau, x = 0.1 * h**2, 4 * rng.standard_normal((n, d))
        chain, law = annealed_chain(sigma, 0.2 * h**2, 60), from_points(points)
    *_, x = chain.run(x, law.model, rng=rng)
    scale = np.sqrt(stationary_cov(h**2 * np.eye(1), tau)[0, 0])
    distance = nearest(x, points)
    assert distance.max() < 4 * np.sqrt(d + 4) * h
    passes, D = ks_passes(distance / scale, stats.chi(d).cdf)
    assert passes, D
    assert len(set(np.linalg.norm(x[:, None] - points, axis=2).argmin(axis=1))) > 8
    fresh = rng.uniform(-2, 2, (n, 1)) + 0.03 * rng.standard_normal((n, d))
    assert np.median(nearest(fresh, points)) > 20 * h


@pytest.mark.oracle
@given(cov=covariances(2), sigma=SIGMA)
def test_the_constant_of_denoising_is_what_the_noise_adds_to_the_precision(cov, sigma):
    """Half of tr Var of the target given x: by the conditional law of z given x."""
    joint = np.block(
        [
            [np.eye(2), sigma * np.eye(2)],
            [sigma * np.eye(2), cov + sigma**2 * np.eye(2)],
        ]
    )
    left = np.linalg.inv(np.linalg.inv(joint)[:2, :2])  # Cov[z | x]
    want = 0.5 * np.trace(left) / sigma**2
    assert dsm_constant(cov, sigma) == pytest.approx(want, rel=1e-9)


@pytest.mark.limit
def test_the_constant_holds_at_its_ends():
    """No data spread, no loss; much spread, that of noise alone; no subtraction."""
    assert dsm_constant(np.zeros((2, 2)), 0.3) == 0
    assert dsm_constant(1e12 * np.eye(3), 0.5) == pytest.approx(6, rel=1e-11)
    assert dsm_constant(1e-12 * np.eye(2), 1.0) == pytest.approx(1e-12, rel=1e-11)


def test_what_is_not_finite_or_fits_no_other_is_refused_by_name():
    x, law = np.zeros((3, 2)), kde(np.zeros((4, 2)), 1.0)
    for bad in (np.nan, np.inf):
        wrong = np.full((3, 2), bad)
        calls = {
            "x": lambda: gaussian_score(wrong, np.zeros(2), np.eye(2)),  # noqa: B023
            "mean": lambda: ordinary_score(x, wrong, np.eye(2)),  # noqa: B023
            "cov": lambda: gaussian_score(x, x, np.full((2, 2), bad)),  # noqa: B023
            "f": lambda: stein_term(x, wrong, np.zeros(3)),  # noqa: B023
            "score": lambda: posterior_mean(x, wrong, 1.0),  # noqa: B023
            "sigma": lambda: posterior_mean(x, x, bad),  # noqa: B023
            "jacobian": lambda: posterior_cov(wrong[:2], 1.0),  # noqa: B023
            "points": lambda: kde(wrong, 1.0),  # noqa: B023
            "h": lambda: kde(x, bad),  # noqa: B023
        }
        for name, call in calls.items():
            with pytest.raises(ValueError, match=f"{name} must be finite"):
                call()
        with pytest.raises(ValueError, match="x must be finite"):
            jacobian(law, wrong)
    for h in (0.0, -1.0):
        with pytest.raises(ValueError, match="h must be"):
            kde(x, h)
        with pytest.raises(ValueError, match="sigma must be above 0"):
            dsm_constant(np.eye(2), h)
    for points in (x[0], x[:0]):
        with pytest.raises(ValueError, match=r"points must be \(M, d\)"):
            kde(points, 1.0)
    with pytest.raises(ValueError, match=r"x must be \(\.\.\., 2\)"):
        jacobian(law, x[:, :1])
    with pytest.raises(ValueError, match="positive definite"):
        gaussian_score(x, x, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="positive definite"):
        jacobian(from_points(x), x)


def test_a_divergence_that_is_not_finite_is_refused_by_name():
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match="div_f must be finite"):
        stein_term(x, x, np.full(3, np.nan))


def test_a_mean_or_covariance_of_another_dimension_is_refused():
    """Where NumPy would broadcast one coordinate over two."""
    one, two, cov = np.ones((3, 1)), np.ones((3, 2)), np.eye(2)
    for function in (gaussian_score, ordinary_score):
        for x, mean in ((one, np.zeros(2)), (two, np.zeros(1)), (one, np.zeros(1))):
            with pytest.raises(ValueError):
                function(x, mean, cov)


def test_shapes_that_would_broadcast_into_something_else_are_refused():
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match="div_f must be one a row"):
        score.stein_term(x, x, np.zeros((3, 1)))
    with pytest.raises(ValueError, match="sigma must be a number"):
        score.posterior_cov(np.zeros((2, 2, 2)), np.ones((2, 1)))
    for bad in (-np.eye(2), np.eye(2) + np.eye(2, k=1)):
        with pytest.raises(ValueError, match="cov must be"):
            score.dsm_constant(bad, 1.0)
    with pytest.raises(ValueError, match=r"cov must be \(d, d\)"):
        score.gaussian_score(x, x[0], np.eye(3))
