"""Score matching: each loss has its gradient, and all have one minimum.

No equivalence is tested by sampling: expectations are sums on grids that are refined
until they stand still, over the clean point and the noise on one side, over the noisy
point on the other.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from support import check_grad, ks_passes, mixtures
from test_score import stable, world

from refdiff.kernels import LAPLACE, NORMAL, conditional_score, smoothed, student
from refdiff.langevin import annealed_chain, ladder
from refdiff.matching import (
    dsm_loss,
    esm_loss,
    ism_loss,
    least_dsm,
    ncsn_loss,
    ncsn_model,
    ssm_loss,
)
from refdiff.mixture import Mixture, from_points
from refdiff.net import MLP
from refdiff.schedule import Level
from refdiff.score import dsm_constant, kde

SEEDS = st.integers(0, 2**32 - 1)
SIGMA = st.floats(0.4, 2)
KERNELS = {  # a kernel, its law by SciPy, and the Fisher information of that law
    "normal": (NORMAL, stats.norm(), 1),
    "Laplace": (LAPLACE, stats.laplace(), 1),
    "Student 3": (student(3), stats.t(3), 2 / 3),
    "Student 5": (student(5.0), stats.t(5), 3 / 4),
}
each_kernel = pytest.mark.parametrize("name", KERNELS)
PLANE = Mixture(
    np.array([0.3, 0.7]),
    np.array([[-1.0, 0.5], [0.8, -0.3]]),
    np.array([[[0.8, 0.3], [0.3, 0.5]], [[0.6, -0.2], [-0.2, 1.0]]]),
)


def network(d, seed, hidden=(6, 5)):
    """A network and two parameter vectors: a weak one and one of full strength."""
    net, rng = MLP(d, 1.0, hidden, 1), np.random.default_rng(seed)
    return net, 0.3 * rng.standard_normal(net.size), 0.7 * rng.standard_normal(net.size)


def both(loss):
    """A loss and its gradient in one vector, for `stable`."""
    return np.append(*loss)


def noisy_world(law, sigma, n):
    """x0, z and weights that give E over both.

    In one dimension, a grid for each; in more, a grid for x = x0 + sigma z, and for z
    given x, which is Gaussian, the 2d points that have its mean and covariance: exact
    for a loss that is quadratic in z.
    """
    if law.d == 1:
        x0, w0 = world(law, n)
        z, wz = world(Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1))), n)
        pairs = np.ix_(range(len(x0)), range(n))
        i, j = (index.ravel() for index in np.broadcast_arrays(*pairs))
        return x0[i], z[j], w0[i] * wz[j]
    x0, z, w = [], [], []
    for share, mean, cov in zip(law.weights, law.means, law.covs, strict=True):
        one = Mixture(np.ones(1), mean[None], cov[None]).noised(1.0, sigma)
        x, wx = world(one, n)
        gain = sigma * np.linalg.inv(one.covs[0])
        root = np.linalg.cholesky(np.eye(law.d) - sigma * gain)
        for v in np.sqrt(law.d) * np.vstack([np.eye(law.d), -np.eye(law.d)]):
            z.append((x - mean) @ gain + root @ v)
            x0.append(x - sigma * z[-1])
            w.append(share * wx / (2 * law.d))
    return np.concatenate(x0), np.concatenate(z), np.concatenate(w)


GRIDS = {1: (61, 500), 2: (61, 500)}  # first and last size of a side
FINE = {1: (301, 20000), 2: (121, 900)}  # where a score is among the integrands


def dsm(params, net, law, sigma):
    def at(n):
        x0, z, w = noisy_world(law, sigma, n)
        return both(dsm_loss(params, net, x0, z, sigma, w=w))

    return stable(at, *GRIDS[law.d])


def esm(params, net, law, score=None):
    def at(n):
        x, w = world(law, n)
        return both(esm_loss(params, net, x, (score or law.score)(x), w=w))

    return stable(at, *FINE[law.d])


def fisher(law):
    """E ||score||^2."""

    def at(n):
        x, w = world(law, n)
        return w @ (law.score(x) ** 2).sum(axis=1)

    return stable(at, *FINE[law.d])


def assert_differ_by(more, less, constant):
    """Losses with their gradients: the losses differ by a constant, gradients do not."""
    size = max(abs(more[0]), abs(less[0]), 1)
    assert abs(more[0] - less[0] - constant) <= 1e-10 * size
    assert np.abs(more - less)[1:].max() <= 1e-9 * max(1, np.abs(less[1:]).max())


def losses(d, seed=0):
    """Every loss as a function of (params, net), over one batch; with and without w."""
    rng = np.random.default_rng(seed)
    x, y, z = rng.standard_normal((3, 7, d))
    w, sigma, i = rng.random(7), 0.1 + rng.random((7, 1)), rng.integers(1, 4, 7)
    some = {"w": w, "t": rng.random(7)}
    table = {
        "esm": lambda p, net: esm_loss(p, net, x, y),
        "esm, w": lambda p, net: esm_loss(p, net, x, y, **some),
        "ism": lambda p, net: ism_loss(p, net, x),
        "ism, w": lambda p, net: ism_loss(p, net, x, **some),
        "ssm": lambda p, net: ssm_loss(p, net, x, y),
        "ssm, w": lambda p, net: ssm_loss(p, net, x, y, **some),
        "reduced": lambda p, net: ssm_loss(p, net, x, y, reduced=True),
        "reduced, w": lambda p, net: ssm_loss(p, net, x, y, reduced=True, **some),
        "dsm, w": lambda p, net: dsm_loss(p, net, x, z, sigma, **some),
        "ncsn": lambda p, net: ncsn_loss(p, net, x, z, i, np.array([0.1, 0.5, 2])),
        "ncsn, w": lambda p, net: ncsn_loss(p, net, x, z, i, np.array([0.1, 1, 2]), w),
    }
    for name, (kernel, *_) in KERNELS.items():
        table[name] = lambda p, net, k=kernel: dsm_loss(p, net, x, z, 0.3, kernel=k)
    return table


@pytest.mark.gradient
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("name", losses(1))
def test_every_loss_has_its_gradient(name, d, hidden):
    net, loss = MLP(d, 3.0, hidden, 2), losses(d)[name]
    params = np.random.default_rng(1).standard_normal(net.size)
    value, gradient = loss(params, net)
    assert isinstance(value, float) and gradient.shape == (net.size,)
    check_grad(lambda p: loss(p, net)[0], params, gradient)


@pytest.mark.parametrize("name", losses(1))
def test_a_loss_is_the_mean_over_its_rows_in_the_precision_of_the_parameters(name):
    net = MLP(2, 3.0, (6,), 2)
    params = np.random.default_rng(1).standard_normal(net.size)
    value, gradient = losses(2)[name](params, net)
    single = losses(2)[name](params.astype(np.float32), net)
    assert single[1].dtype == np.float32
    assert single[0] == pytest.approx(value, rel=1e-4)
    np.testing.assert_allclose(single[1], gradient, 0, 1e-4 * np.abs(gradient).max())


def test_weights_of_one_over_n_are_the_default():
    net, params, _ = network(2, 0)
    x, y, z = np.random.default_rng(0).standard_normal((3, 5, 2))
    w, i = np.full(5, 0.2), np.array([1, 2, 2, 1, 2])
    calls = [
        lambda **k: esm_loss(params, net, x, y, **k),
        lambda **k: ism_loss(params, net, x, **k),
        lambda **k: ssm_loss(params, net, x, y, **k),
        lambda **k: dsm_loss(params, net, x, z, 0.5, **k),
        lambda **k: ncsn_loss(params, net, x, z, i, np.array([0.5, 1.0]), **k),
    ]
    for call in calls:
        np.testing.assert_array_equal(both(call()), both(call(w=w)))
        alone = [call(w=row)[0] for row in np.eye(5)]
        assert call()[0] == pytest.approx(np.mean(alone), rel=1e-13)


def test_an_untrained_network_loses_half_the_square_of_its_target():
    """Summed over d, with the 1/2; and nothing where the score is not asked for."""
    net = MLP(3, 1.0, (4,), 1)
    params = net.init(np.random.default_rng(0))
    x, z = np.random.default_rng(0).standard_normal((2, 5, 3))
    half = 0.5 * np.linalg.norm(z) ** 2 / 5
    assert esm_loss(params, net, x, z)[0] == pytest.approx(half, rel=1e-14)
    assert dsm_loss(params, net, x, z, 0.1)[0] == pytest.approx(100 * half, rel=1e-12)
    i = np.array([1, 2, 1, 2, 1])
    got = ncsn_loss(params, net, x, z, i, np.array([0.1, 7.0]))[0]
    assert got == pytest.approx(half, rel=1e-12)
    assert ism_loss(params, net, x)[0] == ssm_loss(params, net, x, z)[0] == 0


@pytest.mark.identity
@given(law=mixtures(d=1), sigma=SIGMA, seed=SEEDS)
def test_dsm_minus_esm_is_constant(law, sigma, seed):
    """Explicit matching is that of the smoothed density q, whatever the network.

    The constant is d / (2 sigma^2) - E||grad log q||^2 / 2; dsm_constant for a Gaussian.
    """
    net, *both_params = network(1, seed)
    q = law.noised(1.0, sigma)
    constant = 1 / (2 * sigma**2) - fisher(q) / 2
    if len(law.weights) == 1:
        assert dsm_constant(law.cov, sigma) == pytest.approx(constant, rel=1e-9)
    for params in both_params:
        assert_differ_by(dsm(params, net, law, sigma), esm(params, net, q), constant)


@pytest.mark.identity
@pytest.mark.parametrize("sigma", [0.5, 1.3])
@pytest.mark.parametrize(
    "law", [PLANE, Mixture(np.ones(1), PLANE.means[:1], PLANE.covs[1:])]
)
def test_dsm_minus_esm_is_constant_in_the_plane(law, sigma):
    net, *both_params = network(2, 3)
    q = law.noised(1.0, sigma)
    constant = 1 / sigma**2 - fisher(q) / 2
    if len(law.weights) == 1:
        assert dsm_constant(law.cov, sigma) == pytest.approx(constant, rel=1e-10)
    for params in both_params:
        assert_differ_by(dsm(params, net, law, sigma), esm(params, net, q), constant)


@pytest.mark.control
@pytest.mark.parametrize("where", ["noisy points", "clean points"])
def test_dsm_is_not_explicit_matching_of_the_clean_density(where):
    """Wherever the network is asked, the clean score is not what it learns."""
    law, sigma = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1))), 0.8
    q = law.noised(1.0, sigma) if where == "noisy points" else law
    net, *both_params = network(1, 0)
    apart = [dsm(p, net, law, sigma) - esm(p, net, q, law.score) for p in both_params]
    assert abs(apart[1][0] - apart[0][0]) > 0.02
    assert np.abs(apart[1][1:]).max() > 0.02


def wrong_dsm(kind, params, net, x0, z, sigma, w):
    """Denoising score matching with one slip, the loss alone."""
    x, half = x0 + sigma * z, 0.5
    if kind == "no half":
        return 2 * dsm_loss(params, net, x0, z, sigma, w=w)[0]
    if kind == "no square":
        error = net.forward(params, x, 0.0)[0] + z / sigma
        return half * w @ np.linalg.norm(error, axis=1)
    target = {
        "none": -z / sigma,
        "sign": z / sigma,
        "sigma squared": -z / sigma**2,
        "no sigma": -z,
    }[kind]
    return esm_loss(params, net, x, target, w=w)[0]


@pytest.mark.control
@pytest.mark.parametrize(
    "kind", ["none", "sign", "sigma squared", "no sigma", "no half", "no square"]
)
def test_a_slip_in_dsm_makes_its_distance_from_esm_vary(kind):
    net, *both_params = network(2, 0)
    sigma, gaps = 0.6, []
    x0, z, w = noisy_world(PLANE, sigma, 81)
    for params in both_params:
        less = esm(params, net, PLANE.noised(1.0, sigma))[0]
        gaps.append(wrong_dsm(kind, params, net, x0, z, sigma, w) - less)
    assert (abs(gaps[1] - gaps[0]) < 1e-10) == (kind == "none")
    assert kind == "none" or abs(gaps[1] - gaps[0]) > 1e-2


def ism(params, net, law, slip=0):
    def at(n):
        x, w = world(law, n)
        square = both(esm_loss(params, net, x, 0 * x, w=w))
        return both(ism_loss(params, net, x, w=w)) + slip * square

    return stable(at, *FINE[law.d])


def assert_implicit_is_explicit(law, seed):
    net, *both_params = network(law.d, seed)
    for params in both_params:
        more, less = esm(params, net, law), ism(params, net, law)
        assert_differ_by(more, less, fisher(law) / 2)


@pytest.mark.identity
@given(law=mixtures(d=1), seed=SEEDS)
def test_esm_minus_ism_is_constant(law, seed):
    """It is E||score||^2 / 2, for every network."""
    assert_implicit_is_explicit(law, seed)


@pytest.mark.identity
def test_esm_minus_ism_is_constant_in_the_plane():
    """And, the control, not where the square lost its 1/2 or changed its sign."""
    assert_implicit_is_explicit(PLANE, 5)
    net, *both_params = network(2, 5)
    for slip in (1, -2):
        more, less = (
            esm(p, net, PLANE) - ism(p, net, PLANE, slip) for p in both_params
        )
        assert abs(more[0] - less[0]) > 1e-2
        assert np.abs(more[1:]).max() > 1e-2


def directions(d, law):
    """Rows v and their probabilities, with E[v v^T] = I."""
    if law == "axes":
        v = np.sqrt(d) * np.vstack([np.eye(d), -np.eye(d)])
    elif law == "signs":
        v = np.array([*product([-1.0, 1.0], repeat=d)])
    else:  # three nodes a side have the moments of a Gaussian up to the fifth
        u, p = np.polynomial.hermite_e.hermegauss(3)
        p = p / p.sum()
        v = np.array([*product(u, repeat=d)])
        return v, np.prod([*product(p, repeat=d)], axis=1)
    return v, np.full(len(v), 1 / len(v))


@pytest.mark.identity
@pytest.mark.parametrize("law", ["axes", "signs", "Gaussian"])
@pytest.mark.parametrize("reduced", [False, True])
@given(seed=SEEDS, d=st.integers(1, 3))
def test_sliced_matching_is_implicit_matching_on_average(law, reduced, seed, d):
    """Over directions with E[v v^T] = I, at any points, for loss and gradient."""
    net, _, params = network(d, seed)
    rng, (v, p) = np.random.default_rng(seed), directions(d, law)
    x, w = rng.standard_normal((4, d)), rng.random(4)
    many, along = np.repeat(x, len(v), axis=0), np.tile(v, (4, 1))
    got = ssm_loss(params, net, many, along, 0.0, np.outer(w, p).ravel(), reduced)
    want = both(ism_loss(params, net, x, w=w))
    np.testing.assert_allclose(both(got), want, 0, 1e-12 * max(1, np.abs(want).max()))
    wrong = ssm_loss(params, net, many, 2 * along, 0.0, np.outer(w, p).ravel(), reduced)
    assert np.abs(both(wrong) - want).max() > 1e-6 * np.abs(want).max()


def variance(params, net, x, v, p, reduced):
    """Variance of one row's sliced loss over rows of x and directions of weight p."""
    values = [
        ssm_loss(params, net, a[None], b[None], reduced=reduced)[0]
        for a, b in zip(x, v, strict=True)
    ]
    return p @ np.square(values) - (p @ values) ** 2


