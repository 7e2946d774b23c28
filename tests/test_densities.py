"""Densities of the plane: gradients, Stein's identities, minima, the law of runs."""

import numba
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize, root
from support import check_grad, ks_passes

from refdiff import densities
from refdiff.densities import banana, double_well, mueller_brown, ring
from refdiff.langevin import langevin_chain

ALL = {"ring": ring, "banana": banana, "well": double_well, "mueller": mueller_brown}
BOX = {  # where all but 1e-10 of the mass is
    "ring": [(-4, 4), (-4, 4)],
    "banana": [(-8, 8), (-4, 64)],
    "well": [(-3, 3), (-4, 4)],
    "mueller": [(-3.5, 3), (-2, 4)],
}


def quadrature(name, m=1600):
    """Points of a fine grid, and the weights that integrate against the density."""
    axes = [np.linspace(*side, m) for side in BOX[name]]
    x = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    log_p = ALL[name]().log_p(x)
    p = np.exp(log_p - log_p.max())
    return x, p / p.sum()


@pytest.mark.gradient
@pytest.mark.parametrize("name", ALL)
def test_the_score_is_the_gradient(name):
    x = np.random.default_rng(1).uniform(-1.5, 1.5, (7, 3, 2))
    law = ALL[name]()
    assert law.log_p(x).shape == (7, 3)
    check_grad(lambda x: law.log_p(x).sum(), x, law.score(x))


@pytest.mark.gradient
@pytest.mark.parametrize(
    "law", [ring(1.3, 0.4), banana(0.7, -0.4, 1.1), double_well(0.8, 2.0)]
)
def test_the_score_is_the_gradient_for_other_parameters(law):
    x = np.random.default_rng(2).uniform(-2, 2, (9, 2))
    check_grad(lambda x: law.log_p(x).sum(), x, law.score(x))


@pytest.mark.oracle
@pytest.mark.parametrize("name", ALL)
def test_scores_satisfy_steins_identities(name):
    """E score = 0 and E x score^T = -I, summed over a grid."""
    x, p = quadrature(name)
    score = ALL[name]().score(x)
    np.testing.assert_allclose(p @ score, 0, atol=1e-8)
    np.testing.assert_allclose((p[:, None] * x).T @ score, -np.eye(2), atol=1e-7)


@pytest.mark.control
def test_a_score_of_another_temperature_fails_steins_identities():
    x, p = quadrature("mueller")
    moment = (p[:, None] * x).T @ mueller_brown(21.0).score(x)
    assert abs(moment + np.eye(2)).max() > 0.01


@pytest.mark.oracle
def test_moments_are_those_of_the_stated_laws():
    """The banana's law is a bent Gaussian's, and r^2 on the ring a cut-off Gaussian's."""
    x, p = quadrature("banana", 2400)
    np.testing.assert_allclose(p @ x, 0, atol=1e-9)
    np.testing.assert_allclose(p @ x**2, [1, 0.3**2 + 2], rtol=1e-8)
    x, p = quadrature("ring")
    square = (x**2).sum(axis=1)
    law = stats.truncnorm(-4 / 0.8, np.inf, 4, 0.8)
    assert p @ square == pytest.approx(law.mean(), rel=1e-5)
    assert p @ square**2 == pytest.approx(law.moment(2), rel=1e-5)
    x, p = quadrature("well")
    assert p @ x[:, 1] ** 2 == pytest.approx(0.25, rel=1e-9)
    near, at_pass = double_well(3.0).log_p(np.array([[-1.0, 0], [0.0, 0]]))
    assert near - at_pass == 3


MINIMA = {(-0.558, 1.442): -146.70, (0.623, 0.028): -108.17, (-0.050, 0.467): -80.77}
PASSES = {(-0.822, 0.624): -40.66, (0.212, 0.293): -72.25}


