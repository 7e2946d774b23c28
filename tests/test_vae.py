"""The bound against quadrature and the joint Gaussian; the printed forms must fail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft, optimize, special, stats
from support import check_grad, covariances, ks_passes, mixture_cdf, mixtures

from refdiff import codes, gaussian, vae
from refdiff.toys import blobs
from refdiff.vae import Decoder

MU = np.array([0.4, -1.3])
DECODER = Decoder(
    np.array([[1.0, -0.4], [0.3, 0.8], [0.5, 0.2]]),
    np.array([0.1, -0.2, 0.3]),
    np.array([[0.5, 0.1, 0.0], [0.1, 0.4, -0.1], [0.0, -0.1, 0.6]]),
)
X, MEAN = np.array([0.7, -1.1, 0.4]), np.array([0.3, -0.6])
COV = np.array([[0.5, 0.2], [0.2, 0.3]])


def gauss(k, n=3):
    """Nodes (n^k, k) and weights of N(0, I), exact for polynomials below degree 2n."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    nodes = np.stack(np.meshgrid(*[z] * k), -1).reshape(-1, k)
    return nodes, np.prod(np.meshgrid(*[w / w.sum()] * k), axis=0).ravel()


def normal(x, cov):
    """SciPy's log density of N(0, cov), one a row."""
    return np.atleast_1d(stats.multivariate_normal(np.zeros(len(cov)), cov).logpdf(x))


def close(value, size=1.0):
    """Within 1e-12 of a value whose terms have that size."""
    return pytest.approx(value, rel=1e-12, abs=1e-12 * (1 + float(np.max(size))))


@st.composite
def problems(draw):
    """x, q's mean and covariance, and a decoder, in 1 to 3 dimensions each."""
    d, k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    number = st.floats(-2, 2).map(lambda v: round(v, 3))

    def array(*shape):
        n = int(np.prod(shape))
        return np.reshape(draw(st.lists(number, min_size=n, max_size=n)), shape)

    decoder = Decoder(array(d, k), array(d), draw(covariances(d)))
    return array(d), array(k), draw(covariances(k)), decoder


def joint(decoder):
    """Mean and covariance of (z, x): the linear algebra that knows all answers."""
    C, v, cov = decoder
    one = np.eye(C.shape[1])
    full = np.block([[one, C.T], [C, C @ C.T + cov]])
    return np.concatenate([np.zeros(len(one)), v]), full


@pytest.mark.identity
@given(problem=problems())
def test_the_bound_by_its_definition_and_both_decompositions(problem):
    """Def 1.4 = Thm 1.1 = Thm 1.2, the expectations by quadrature of SciPy's densities."""
    x, mean, cov, (C, v, R) = problem
    nodes, w = gauss(len(mean))
    z = mean + nodes @ np.linalg.cholesky(cov).T
    log_px_z, log_pz = normal(x - z @ C.T - v, R), normal(z, np.eye(len(mean)))
    log_q, log_px = normal(z - mean, cov), normal(x - v, C @ C.T + R)[0]
    size = w @ (abs(log_px_z) + abs(log_pz) + abs(log_q))
    bound = vae.elbo(*problem)
    assert bound == close(w @ (log_px_z + log_pz - log_q), size)
    assert vae.log_likelihood(x, problem[3]) == close(log_px, size)
    assert vae.gap(*problem) == close(log_px - bound, size)
    assert vae.reconstruction(*problem) == close(w @ log_px_z, size)
    assert vae.prior_matching(mean, cov) == close(w @ (log_q - log_pz), size)
    assert bound == close(
        vae.reconstruction(*problem) - vae.prior_matching(mean, cov), size
    )
    assert bound <= log_px + 1e-12 * size