@pytest.mark.identity
@pytest.mark.parametrize("law", ["signs", "Gaussian"])
@given(seed=SEEDS, d=st.integers(1, 3))
def test_the_reduced_forms_variance_is_that_of_its_slice_alone(law, seed, d):
    """At a point both forms are v^T A v plus a constant: A = J reduced, J + s s^T / 2 not.

    Its variance is 2 ||A||^2 for Gaussian v, off the diagonal alone for signs. Far from
    the minimum, where s is large, that of the reduced form is the smaller one.
    """
    net, _, params = network(d, seed)
    x, (v, p) = np.random.default_rng(seed).standard_normal((1, d)), directions(d, law)
    s, cache = net.forward(params, x, 0.0)
    J = np.array([net.jvp(cache, e[None])[0] for e in np.eye(d)]).T
    off = 1 - np.eye(d) if law == "signs" else 1
    for reduced in (True, False):
        A = (J + J.T) / 2 + (0 if reduced else s.T @ s / 2)
        want = 2 * np.sum((off * A) ** 2)
        got = variance(params, net, np.repeat(x, len(v), 0), v, p, reduced)
        assert got == pytest.approx(want, rel=1e-9, abs=1e-12)
    strong = net.views(params)
    strong["b2"][:] = 100
    rows = np.repeat(x, len(v), 0)
    less, more = (variance(params, net, rows, v, p, r) for r in (True, False))
    assert less < more or (d == 1 and law == "signs")