@pytest.mark.oracle
def test_mueller_brown_has_its_published_minima_and_passes():
    law = mueller_brown(1.0)
    for place, energy in MINIMA.items():
        found = minimize(lambda x: -law.log_p(x), place, method="BFGS", tol=1e-8)
        np.testing.assert_allclose(found.x, place, atol=1e-3)
        assert found.fun == pytest.approx(energy, abs=5e-3)
    for place, energy in PASSES.items():
        found = root(law.score, place)
        np.testing.assert_allclose(found.x, place, atol=1e-3)
        assert -law.log_p(found.x) == pytest.approx(energy, abs=6e-3)
        assert signs(law, found.x) == [-1, 1]
    assert [signs(law, np.array(place)) for place in MINIMA] == [[-1, -1]] * 3


def signs(law, x, h=1e-5):
    """Signs of the curvatures of log p, by differences of the score."""
    H = [(law.score(x + e) - law.score(x - e)) / (2 * h) for e in h * np.eye(2)]
    return np.sign(np.linalg.eigvalsh(np.array(H))).tolist()


def radius_squared(x):
    return (x**2).sum(axis=-1)


CDF = {
    "ring": (radius_squared, stats.truncnorm(-5, np.inf, 4, 0.8).cdf),
    "banana": (lambda x: x[:, 1] - x[:, 0] ** 2 + 1, stats.norm(0, 0.3).cdf),
}


def run(law, x, tau, steps, pull=1.0):
    """Langevin from x; `pull` times the score is the wrong form where it is not 1."""

    def model(x, level):
        return pull * law.score(x)

    rng = np.random.default_rng(5)
    *_, x = langevin_chain(tau, steps).run(x, model, rng=rng)
    return x


@pytest.mark.law
@pytest.mark.parametrize("name", CDF)
def test_langevin_runs_have_the_law(name):
    """From one point: 2000 particles, 2000 steps, whose bias is below what KS sees."""
    of, cdf = CDF[name]
    x = run(ALL[name](), np.tile([1.0, 1.0], (2000, 1)), 1e-3, 2000)
    passes, D = ks_passes(of(x), cdf)
    assert passes, D


@pytest.mark.control
def test_a_score_twice_too_large_has_another_law():
    of, cdf = CDF["ring"]
    x = run(ring(), np.tile([1.0, 1.0], (2000, 1)), 1e-3, 1000, pull=2.0)
    assert not ks_passes(of(x), cdf)[0]


@pytest.mark.law
@pytest.mark.parametrize(("name", "tau"), [("well", 1e-3), ("mueller", 5e-5)])
def test_langevin_keeps_the_law_that_it_starts_with(name, tau):
    """Moments to 5 standard errors after 400 steps from draws on the grid."""
    x, p = quadrature(name, 800)
    rng = np.random.default_rng(3)
    end = run(ALL[name](), x[rng.choice(len(x), 4000, p=p)], tau, 400)
    for f in (lambda x: x, lambda x: x**2, lambda x: x > 0):
        spread = np.sqrt(p @ f(x) ** 2.0 - (p @ f(x)) ** 2)
        assert (abs(f(end).mean(axis=0) - p @ f(x)) < 5 * spread / 4000**0.5).all()


def test_one_source_serves_numpy_and_numba():
    """The four blocks, compiled, in either precision; results agree to rounding."""
    one, two, three, four = (numba.njit(make().block) for make in ALL.values())

    @numba.njit
    def compiled(x, out):
        one(x, out[0])
        two(x, out[1])
        three(x, out[2])
        four(x, out[3])

    x = np.random.default_rng(4).uniform(-1.5, 1.5, (2, 65))
    out = np.empty((4, 2, 65))
    compiled(x, out)
    for got, make in zip(out, ALL.values(), strict=True):
        np.testing.assert_allclose(got.T, make().score(x.T), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (ring, {"radius": 0.0}),
        (ring, {"width": -1.0}),
        (banana, {"length": np.nan}),
        (banana, {"bend": np.inf}),
        (double_well, {"barrier": 0.0}),
        (mueller_brown, {"temperature": -2.0}),
    ],
)
def test_bad_parameters_are_refused_by_name(make, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((4, 1)), np.array([0, np.nan])])
def test_points_that_are_not_of_the_plane_are_refused(x):
    law = densities.ring()
    for door in (law.log_p, law.score):
        with pytest.raises(ValueError, match="x must be"):
            door(x)