@pytest.mark.identity
@given(problem=problems())
def test_the_posterior_is_bayes_rule(problem):
    """q(z | x) of the joint Gaussian of (z, x), conditioned on x."""
    x, mean, _, decoder = problem
    k = len(mean)
    want = gaussian.condition(*joint(decoder), list(range(k, k + len(x))), x)
    for got, expected in zip(vae.posterior(x, decoder), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.identity
@given(problem=problems(), shrink=st.sampled_from([0.5, 0.99, 1.01, 2.0]))
def test_the_posterior_maximises_the_bound(problem, shrink):
    """Thm 1.1: log p(x) there, and less wherever the mean or the covariance is moved."""
    x, shift, other, decoder = problem
    mean, cov = vae.posterior(x, decoder)
    best = vae.log_likelihood(x, decoder)
    assert vae.elbo(x, mean, cov, decoder) == close(best, abs(best))
    assert vae.gap(x, mean, cov, decoder) == close(0)
    assert vae.elbo(x, mean, shrink * cov, decoder) < best
    assert vae.elbo(x, mean, cov + 1e-2 * other, decoder) < best
    if abs(shift).max() > 1e-2:
        assert vae.elbo(x, mean + shift, cov, decoder) < best


@pytest.mark.identity
@given(angle=st.floats(0.05, 1.5), sigma=st.floats(0.1, 10), wrong=st.floats(1.1, 2))
def test_every_split_of_the_variance_attains_the_likelihood(angle, sigma, wrong):
    """N(mu, sigma^2) data: each c^2 + s^2 = sigma^2 is optimal, and no other sum."""
    nodes, w = gauss(1)
    x, mu = 0.7 + sigma * nodes, np.array([0.7])
    c, s = sigma * np.cos(angle), sigma * np.sin(angle)

    def best(c, s):
        decoder = Decoder(np.array([[c]]), mu, np.array([[s**2]]))
        return vae.elbo(x, *vae.posterior(x, decoder), decoder)

    want = stats.norm(mu, sigma).logpdf(x[:, 0])
    np.testing.assert_allclose(best(c, s), want, rtol=1e-12, atol=1e-12)
    assert w @ want == close(-stats.norm(0, sigma).entropy())
    assert w @ best(wrong * c, wrong * s) < w @ want - 1e-3


@pytest.mark.identity
def test_rows_of_x_and_of_the_mean_broadcast():
    x, mean = X + np.arange(4)[:, None, None], MEAN + np.arange(5)[:, None]
    for f in (vae.elbo, vae.gap, vae.reconstruction):
        rows = [[f(a[0], b, COV, DECODER) for b in mean] for a in x]
        np.testing.assert_allclose(f(x, mean, COV, DECODER), rows, rtol=1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2, 5, 64])
def test_the_cosine_basis_is_a_lossless_code(d):
    """Ex 1.1: SciPy's orthonormal transform; Parseval; there and back."""
    phi, x = codes.dct_basis(d), np.random.default_rng(0).standard_normal(d)
    np.testing.assert_allclose(phi @ x, fft.dct(x, norm="ortho"), atol=1e-13)
    np.testing.assert_allclose(phi @ phi.T, np.eye(d), atol=1e-13)
    np.testing.assert_allclose(phi.T @ (phi @ x), x, atol=1e-13)
    assert np.linalg.norm(phi @ x) == close(np.linalg.norm(x))


@pytest.mark.identity
@given(law=mixtures())
def test_a_mixture_is_an_autoencoder(law):
    """Ex 1.2: the encoder is the largest joint density; the decoder's law is exact."""
    x = np.random.default_rng(0).uniform(-3, 3, (20, law.d))
    parts = zip(law.weights, law.means, law.covs, strict=True)
    densities = [np.log(w) + normal(x - mean, cov) for w, mean, cov in parts]
    np.testing.assert_array_equal(
        codes.encode_component(x, law), np.argmax(densities, axis=0)
    )
    for k in range(len(law.weights)):  # x is affine in eps: its mean and its Jacobian
        at_k, none = np.full(law.d, k), np.zeros((law.d, law.d))
        root = codes.decode_component(at_k, np.eye(law.d), law) - law.means[k]
        np.testing.assert_array_equal(
            codes.decode_component(at_k, none, law), law.means[at_k]
        )
        np.testing.assert_allclose(root.T @ root, law.covs[k], atol=1e-13)