@pytest.mark.limit
@pytest.mark.parametrize(("d", "gain"), [(1, -0.5), (2, 0.0), (3, 1.5)])
def test_at_the_score_of_white_data_the_reduced_form_gains_above_two_dimensions(
    d, gain
):
    """Gaussian v: in one dimension it has MORE variance. With signs it has none at all.

    Over x and v together, exactly: three nodes a side for each.
    """
    net = MLP(d, 1.0, (), 0)
    params = np.append(-np.eye(d).ravel(), np.zeros(d))
    x, px = directions(d, "Gaussian")
    plain, reduced = [], []
    for law, found in product(("Gaussian", "signs"), ((plain, False), (reduced, True))):
        v, pv = directions(d, law)
        rows, along = np.repeat(x, len(v), 0), np.tile(v, (len(x), 1))
        p = np.outer(px, pv).ravel()
        found[0].append(variance(params, net, rows, along, p, found[1]))
    assert plain[0] - reduced[0] == pytest.approx(gain, abs=1e-11)
    of_x = variance(params, net, x, 0 * x + 1.0, px, True)  # all that signs leave
    assert reduced[1] == pytest.approx(of_x, abs=1e-11)
    assert plain[1] - reduced[1] == pytest.approx(d * (d - 1) / 2, abs=1e-11)


