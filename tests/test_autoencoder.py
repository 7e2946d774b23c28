"""The autoencoder's hand-written gradient, and the linear one's exact answer."""

import numpy as np
import pytest
from scipy import linalg, optimize, stats
from support import ALPHA, check_grad, ks_passes

from refdiff import gaussian, tour, tour_vae, vae
from refdiff.autoencoder import START_S, VAE, fit_linear, linear_loss, ppca
from refdiff.data import load_data

NETS = [VAE(3, 2, (5, 4)), VAE(1, 2, (6,)), VAE(2, 3, ()), VAE(2, 2, (4,))]


def problem(net, n=6, seed=0):
    """Parameters all away from 0, points, and the noise of their codes."""
    rng = np.random.default_rng(seed)
    params = 0.5 * rng.standard_normal(net.size)
    return params, rng.standard_normal((n, net.d)), rng.standard_normal((n, net.k))


def gaussian_data(d, seed):
    """Mean and covariance with distinct eigenvalues, turned at random, and its rng."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((d, d)))
    cov = Q * np.geomspace(4, 0.1, d) @ Q.T
    return rng.standard_normal(d), (cov + cov.T) / 2, rng


def corners(mean, cov):
    """2^d points, equally likely, that average quadratics as N(mean, cov) does."""
    d = len(mean)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * d)).reshape(d, -1).T
    return mean + signs @ np.linalg.cholesky(cov).T


@pytest.mark.gradient
@pytest.mark.parametrize("net", NETS)
def test_vae_loss_gradient(net):
    """In all parameters at once, and in log s, the last one, alone."""
    params, x, eps = problem(net)
    value, gradient = net.loss(params, x, eps)

    def of(p):
        return net.loss(p, x, eps)[0]

    check_grad(of, params, gradient)
    h = 1e-4 * np.eye(net.size)[-1]
    stencil = [of(params + i * h) for i in (1, -1, 2, -2)]  # of fourth order
    numeric = np.dot([8, -8, -1, 1], stencil) / 12e-4
    assert gradient[-1] == pytest.approx(numeric, rel=1e-9)
    alone = [net.loss(params, x[i : i + 1], eps[i : i + 1]) for i in range(len(x))]
    assert value == pytest.approx(np.mean([one[0] for one in alone]), rel=1e-13)
    rows = np.mean([one[1] for one in alone], axis=0)
    np.testing.assert_allclose(gradient, rows, rtol=1e-11, atol=1e-12)


@pytest.mark.control
def test_the_printed_sign_of_the_divergence_is_another_gradient():
    """(1.35) adds it to the bound, so that the loss would fall as the code strays."""
    net = NETS[0]
    params, x, eps = problem(net)
    gradient = net.loss(params, x, eps)[1]

    def printed(p):
        return net.loss(p, x, eps)[0] - 2 * vae.prior_kl(*net.encode(p, x)).mean()

    with pytest.raises(AssertionError):
        check_grad(printed, params, gradient, rtol=1e-2)
    pieces = net.split(gradient)
    numeric = optimize.approx_fprime(params, printed, 1e-7)
    wrong = net.split(numeric)
    assert np.linalg.norm(wrong[0] - pieces[0]) > 0.1 * np.linalg.norm(pieces[0])
    np.testing.assert_allclose(wrong[1], pieces[1], rtol=0, atol=1e-4)


@pytest.mark.identity
@pytest.mark.parametrize("net", NETS)
def test_the_loss_is_minus_the_mean_of_the_bounds_estimate(net):
    params, x, eps = problem(net)
    mean, std = net.encode(params, x)
    s = np.exp(net.split(params)[2])
    bound = vae.elbo_estimate(
        x, lambda z: net.decode(params, z), mean, std, eps[None], s
    )
    assert net.loss(params, x, eps)[0] == pytest.approx(-bound.mean(), rel=1e-13)


@pytest.mark.limit
def test_single_precision_follows_double():
    net = NETS[0]
    params, x, eps = problem(net)
    single = net.loss(params.astype(np.float32), x, eps)
    double = net.loss(params, x, eps)
    assert single[1].dtype == np.float32
    assert single[0] == pytest.approx(double[0], rel=1e-5)
    size = np.abs(double[1]).max()
    np.testing.assert_allclose(single[1], double[1], rtol=0, atol=1e-5 * size)
    start = net.init(np.random.default_rng(0), np.float32)
    assert start.dtype == np.float32
    np.testing.assert_allclose(start, net.init(np.random.default_rng(0)), 1e-6)


@pytest.mark.parametrize("net", NETS)
def test_the_parts_are_the_networks(net):
    """By networks set by hand, whose answer is their last bias, and row by row."""
    params, x, eps = problem(net)
    phi, theta, log_s = net.split(params)
    assert net.encoder.widths == (net.d, *net.hidden, 2 * net.k)
    assert net.decoder.widths == (net.k, *net.hidden, net.d)
    whole = [*net.encoder.views(phi).values(), *net.decoder.views(theta).values()]
    flat = np.concatenate([piece.ravel() for piece in whole] + [[log_s]])
    np.testing.assert_array_equal(flat, params)
    assert net.size == len(params)
    y = net.encoder.forward(phi, x, 0.7)[0]  # the time is nothing to it
    mean, std = net.encode(params, x)
    np.testing.assert_array_equal(
        np.concatenate([mean, np.log(std)], 1).round(13), y.round(13)
    )
    z = np.stack([eps, -eps, 2 * eps])
    got = net.decode(params, z)
    assert got.shape == (3, len(x), net.d)
    for i in range(3):
        want = net.decoder.forward(theta, z[i], 0.3)[0]
        np.testing.assert_allclose(got[i], want, rtol=1e-13, atol=1e-14)

    params, last = np.zeros(net.size), len(net.hidden)
    phi, theta, _ = net.split(params)
    net.encoder.views(phi)[f"b{last}"][:] = [3.0] * net.k + [np.log(2)] * net.k
    net.decoder.views(theta)[f"b{last}"][:] = 5.0
    mean, std = net.encode(params, x)
    np.testing.assert_array_equal(mean, np.full((6, net.k), 3.0))
    np.testing.assert_allclose(std, np.full((6, net.k), 2.0), rtol=1e-15)
    np.testing.assert_array_equal(net.decode(params, eps), np.full((6, net.d), 5.0))
    params[-1] = np.log(7)
    at_one = net.sample(params, eps, np.ones((6, net.d)))
    np.testing.assert_allclose(at_one, np.full((6, net.d), 12.0), rtol=1e-15)


@pytest.mark.law
def test_an_untrained_vae_is_the_prior():
    """Every code is N(0, I), the divergence 0, and f is random with s = 0.1."""
    net = VAE(2, 3, (200, 100))
    params, x, eps = net.init(np.random.default_rng(0)), *problem(net)[1:]
    mean, std = net.encode(params, x)
    np.testing.assert_array_equal(mean, np.zeros((6, 3)))
    np.testing.assert_array_equal(std, np.ones((6, 3)))
    assert (vae.prior_kl(mean, std) == np.zeros(6)).all()
    assert np.exp(net.split(params)[2]) == pytest.approx(0.1, rel=1e-15)
    assert START_S == 0.1
    pieces = net.decoder.views(net.split(params)[1])
    for name, fan_in in (("W0", 3), ("W1", 200), ("W2", 100)):
        weights = pieces[name].ravel() * np.sqrt(fan_in)
        assert stats.kstest(weights, "norm").pvalue > ALPHA / 3
    assert not any(pieces[f"b{i}"].any() for i in range(3))
    assert np.ptp(net.decode(params, eps), axis=0).min() > 0.1


@pytest.mark.law
def test_samples_have_the_models_law():
    """One latent, one dimension: p(x) = int p(x | z) p(z) dz on a grid of z."""
    net, n, rng = VAE(1, 1, (8, 8)), 20_000, np.random.default_rng(1)
    params = 1.2 * rng.standard_normal(net.size)
    params[-1] = np.log(0.3)
    z = np.linspace(-9, 9, 4001)[:, None]
    f, p = net.decode(params, z)[:, 0], stats.norm.pdf(z[:, 0])
    p /= p.sum()
    grid = np.linspace(f.min() - 2, f.max() + 2, 2001)
    table = stats.norm.cdf((grid[:, None] - f) / 0.3) @ p

    def cdf(x):
        return np.interp(x, grid, table)

    z, eps = rng.standard_normal((2, n, 1))
    x = net.sample(params, z, eps)
    assert ks_passes(x, cdf)[0]
    at_mean = net.sample(params, z, 0 * eps)
    np.testing.assert_array_equal(at_mean, net.decode(params, z))
    assert not ks_passes(at_mean, cdf)[0]  # controls: no noise, and the noise of s^2
    assert not ks_passes(at_mean + 0.09 * eps, cdf)[0]
    mean, var = p @ f, p @ (f - p @ f) ** 2 + 0.3**2
    assert abs(x.mean() - mean) < 5 * np.sqrt(var / n)
    spread = (x - mean) ** 2
    assert abs(spread.mean() - var) < 5 * spread.std() / np.sqrt(n)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("d", "k"), [(2, 1), (3, 1), (3, 2), (5, 2), (6, 4)])
def test_the_linear_vae_is_probabilistic_pca(d, k, seed):
    """L-BFGS on the bound finds the eigenvectors, and leaves no gap below log p."""
    mean, cov, rng = gaussian_data(d, seed)
    exact, (found, bound) = ppca(mean, cov, k), fit_linear(mean, cov, k, rng)
    np.testing.assert_allclose(found.v, mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.cov, exact.cov, rtol=0, atol=1e-12)
    marginal = exact.C @ exact.C.T + exact.cov
    got = found.C @ found.C.T + found.cov
    np.testing.assert_allclose(got, marginal, rtol=0, atol=1e-11)
    one = stats.multivariate_normal(exact.v, marginal)
    assert bound == pytest.approx(one.logpdf(corners(mean, cov)).mean(), rel=1e-12)
    # The code's coordinates are independent only where the columns of C are orthogonal:
    # C is U_k (lambda_k - s^2)^(1/2) up to the order and the signs of its columns.
    inner = found.C.T @ found.C
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), rtol=0, atol=1e-11)
    want = np.linalg.eigvalsh(exact.C.T @ exact.C)
    np.testing.assert_allclose(np.sort(np.diag(inner)), want, rtol=0, atol=1e-11)
    angles = linalg.subspace_angles(found.C, exact.C)
    np.testing.assert_allclose(angles, np.zeros(k), rtol=0, atol=1e-7)


@pytest.mark.oracle
@pytest.mark.parametrize(("d", "k"), [(3, 1), (4, 2)])
def test_ppca_is_the_maximum_of_the_likelihood(d, k):
    """SciPy, given the log density of Gaussian data, climbs to it and no higher."""
    mean, cov, rng = gaussian_data(d, 0)
    points = corners(mean, cov)

    def minus(at):
        C, s2 = at[: d * k].reshape(d, k), np.exp(at[-1])
        law = stats.multivariate_normal(at[d * k : -1], C @ C.T + s2 * np.eye(d))
        return -law.logpdf(points).mean()

    C, v, noise = ppca(mean, cov, k)
    best = np.concatenate([C.ravel(), v, [np.log(noise[0, 0])]])
    least = minus(best)
    climbed = optimize.minimize(minus, rng.standard_normal(len(best)))
    assert climbed.fun == pytest.approx(least, rel=1e-8)
    slope = optimize.approx_fprime(best, minus, 1e-6)
    np.testing.assert_allclose(slope, np.zeros(len(best)), rtol=0, atol=1e-4)
    for _ in range(20):
        assert minus(best + 0.01 * rng.standard_normal(len(best))) > least
    value = np.linalg.eigvalsh(cov)  # controls: another eigenvalue for their mean
    for s2 in {value[0], value[-k - 1]}:
        U = np.linalg.eigh(cov)[1][:, -k:]
        wrong = U * np.sqrt(value[-k:] - s2)
        at = np.concatenate([wrong.ravel(), v, [np.log(s2)]])
        assert minus(at) > least + 1e-3


@pytest.mark.limit
def test_a_round_cloud_has_nothing_to_encode():
    """All eigenvalues are equal: C = 0, the code collapses, and the bound is exact."""
    mean, cov = np.array([0.3, -1.0, 2.0]), 0.7 * np.eye(3)
    exact = ppca(mean, cov, 2)
    np.testing.assert_allclose(exact.C, np.zeros((3, 2)), rtol=0, atol=1e-7)
    np.testing.assert_allclose(exact.cov, cov, rtol=1e-13)
    found, bound = fit_linear(mean, cov, 2, np.random.default_rng(0))
    np.testing.assert_allclose(found.C, np.zeros((3, 2)), rtol=0, atol=1e-3)
    assert bound == pytest.approx(-gaussian.entropy(cov), rel=1e-12)


@pytest.mark.gradient
@pytest.mark.parametrize(("d", "k"), [(3, 2), (2, 3), (1, 1)])
def test_linear_loss_gradient(d, k):
    mean, cov, rng = gaussian_data(d, 1)
    params = 0.5 * rng.standard_normal(2 * k * d + 2 * k + d + 1)
    gradient = linear_loss(params, mean, cov, k)[1]
    check_grad(lambda p: linear_loss(p, mean, cov, k)[0], params, gradient)


@pytest.mark.identity
@pytest.mark.parametrize(("d", "k"), [(3, 2), (2, 3), (1, 1)])
def test_the_linear_loss_is_the_vaes_with_no_hidden_layer(d, k):
    """On data and noise that average quadratics as Gaussians do: value and gradient."""
    mean, cov, rng = gaussian_data(d, 2)
    shapes = [(k, d), (k,), (k,), (d, k), (d,), (1,)]
    A, b, log_std, W, v, log_s = parts = [
        0.5 * rng.standard_normal(shape) for shape in shapes
    ]
    flat = np.concatenate([part.ravel() for part in parts])
    value, gradient = linear_loss(flat, mean, cov, k)

    net = VAE(d, k, ())
    params = np.zeros(net.size)
    params[-1] = log_s[0]

    def pieces(params):
        """Views of the entries of a VAE's parameters that a linear one has."""
        phi, theta, _ = net.split(params)
        first, second = net.encoder.views(phi), net.decoder.views(theta)
        code, bias = first["W0"][:, :k].T, first["b0"]
        return code, bias[:k], bias[k:], second["W0"].T, second["b0"], params[-1:]

    for view, part in zip(pieces(params), parts, strict=True):
        view[:] = part
    x = np.repeat(corners(mean, cov), 2**k, axis=0)
    eps = np.tile(corners(np.zeros(k), np.eye(k)), (2**d, 1))
    loss, grad = net.loss(params, x, eps)
    assert value == pytest.approx(loss, rel=1e-12)
    got = np.concatenate([piece.ravel() for piece in pieces(grad)])
    np.testing.assert_allclose(gradient, got, rtol=1e-11, atol=1e-12)
    decoder = vae.Decoder(W, v, np.exp(2 * log_s) * np.eye(d))
    var = np.diag(np.exp(2 * log_std))
    points = corners(mean, cov)
    bound = vae.elbo(points, points @ A.T + b, var, decoder)
    assert value == pytest.approx(-bound.mean(), rel=1e-12)