@pytest.mark.law
def test_decoded_components_have_the_mixtures_law():
    """By KS in 1-D; the covariance where its root belongs must fail."""
    law, rng = blobs([0.3, 0.7], [[-2.0], [2.0]], [0.5, 1.4]), np.random.default_rng(0)
    k, eps = rng.choice(2, 50_000, p=law.weights), rng.standard_normal((50_000, 1))
    assert ks_passes(codes.decode_component(k, eps, law), mixture_cdf(law))[0]
    unrooted = law.means[k] + law.covs[k, 0] * eps
    assert not ks_passes(unrooted, mixture_cdf(law))[0]


@pytest.mark.limit
def test_the_ideal_code_is_the_limit_of_no_noise():
    """Ex 1.4: the exact posterior tends to it as the decoder's s -> 0, as s^2."""
    x, sigma = np.array([[2.0, 0.1], [-3.0, 5.0]]), 2.5
    code = codes.ideal_code(x, MU, sigma)
    np.testing.assert_allclose(codes.ideal_decode(code, MU, sigma), x, rtol=1e-14)
    for s in (1e-1, 1e-2, 1e-8):
        decoder = Decoder(sigma * np.eye(2), MU, s**2 * np.eye(2))
        mean, cov = vae.posterior(x, decoder)
        assert abs(mean - code).max() <= (s / sigma) ** 2 * abs(code).max() + 1e-15
        assert np.sqrt(cov[0, 0]) == pytest.approx(s / sigma, rel=(s / sigma) ** 2)
    A = np.eye(2) / sigma  # the code of the data is white
    shift = codes.ideal_code(np.zeros(2), MU, sigma)
    mean, cov = gaussian.marginal(A, shift, MU, sigma**2 * np.eye(2), np.zeros((2, 2)))
    np.testing.assert_allclose(mean, 0, atol=1e-15)
    np.testing.assert_allclose(cov, np.eye(2), rtol=1e-15)