def least_squares(loss, size):
    """Minimum of a quadratic loss from its gradient at 0 and at the unit vectors."""
    start = loss(np.zeros(size))[1]
    H = np.array([loss(e)[1] - start for e in np.eye(size)])
    return np.linalg.solve(H, -start)


@pytest.mark.oracle
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_least_squares_of_a_linear_score_returns_the_moments(sigma):
    """a x + b is the score of the Gaussian with q's mean and covariance, by every loss."""
    net = MLP(2, 1.0, (), 0)
    x0, z, w = noisy_world(PLANE, sigma, 151)
    x, mean, cov = x0 + sigma * z, PLANE.mean, PLANE.cov + sigma**2 * np.eye(2)
    score = PLANE.noised(1.0, sigma).score(x)
    v = np.sqrt(2) * np.eye(2)
    twice = np.repeat(x, 2, 0), np.tile(v, (len(x), 1)), 0.0, np.repeat(w, 2) / 2
    found = {
        "dsm": lambda p: dsm_loss(p, net, x0, z, sigma, w=w),
        "esm": lambda p: esm_loss(p, net, x, score, w=w),
        "ism": lambda p: ism_loss(p, net, x, w=w),
        "ssm": lambda p: ssm_loss(p, net, *twice),
        "reduced": lambda p: ssm_loss(p, net, *twice, True),
    }
    for name, loss in found.items():
        pieces = net.views(least_squares(loss, net.size))
        np.testing.assert_allclose(
            pieces["W0"], -np.linalg.inv(cov), 1e-9, err_msg=name
        )
        np.testing.assert_allclose(pieces["b0"], np.linalg.solve(cov, mean), 1e-9)