@pytest.mark.law
def test_training_brings_a_vae_near_the_data_and_its_code_does_not_collapse():
    """Distances in noise floors; bounds on the same 2000 fresh points."""
    settings = tour.Settings("eight-gaussians", "vae", steps=1000)
    data = load_data(settings.data, settings.rng(0))
    net = tour_vae.network(settings, data)
    fresh = net.init(settings.rng(1), np.float32)
    *_, state = tour_vae.training(settings, data)
    found = [tour_vae.compare(settings, data, p, 4000) for p in (fresh, state.ema)]
    (before,), (after,) = found[0].runs, found[1].runs
    assert before.w2 > 10 * found[0].w2_floor
    assert after.w2 < 5 * found[1].w2_floor
    assert after.energy < before.energy / 3
    truth = found[1].log_likelihood
    assert before.bound[0] < -50 < after.bound[0]
    assert truth - 2 < after.bound[0] < truth - 5 * after.bound[1]
    mean, std = net.encode(state.ema, data.draw(2000, settings.rng(6)))
    assert (std.mean(axis=0) < 0.5).all()
    np.testing.assert_allclose(mean.var(axis=0), np.ones(2), rtol=0.2)


def test_bad_arguments_are_refused_by_name():
    net = NETS[0]
    params, x, eps = problem(net)
    for bad in (params[:-1], params[None], np.zeros(0)):
        for use in (net.split, lambda p: net.loss(p, x, eps)):
            with pytest.raises(ValueError, match=rf"params must be \({net.size},\)"):
                use(bad)
        with pytest.raises(ValueError, match="params must be"):
            linear_loss(bad, np.zeros(3), np.eye(3), 2)
    for bad in (eps[:-1], eps[:, :1], eps[None]):
        with pytest.raises(ValueError, match=r"eps must be \(6, 2\)"):
            net.loss(params, x, bad)
    with pytest.raises(ValueError, match="eps must be finite"):
        net.loss(params, x, eps * np.nan)
    with pytest.raises(ValueError, match="x must be finite"):
        net.loss(params, x * np.inf, eps)
    with pytest.raises(ValueError, match=r"x must be \(n, 3\)"):
        net.loss(params, x[:, :2], eps)
    with pytest.raises(ValueError):
        net.loss(params, x[:0], eps[:0])
    for use in (net.init, lambda rng: fit_linear(np.zeros(2), np.eye(2), 1, rng)):
        with pytest.raises(TypeError, match="rng must be"):
            use(0)
    for k in (0, 3, -1):
        with pytest.raises(ValueError, match=r"k must be in 1\.\.2"):
            ppca(np.zeros(3), np.eye(3), k)
    with pytest.raises(ValueError, match="rank above k"):
        ppca(np.zeros(3), np.diag([1.0, 0, 0]), 1)
    with pytest.raises(ValueError, match="cov must be finite"):
        ppca(np.zeros(3), np.full((3, 3), np.nan), 1)
    with pytest.raises(ValueError, match="mean must be finite"):
        fit_linear(np.full(3, np.inf), np.eye(3), 1, np.random.default_rng(0))