@pytest.mark.identity
@given(law=mixtures(), shares=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_bound_of_a_discrete_latent(law, shares):
    """log p(x) - KL(q || p(k | x)), with equality at the responsibilities."""
    x = np.random.default_rng(0).uniform(-3, 3, (4, law.d))
    q = np.array(shares[: len(law.weights)])
    q = (q + (q.sum() < 0.1)) / (q + (q.sum() < 0.1)).sum()
    p, log_p = law.responsibilities(x), law.logpdf(x)
    size = abs(law.log_joint(x)).max()
    got = codes.elbo_discrete(x, q, law)
    assert got == close(log_p - special.rel_entr(q, p).sum(axis=-1), size)
    assert (got <= log_p + 1e-13 * size).all()
    assert codes.elbo_discrete(x, p, law) == close(log_p, size)
    for k, only in enumerate(np.eye(len(q))):  # 0 log 0 = 0
        assert codes.elbo_discrete(x, only, law) == close(law.log_joint(x)[:, k], size)


@pytest.mark.oracle
@given(mean=st.lists(st.floats(-3, 3), min_size=3, max_size=3), std=st.floats(0.01, 10))
def test_prior_kl_is_the_divergence(mean, std):
    mean, many = np.array(mean), std * np.array([1.0, 0.3, 2.0])
    for given_std in (std, np.array([std]), many):
        cov = np.diag(np.broadcast_to(given_std, 3) ** 2)
        want = gaussian.kl(mean, cov, np.zeros(3), np.eye(3))
        got = vae.prior_kl(mean, given_std)
        assert got == close(want, want)
        assert vae.prior_matching(mean, cov) == close(want, want)
    rows = vae.prior_kl(np.stack([mean, mean]), np.array([[std], [2 * std]]))
    assert rows == close([vae.prior_kl(mean, s) for s in (std, 2 * std)], rows)


@pytest.mark.control
@pytest.mark.parametrize(("d", "right"), [(1, True), (3, False)])
def test_prior_kl_as_1_34_prints_it_is_not_the_divergence(d, right):
    """2 log std for 2 d log std: right in one dimension only."""
    mean, std = np.full(d, 0.3), 0.2
    printed = 0.5 * (d * std**2 - d + (mean**2).sum() - 2 * np.log(std))
    want = gaussian.kl(mean, std**2 * np.eye(d), np.zeros(d), np.eye(d))
    assert vae.prior_kl(mean, std) == close(want)
    assert (abs(printed - want) < 1e-12) == right


@pytest.mark.gradient
def test_prior_kl_gradient():
    mean, std = np.array([0.3, -2.0, 0.0]), np.array([0.2, 1.0, 3.0])
    gradient = np.stack(vae.prior_kl_grad(mean, std))
    check_grad(lambda p: vae.prior_kl(*p), np.stack([mean, std]), gradient)


@pytest.mark.oracle
@given(s=st.floats(0.01, 100))
def test_log_decoder_is_the_gaussian(s):
    at_z = np.stack([X + 0.3, X - 1, X])
    want = stats.norm(at_z, s).logpdf(X).sum(axis=-1)
    assert vae.log_decoder(X, at_z, s) == close(want, abs(want))


@pytest.mark.control
@pytest.mark.parametrize(("d", "right"), [(1, True), (3, False)])
def test_reconstruction_as_example_1_5_prints_it_is_not_the_expectation(d, right):
    """It counts one dimension where there are d."""
    x, s, t = X[:d], 0.3, 0.2
    decoder = Decoder(np.eye(d), np.zeros(d), s**2 * np.eye(d))
    got = vae.reconstruction(x, x, t**2 * np.eye(d), decoder)
    nodes, w = gauss(d)
    want = w @ stats.norm(x + t * nodes, s).logpdf(x).sum(axis=1)
    printed = -0.5 * np.log(2 * np.pi) - np.log(s) - d * t**2 / (2 * s**2)
    assert got == close(want)
    assert (abs(printed - want) < 1e-12) == right


def nonlinear(z):
    """Map 2-D latents to 3 dimensions, with squares: log p(x | z) is quartic."""
    return np.stack([z[..., 0] ** 2, z[..., 0] * z[..., 1], z[..., 1]], axis=-1)


@pytest.mark.identity
@pytest.mark.parametrize("decode", [lambda z: z @ DECODER.C.T + DECODER.v, nonlinear])
def test_the_estimate_is_unbiased(decode):
    """Six nodes of equal weight a dimension stand for eps: exact up to degree 5."""
    std, s = np.array([0.4, 1.2]), 0.7
    line = np.array([-np.sqrt(3), 0, 0, 0, 0, np.sqrt(3)])
    eps = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    got = vae.elbo_estimate(X, decode, MEAN, std, eps, s)
    nodes, w = gauss(2, 8)
    fit = stats.norm(decode(MEAN + std * nodes), s).logpdf(X).sum(axis=1)
    log_pz = stats.norm.logpdf(MEAN + std * nodes).sum(axis=1)
    entropy = stats.norm(MEAN, std).entropy().sum()
    assert got == close(w @ (fit + log_pz) + entropy, w @ abs(fit))
    one_by_one = [vae.elbo_estimate(X, decode, MEAN, std, e[None], s) for e in eps]
    assert got == close(np.mean(one_by_one), w @ abs(fit))
    if decode is not nonlinear:
        decoder = DECODER._replace(cov=s**2 * np.eye(3))
        assert got == close(vae.elbo(X, MEAN, np.diag(std**2), decoder), abs(got))


@pytest.mark.control
def test_the_estimate_as_1_35_prints_it_exceeds_the_likelihood():
    """With + KL it is no lower bound."""
    decoder = DECODER._replace(cov=0.25 * np.eye(3))
    best, cov = vae.posterior(X, decoder)
    std = np.sqrt(np.diag(cov))
    eps = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # exact for quadratics

    def decode(z):
        return z @ decoder.C.T + decoder.v

    bound = vae.elbo_estimate(X, decode, best, std, eps, 0.5)
    printed = bound + 2 * vae.prior_kl(best, std)
    assert bound < vae.log_likelihood(X, decoder) < printed


@pytest.mark.oracle
@given(t=st.floats(0.05, 3), s=st.floats(0.1, 5), sigma=st.floats(0.1, 5))
def test_the_surface_is_the_expected_bound_of_example_1_6(t, s, sigma):
    """elbo averaged over x by quadrature, per dimension; on the ridge E log p - t^2/2."""
    nodes, w = gauss(2)
    x = MU + sigma * nodes
    decoder = Decoder(sigma * np.eye(2), MU, s**2 * np.eye(2))
    bounds = vae.elbo(x, codes.ideal_code(x, MU, sigma), t**2 * np.eye(2), decoder)
    assert vae.elbo_surface(t, s, sigma) == close(w @ bounds / 2, abs(bounds))
    ridge = vae.elbo_surface(t, sigma * t, sigma)
    assert ridge == close(-stats.norm(0, sigma).entropy() - t**2 / 2, t**2)


@pytest.mark.limit
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_the_supremum_of_example_1_6_is_no_noise_at_all(sigma):
    """The joint maximum lies at the least t allowed; 1 is the optimum of t >= 1 alone."""
    best = -stats.norm(0, sigma).entropy()
    for least in (1.0, 0.3, 0.05):
        found = optimize.minimize(
            lambda u: -vae.elbo_surface(*np.exp(u), sigma),
            [0.5, np.log(sigma) + 0.3],
            bounds=[(np.log(least), 3), (None, None)],
            options={"ftol": 1e-15, "gtol": 1e-9},
        )
        t, s = np.exp(found.x)
        assert t == pytest.approx(least, rel=1e-6)
        assert s == pytest.approx(sigma * least, rel=1e-5)
        assert -found.fun == pytest.approx(best - least**2 / 2, abs=1e-9)
    assert vae.elbo_surface(1e-8, sigma * 1e-8, sigma) == pytest.approx(best, abs=1e-13)


@pytest.mark.control
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_the_optimum_that_example_1_6_states_is_half_a_nat_low(sigma):
    """t = 1, s = sigma: 0.5 a dimension below, and not even stationary in t."""
    best = -stats.norm(0, sigma).entropy()
    assert best - vae.elbo_surface(1.0, sigma, sigma) == pytest.approx(0.5, abs=1e-14)
    assert vae.elbo_surface(0.9, sigma, sigma) > vae.elbo_surface(1.0, sigma, sigma)


@pytest.mark.law
def test_reparameterised_noise_has_the_law():
    """z is affine in eps: exact mean and Jacobian, and KS along three directions."""
    std, rng = np.array([0.5, 2.0]), np.random.default_rng(0)
    cov, eps = np.array([[1.0, 0.8], [0.8, 2.0]]), rng.standard_normal((50_000, 2))
    diagonal, full = vae.reparameterise, vae.reparameterise_full

    def white(z, a, cov):
        return (z - MEAN) @ a / np.sqrt(a @ cov @ a)

    for f, scale, S in ((diagonal, std, np.diag(std**2)), (full, cov, cov)):
        root = f(np.zeros(2), scale, np.eye(2))
        np.testing.assert_allclose(root.T @ root, S, rtol=1e-13, atol=1e-14)
        np.testing.assert_array_equal(f(MEAN, scale, np.zeros(2)), MEAN)
        for a in np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]):
            z = f(MEAN, scale, eps)
            assert ks_passes(white(z, a, S), stats.norm.cdf)[0]
    a, L = np.array([0.0, 1.0]), np.linalg.cholesky(cov)
    for wrong, S in ((std**2 * eps, np.diag(std**2)), (eps @ L, cov)):
        assert not ks_passes(white(MEAN + wrong, a, S), stats.norm.cdf)[0]