@pytest.mark.oracle
@pytest.mark.parametrize(("mu", "v", "sigma"), [(0, 1, 1), (1.5, 0.3, 0.2), (-2, 4, 3)])
def test_a_linear_score_learns_a_gaussians(mu, v, sigma):
    """-1 / (v + sigma^2) and mu / (v + sigma^2), and loses dsm_constant there."""
    law = Mixture(np.ones(1), np.array([[mu]]), np.array([[[v]]]))
    x0, z, w = noisy_world(law, sigma, 81)
    net = MLP(1, 1.0, (), 0)
    best = least_squares(lambda p: dsm_loss(p, net, x0, z, sigma, w=w), net.size)
    np.testing.assert_allclose(best, np.array([-1, mu]) / (v + sigma**2), 1e-11, 1e-12)
    least = dsm_loss(best, net, x0, z, sigma, w=w)[0]
    assert least == pytest.approx(dsm_constant(law.cov, sigma), rel=1e-11)


@pytest.mark.oracle
@each_kernel
def test_kernels_are_their_laws(name):
    kernel, law, _ = KERNELS[name]
    u = np.linspace(-9, 9, 74)
    np.testing.assert_allclose(kernel.logpdf(u), law.logpdf(u), rtol=1e-13, atol=1e-14)
    check_grad(lambda u: law.logpdf(u).sum(), u, kernel.score(u))

    def moment(k):
        halves = [(-np.inf, 0), (0, np.inf)]
        return sum(
            integrate.quad(lambda u: u**k * np.exp(kernel.logpdf(u)), *h)[0]
            for h in halves
        )

    assert moment(0) == pytest.approx(1, abs=1e-8)
    assert moment(2) == pytest.approx(law.var(), rel=1e-6)
    draws = kernel.sample((500, 1000), np.random.default_rng(0))
    assert draws.shape == (500, 1000)
    assert ks_passes(draws, law.cdf)[0]
    for other in (stats.t(4), stats.t(6)):  # the control: near laws are told apart
        assert not ks_passes(draws, other.cdf)[0]


@each_kernel
def test_the_score_jumps_at_the_kinks_alone(name):
    kernel = KERNELS[name][0]
    u = np.linspace(-3, 3, 6001)
    jump = np.abs(np.diff(kernel.score(u + 5e-4)))
    at = u[1:][jump > 0.1]
    np.testing.assert_allclose(at, kernel.kinks, atol=1e-9)


@pytest.mark.gradient
@each_kernel
@pytest.mark.parametrize("sigma", [1e-3, 0.4, 30.0])
def test_the_conditional_score_is_the_gradient(name, sigma):
    kernel, law, _ = KERNELS[name]
    x, x0 = sigma * np.random.default_rng(0).standard_normal((2, 4, 3))
    got = conditional_score(x, x0, sigma, kernel)

    def f(x):
        return law.logpdf((x - x0) / sigma).sum()

    check_grad(f, x, got, step=1e-6 * sigma)
    np.testing.assert_array_equal(got[0], conditional_score(x[0], x0[0], sigma, kernel))


@pytest.mark.gradient
@each_kernel
@pytest.mark.parametrize("d", [1, 2])
def test_the_smoothed_score_is_the_gradient(name, d):
    """Of the log of SciPy's own sum over the data; finite far out in the tails."""
    kernel, law, _ = KERNELS[name]
    points, x = np.random.default_rng(d).standard_normal((2, 5, d))
    for sigma in (0.2, 1.7):

        def log_density(x):
            each = law.pdf((x[:, None] - points) / sigma) / sigma  # noqa: B023
            return np.log(np.mean(np.prod(each, axis=2), axis=1))

        value, score = smoothed(x, points, sigma, kernel)
        np.testing.assert_allclose(value, log_density(x), rtol=1e-12, atol=1e-12)
        check_grad(lambda x: log_density(x).sum(), x, score, step=1e-6)
        far, last = smoothed(x + 1e4, points, sigma, kernel)
        assert np.isfinite(far).all() and (last < 0).all()


@pytest.mark.identity
@given(sigma=SIGMA, seed=SEEDS, d=st.integers(1, 3), M=st.integers(1, 5))
def test_data_smoothed_by_a_normal_kernel_are_a_mixture(sigma, seed, d, M):
    rng = np.random.default_rng(seed)
    points, x = rng.standard_normal((M, d)), 3 * rng.standard_normal((2, 4, d))
    value, score = smoothed(x, points, sigma, NORMAL)
    for law in (kde(points, sigma), from_points(points).noised(1.0, sigma)):
        np.testing.assert_allclose(value, law.logpdf(x), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(score, law.score(x), rtol=1e-11, atol=1e-11)


def rule(kernel, law, kinks, panels):
    """Nodes and weights that give E over one coordinate of the noise, split at kinks.

    Sixteen Gauss nodes a panel; for heavy tails as many steps of u, with z = sinh(u).
    """
    if "Student" in kernel.name:
        u, step = np.linspace(-34, 34, 16 * panels, retstep=True)
        return np.sinh(u), step * np.cosh(u) * law.pdf(np.sinh(u))
    end = 45.0 if kernel.kinks else 12.0
    pieces = np.linspace(-end, end, panels + 1)
    edges = np.unique(np.concatenate([pieces, np.clip(kinks, -end, end)]))
    u, p = np.polynomial.legendre.leggauss(16)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (1 + u)).ravel()
    return z, (half * p).ravel() * law.pdf(z)