@pytest.mark.limit
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_linear_vae_is_found_in_any_units(scale):
    """Far from unit scale the search once ended at a saddle, C = 0."""
    cov = scale * np.diag([4.0, 1.0, 0.1])
    for k in (1, 2):
        for seed in range(3):
            found, bound = fit_linear(
                np.full(3, 1e4), cov, k, np.random.default_rng(seed)
            )
            best = ppca(np.full(3, 1e4), cov, k)
            got, want = (d.C @ d.C.T + d.cov for d in (found, best))
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-9 * scale)
            np.testing.assert_allclose(found.v, best.v, rtol=1e-12)
            exact = gaussian.expected_logpdf(found.v, cov, best.v, want)
            assert bound == pytest.approx(exact, rel=1e-11)


def test_what_is_no_data_for_a_linear_vae_is_refused():
    rng, mean, cov = np.random.default_rng(0), np.zeros(3), np.eye(3)
    for fit in (ppca, lambda *a: fit_linear(*a, rng)):
        for k in (0, 3, -1):
            with pytest.raises(ValueError, match=r"k must be in 1\.\.2"):
                fit(mean, cov, k)
        with pytest.raises(ValueError, match=r"mean must be \(d,\) and cov \(d, d\)"):
            fit(mean[:2], cov, 1)
        for bad in (np.diag([1.0, 0.5, -0.1]), cov + np.eye(3, k=1)):
            with pytest.raises(ValueError, match="cov must be"):
                fit(mean, bad, 1)
    with pytest.raises(ValueError, match="cov must be"):
        fit_linear(mean, np.diag([1.0, 0.5, 0.0]), 1, rng)


@pytest.mark.limit
@pytest.mark.parametrize("d", [2, 5, 11])
def test_ppca_of_round_data_is_finite(d):
    """Rounding may put an eigenvalue below s^2: C is then 0, not a root of less."""
    for scale in (1.0, 1 / 3, 0.1, 7.0):
        for k in range(1, d):
            decoder = ppca(np.zeros(d), scale * np.eye(d), k)
            assert np.isfinite(decoder.C).all()
            assert np.abs(decoder.C).max() < 1e-7