def kernel_world(points, sigma, kernel, law, panels):
    """x0, z and weights: the data, and product noise on a grid split at every kink of q."""
    M, d = points.shape
    x0, z, w = [], [], []
    for point in points:
        away = (points - point) / sigma
        kinks = [[k + a for k in kernel.kinks for a in away[:, j]] for j in range(d)]
        axes = [rule(kernel, law, np.array(k), panels) for k in kinks]
        nodes = np.meshgrid(*[u for u, _ in axes], indexing="ij")
        mass = np.meshgrid(*[p for _, p in axes], indexing="ij")
        z.append(np.stack(nodes, axis=-1).reshape(-1, d))
        w.append(np.prod(mass, axis=0).ravel() / M)
        x0.append(np.broadcast_to(point, z[-1].shape))
    return np.concatenate(x0), np.concatenate(z), np.concatenate(w)


def assert_dsm_is_esm(name, points, sigma, seed, hidden, panels, most):
    kernel, law, information = KERNELS[name]
    d = points.shape[1]
    net, *both_params = network(d, seed, hidden)

    def at(panels):
        x0, z, w = kernel_world(points, sigma, kernel, law, panels)
        score = smoothed(x0 + sigma * z, points, sigma, kernel)[1]
        found = [w @ (score**2).sum(axis=1)]
        for p in both_params:
            found.extend(both(dsm_loss(p, net, x0, z, sigma, w=w, kernel=kernel)))
            found.extend(both(esm_loss(p, net, x0 + sigma * z, score, w=w)))
        return np.array(found)

    square, *found = stable(at, panels, most)
    for more, less in np.reshape(found, (2, 2, -1)):
        assert_differ_by(more, less, d * information / (2 * sigma**2) - square / 2)


@pytest.mark.identity
@each_kernel
@settings(max_examples=15)
@given(
    points=st.lists(st.integers(-30, 30), min_size=1, max_size=4, unique=True),
    sigma=SIGMA,
    seed=SEEDS,
)
def test_dsm_minus_esm_is_constant_for_any_kernel(name, points, sigma, seed):
    """On data smoothed by noise that is not Gaussian; C from its Fisher information."""
    assert_dsm_is_esm(name, np.array(points)[:, None] / 10, sigma, seed, (5,), 10, 700)


@pytest.mark.identity
@each_kernel
def test_dsm_minus_esm_is_constant_for_any_kernel_in_the_plane(name):
    """For heavy tails a linear network: others have creases that no grid follows out."""
    hidden, panels = ((), 20) if "Student" in name else ((5,), 5)
    points = np.array([[0.0, 0.2], [0.5, -0.2]])
    assert_dsm_is_esm(name, points, 1.2, 0, hidden, panels, 30)


@pytest.mark.control
@pytest.mark.parametrize("name", ["Laplace", "Student 3", "Student 5"])
def test_a_gaussian_target_for_other_noise_is_not_explicit_matching(name):
    kernel, law, _ = KERNELS[name]
    points, sigma = np.array([[-0.5], [0.7]]), 0.6
    net, *both_params = network(1, 0, (5,))
    x0, z, w = kernel_world(points, sigma, kernel, law, 80)
    score = smoothed(x0 + sigma * z, points, sigma, kernel)[1]
    for params in both_params:
        _, less = esm_loss(params, net, x0 + sigma * z, score, w=w)
        for used in (kernel, NORMAL):
            _, more = dsm_loss(params, net, x0, z, sigma, w=w, kernel=used)
            assert (np.abs(more - less).max() < 1e-9) == (used is kernel)


class Says(NamedTuple):
    """A network without parameters that says what a function does."""

    score: Callable

    def forward(self, params, x, t):
        return self.score(x), params

    def backward(self, cache, dy):
        return cache, dy


@pytest.mark.oracle
@pytest.mark.parametrize("law", [PLANE, None])
@pytest.mark.parametrize("sigma", [0.5, 1.3])
def test_the_least_dsm_is_reached_by_the_score(law, sigma):
    """And 0.01 sin x beside the score costs half its mean square."""
    law = law or Mixture(
        np.array([0.4, 0.6]), np.array([[-1.0], [1]]), np.full((2, 1, 1), 0.3)
    )
    q, none = law.noised(1.0, sigma), np.zeros(0)

    def at(n):
        x0, z, w = noisy_world(law, sigma, n)
        beside = Says(lambda x: q.score(x) + 0.01 * np.sin(x))
        more = [
            dsm_loss(none, net, x0, z, sigma, w=w)[0] for net in (Says(q.score), beside)
        ]
        x, w = world(q, n)
        want = [w @ least_dsm(law, x, sigma), w @ (np.sin(x) ** 2).sum(axis=1)]
        return np.array([*more, *want])

    least, more, want, square = stable(at, 61, 1000)
    assert least == pytest.approx(want, rel=1e-11)
    assert more - least == pytest.approx(0.5e-4 * square, rel=1e-6)


@pytest.mark.oracle
def test_the_least_dsm_on_a_data_set():
    """Zero for one point, whose noise can be read off; by the same quadrature for three."""
    points, sigma = np.array([[-1.0], [0.2], [1.5]]), 0.7
    alone = least_dsm(from_points(points[:1]), points, sigma)
    np.testing.assert_array_equal(alone, np.zeros(3))
    x0, z, w = kernel_world(points, sigma, *KERNELS["normal"][:2], 40)
    exact = Says(lambda x: smoothed(x, points, sigma, NORMAL)[1])
    got = dsm_loss(np.zeros(0), exact, x0, z, sigma, w=w)[0]
    want = w @ least_dsm(from_points(points), x0 + sigma * z, sigma)
    assert got == pytest.approx(want, rel=1e-11)
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="sigma must be"):
            least_dsm(from_points(points), points, bad)


class Scaled(NamedTuple):
    """A network that gives sigma_i times the output of another, at level i."""

    net: MLP
    sigma: np.ndarray

    def forward(self, params, x, t):
        y, cache = self.net.forward(params, x, t)
        return self.sigma[t - 1, None] * y, (cache, self.sigma[t - 1, None])

    def backward(self, cache, dy):
        return self.net.backward(cache[0], cache[1] * dy)


@pytest.mark.identity
@given(seed=SEEDS, L=st.integers(1, 4), weighted=st.booleans())
def test_ncsn_is_denoising_at_every_level_weighted_by_its_variance(seed, L, weighted):
    """lambda = sigma^2; with sigma for it, the control, the sum is another."""
    rng, n = np.random.default_rng(seed), 12
    net, sigma = MLP(2, float(L), (6, 5), 2), ladder(0.1, 5.0, 4)[:L]
    params, i = rng.standard_normal(net.size), 1 + np.arange(n) % L
    x0, z = rng.standard_normal((2, n, 2))
    w = rng.random(n) if weighted else np.full(n, 1 / n)
    given_w = {"w": w} if weighted else {}
    got = both(ncsn_loss(params, Scaled(net, sigma), x0, z, i, sigma, **given_w))
    for power in (2, 1):
        want = np.zeros(1 + net.size)
        for k, s in enumerate(sigma, 1):
            at = i == k
            one = dsm_loss(params, net, x0[at], z[at], s, t=k, w=w[at])
            want += s**power * both(one)
        close = np.abs(got - want).max() <= 1e-11 * np.abs(want).max()
        assert close == (power == 2)


@pytest.mark.identity
@given(law=mixtures(), seed=SEEDS)
def test_the_ncsn_model_undoes_the_scale(law, seed):
    """A network that gives sigma_i times the exact score runs as the exact score does."""
    rng, sigma = np.random.default_rng(seed), ladder(0.2, 2.0, 4)
    x = rng.standard_normal((3, law.d))

    def y_hat(x, t):
        return sigma[int(t) - 1] * law.noised(1.0, sigma[int(t) - 1]).score(x)

    for i, s in enumerate(sigma, 1):
        level = Level(1.0, s, float(i))
        got = ncsn_model(y_hat, x, level)
        np.testing.assert_allclose(got, law.model(x, level), rtol=1e-12, atol=1e-13)
    chain = annealed_chain(sigma, 0.01, 2)
    z = rng.standard_normal((8, *x.shape))
    *_, ours = chain.run(x, lambda x, level: ncsn_model(y_hat, x, level), z=z)
    *_, want = chain.run(x, law.model, z=z)
    np.testing.assert_allclose(ours, want, rtol=1e-10, atol=1e-10)


def test_bad_arguments_are_refused_by_name():
    net, params, _ = network(2, 0)
    x, z, i, sigma = np.ones((3, 2)), np.ones((3, 2)), np.array([1, 2, 1]), np.ones(2)
    calls = {
        "esm": lambda x, **k: esm_loss(params, net, x, 0 * x, **k),
        "ism": lambda x, **k: ism_loss(params, net, x, **k),
        "ssm": lambda x, **k: ssm_loss(params, net, x, 0 * x + 1, **k),
        "dsm": lambda x, **k: dsm_loss(params, net, x, 0 * x, 1.0, **k),
    }
    for call in calls.values():
        with pytest.raises(ValueError, match="at least one point"):
            call(x[:0])
        with pytest.raises(ValueError, match=r"w must be \(3,\); got shape \(2,\)"):
            call(x, w=np.ones(2))
        with pytest.raises(ValueError, match="w must be finite"):
            call(x, w=np.full(3, np.nan))
        with pytest.raises(ValueError, match="must be finite"):
            call(np.full((3, 2), np.nan))
    for bad in (0.0, -1.0):
        for call in (
            lambda: dsm_loss(params, net, x, z, bad),  # noqa: B023
            lambda: ncsn_loss(params, net, x, z, i, np.array([1, bad])),  # noqa: B023
            lambda: smoothed(x, x, bad, NORMAL),  # noqa: B023
            lambda: conditional_score(x, x, bad, NORMAL),  # noqa: B023
        ):
            with pytest.raises(ValueError, match="sigma must be"):
                call()
    for bad in (i - 1, i + 1):
        with pytest.raises(ValueError, match=r"i must be in 1\.\.2; got"):
            ncsn_loss(params, net, x, z, bad, sigma)
    for nu in (2, 0, np.nan, np.inf):
        with pytest.raises(ValueError, match="nu must be"):
            student(nu)


def test_noise_or_scores_of_another_batch_are_refused():
    """Where NumPy would give every point the same one."""
    net, params, _ = network(2, 0)
    x, one, i = np.ones((3, 2)), np.ones((1, 2)), np.array([1, 2, 1])
    for call in (
        lambda: esm_loss(params, net, x, one),
        lambda: ssm_loss(params, net, x, one),
        lambda: dsm_loss(params, net, x, one, 0.5),
        lambda: ncsn_loss(params, net, x, one, i, np.ones(2)),
        lambda: ncsn_loss(params, net, x, x, i[:1], np.ones(2)),
    ):
        with pytest.raises(ValueError):
            call()


def test_data_of_another_dimension_are_refused():
    with pytest.raises(ValueError):
        smoothed(np.ones((3, 1)), np.ones((4, 2)), 1.0, NORMAL)
    with pytest.raises(ValueError):
        conditional_score(np.ones((3, 1)), np.ones((3, 2)), 1.0, NORMAL)


def test_arrays_of_no_batch_and_levels_of_none_are_refused():
    net = MLP(2, 1.0, (4,), 0)
    params, x = np.zeros(net.size), np.zeros((3, 2))
    sigma = np.array([0.1, 1.0])
    for call in (
        lambda y: esm_loss(params, net, x, y),
        lambda y: ssm_loss(params, net, x, y),
        lambda y: dsm_loss(params, net, x, y, 0.5),
        lambda y: ncsn_loss(params, net, x, y, np.array([1, 1, 2]), sigma),
    ):
        with pytest.raises(ValueError, match=r"one batch \(n, d\): .*\(1, 2\)"):
            call(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"sigma must be a number or \(n, 1\)"):
        dsm_loss(params, net, x[:2], x[:2], sigma)
    with pytest.raises(ValueError, match="sigma must be finite"):
        dsm_loss(params, net, x, x, np.nan)
    for i in (np.array([1]), np.array([1.0, 2.0, 1.0]), [[1], [2], [1]]):
        with pytest.raises(ValueError, match=r"i must be \(3,\) integers"):
            ncsn_loss(params, net, x, x, i, sigma)
    with pytest.raises(ValueError, match=r"i must be in 1\.\.2"):
        ncsn_loss(params, net, x, x, np.array([0, 1, 2]), sigma)


@pytest.mark.oracle
@pytest.mark.parametrize("nu", [2.5, 3.0, 39.0, 41.0, 1e3, 1e8, 1e16, 1e30])
def test_the_student_density_holds_for_any_nu(nu):
    """At u = 0 against 60 digits: lgamma's difference lost 18 nats at nu = 1e16."""
    with mp.workdps(60 + 2 * int(np.log10(nu))):
        v = mp.mpf(nu)
        want = mp.loggamma((v + 1) / 2) - mp.loggamma(v / 2) - mp.log(v * mp.pi) / 2
        assert abs(student(nu).logpdf(np.zeros(1))[0] - want) < 2e-14 * (1 + abs(want))


def test_a_smoothed_set_needs_points_and_one_sigma():
    x = np.zeros((3, 2))
    for points, sigma in ((x, np.ones((3, 1))), (x[0], 1.0), (x[:0], 1.0)):
        with pytest.raises(
            ValueError, match=r"points must be \(M, d\) and sigma a number"
        ):
            smoothed(x, points, sigma, NORMAL)
    with pytest.raises(ValueError, match="last axis"):
        smoothed(x, np.zeros((4, 1)), 1.0, NORMAL)


def test_denoising_tells_the_network_its_level():
    """The loss at a label t is the explicit one there, at the noised points."""
    net = MLP(2, 1.0, (4,), 2)
    rng = np.random.default_rng(0)
    params, x, z = rng.standard_normal(net.size), *rng.standard_normal((2, 3, 2))
    got, _ = dsm_loss(params, net, x, z, 0.5, t=0.7)
    assert got == pytest.approx(esm_loss(params, net, x + 0.5 * z, -2 * z, t=0.7)[0])
    assert got != pytest.approx(dsm_loss(params, net, x, z, 0.5)[0], rel=1e-3)
    with pytest.raises(ValueError, match="cov must be finite"):
        dsm_constant(np.full((2, 2), np.nan), 1.0)
