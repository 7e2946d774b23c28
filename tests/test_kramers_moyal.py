"""Kramers-Moyal: coefficients from data, their bias, the expansion, and Pawula."""

from math import factorial

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import ALPHA, assert_accurate

from refdiff import sde
from refdiff.kramers_moyal import (
    coefficient,
    expansion,
    gaussian_coefficient,
    pawula_gap,
    poisson_steps,
)
from refdiff.samplers import measured_order

GAMMA, D2 = 1.5, 0.8
OU = sde.ou(2 * GAMMA, np.sqrt(2 * D2), T=2.0)
RATE = 3.0


def ou_truth(x, dt, m):
    """The coefficient that a step of dt of OU has at x."""
    scale, var = OU.transition(0.0, dt)
    return gaussian_coefficient((scale - 1) * x, float(var), dt, m)


# from data


@pytest.mark.oracle
def test_bins_hold_what_lies_between_their_edges():
    """By hand: an inner edge belongs above it, the outer edges inside."""
    x = np.array([-0.1, 0.0, 0.5, 1.0, 1.5, 2.0, 2.1, 2.5, 3.0, 3.01])
    step = np.array([9.0, 1.0, 2.0, 3.0, -1.0, 4.0, 5.0, 0.0, 7.0, 9.0])
    got = coefficient(x, step, 0.1, 2, np.array([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(got.count, [2, 2, 4])
    np.testing.assert_array_equal(got.centre, [0.5, 1.5, 2.5])
    np.testing.assert_allclose(got.value, [2.5 / 0.2, 5 / 0.2, 22.5 / 0.2])
    spread = [np.std([1, 4], ddof=1), np.std([9, 1], ddof=1), 0.0]
    spread[2] = np.std([16, 25, 0, 49], ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(got.error, np.array(spread) / 0.2 / np.sqrt(2))
    one = coefficient(x, step, 0.1, 3)
    assert (one.count, one.centre) == (10, pytest.approx(1.455))
    assert one.value == pytest.approx((step**3).mean() / 0.6)
    few = coefficient(x, step, 0.1, 1, np.array([-1.0, -0.05, 0.2, 5.0]))
    assert np.isnan(few.value).tolist() == [True, True, False]
    assert np.isnan(few.error).tolist() == [True, True, False]
    assert coefficient(np.ones(3), np.arange(3.0), 1.0, 1).value == 1.0  # one place


@pytest.mark.law
@pytest.mark.parametrize("dt", [0.02, 0.4])
def test_estimates_meet_the_truth_within_their_errors(dt):
    """Each within 5 errors of the finite step's truth; all errors are honest ones."""
    rng, n = np.random.default_rng(0), 400_000
    x = rng.uniform(-2, 2, n)
    scale, var = OU.transition(0.0, dt)
    step = (scale - 1) * x + np.sqrt(var) * rng.standard_normal(n)
    edges = np.linspace(-2, 2, 21)
    where = np.digitize(x, edges) - 1
    for m in (1, 2, 3, 4):
        got = coefficient(x, step, dt, m, edges)
        at = ou_truth(x, dt, m)
        want = np.bincount(where, at, 20) / np.bincount(where, minlength=20)
        z = (got.value - want) / got.error
        assert np.abs(z).max() < 5
        chance = stats.chi2.cdf((z**2).sum(), 20)
        assert ALPHA < chance < 1 - ALPHA
        assert got.count.sum() == n


@pytest.mark.control
@pytest.mark.parametrize("slip", ["the limit", "no factorial", "no dt"])
def test_other_coefficients_are_found_out(slip):
    """At dt = 0.4 the limits D1 = -gamma x, D2, 0, 0 are far from what is measured."""
    rng, dt, n = np.random.default_rng(0), 0.4, 400_000
    x = rng.uniform(0.9, 1.0, n)
    scale, var = OU.transition(0.0, dt)
    step = (scale - 1) * x + np.sqrt(var) * rng.standard_normal(n)
    limit = [-GAMMA * x.mean(), D2, 0.0, 0.0]
    for m in (1, 2, 3, 4):
        got, right = coefficient(x, step, dt, m), ou_truth(x, dt, m).mean()
        wrong = {
            "the limit": limit[m - 1],
            "no factorial": right * factorial(m),
            "no dt": right * dt,
        }[slip]
        if slip != "no factorial" or m > 1:
            assert abs(got.value - wrong) > 20 * got.error
        assert abs(got.value - right) < 5 * got.error


@pytest.mark.oracle
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 8])
def test_the_moments_of_a_normal_step_by_quadrature(m):
    """E step^m / (m! dt) as an integral; 1/4 apart, the trapezoids err by exp(-315)."""

    def by_quadrature(inputs):
        shift, var, dt = inputs
        nodes = [mpmath.mpf(k) / 4 for k in range(-64, 65)]
        moment = sum(
            (shift + mpmath.sqrt(var) * z) ** m * mpmath.npdf(z) for z in nodes
        )
        return [moment / 4 / (mpmath.factorial(m) * dt)]

    for given_ in ((-0.3, 0.5, 0.1), (0.02, 1e-3, 1e-3), (2.0, 0.7, 0.3)):
        shift, var, dt = given_
        got = gaussian_coefficient(np.array(shift), var, dt, m)
        assert_accurate(got, by_quadrature, [mpmath.mpf(v) for v in given_], tol=1e-14)
    sure = gaussian_coefficient(np.array([0.0, 0.5]), 0.0, 0.1, m)
    np.testing.assert_allclose(sure, [0, 0.5**m / factorial(m) / 0.1], rtol=1e-14)


@pytest.mark.order
def test_finite_steps_bias_the_coefficients_by_their_moments():
    """Each tends to D1, D2, 0, 0 at first order in dt; the slopes from the moments.

    D1: gamma^2 x dt/2;  D2: (gamma^2 x^2/2 - gamma D2) dt;  D3: -gamma x D2 dt;
    D4: D2^2 dt/2, which alone does not need x
    """
    x, dts = 0.7, 0.01 / 2.0 ** np.arange(5)
    limit = [-GAMMA * x, D2, 0.0, 0.0]
    slope = [
        GAMMA**2 * x / 2,
        GAMMA**2 * x**2 / 2 - GAMMA * D2,
        -GAMMA * x * D2,
        D2**2 / 2,
    ]
    for m in (1, 2, 3, 4):
        bias = np.array([ou_truth(x, dt, m) - limit[m - 1] for dt in dts])
        assert np.abs(measured_order(np.abs(bias)) - 1).max() < 0.03
        rate = bias / dts
        assert 2 * rate[-1] - rate[-2] == pytest.approx(slope[m - 1], rel=1e-4)


# jumps


def poisson_moments(mean, m):
    """E N^m of a Poisson count, by its sum."""
    k = np.arange(60)
    return (k**m * stats.poisson.pmf(k, mean)).sum()


@pytest.mark.law
def test_poisson_has_every_coefficient():
    """Counts have the law; estimates its finite moments; and m! D_m -> rate for all m."""
    rng, dt, n = np.random.default_rng(0), 0.1, 400_000
    step = poisson_steps(n, RATE, dt, rng)
    assert step.dtype == float
    seen = np.bincount(step.astype(int), minlength=5)
    seen = np.append(seen[:4], seen[4:].sum())
    law = stats.poisson.pmf(np.arange(4), RATE * dt)
    law = np.append(law, 1 - law.sum())
    assert stats.chisquare(seen, n * law).pvalue > ALPHA
    for m in (1, 2, 3, 4):
        got = coefficient(np.zeros(n), step, dt, m)
        want = poisson_moments(RATE * dt, m) / factorial(m) / dt
        assert abs(got.value - want) < 5 * got.error
        assert got.error < 0.02 * want
        dts = 1e-3 / 2.0 ** np.arange(4)
        rate = np.array([poisson_moments(RATE * h, m) / h for h in dts])
        if m > 1:  # the mean has no bias
            assert np.abs(measured_order(rate - RATE) - 1).max() < 0.02
        assert 2 * rate[-1] - rate[-2] == pytest.approx(RATE, rel=1e-5)


@pytest.mark.law
def test_small_steps_tell_diffusion_from_jumps():
    """At one small dt: m! D_m is RATE for all m of jumps, and D4 << D2^2 of OU."""
    rng, dt, n = np.random.default_rng(1), 1e-4, 2_000_000
    step = poisson_steps(n, RATE, dt, rng)
    for m in (1, 2, 3, 4):
        got = coefficient(step, step, dt, m)
        bias = poisson_moments(RATE * dt, m) / dt - RATE
        assert (
            abs(factorial(m) * got.value - RATE - bias) < 5 * factorial(m) * got.error
        )
        assert bias < 0.01 * RATE
    assert ou_truth(0.0, dt, 4) < 1e-4 * ou_truth(0.0, dt, 2) ** 2


# the expansion

LINE = np.linspace(-12, 12, 96, endpoint=False)
DX = LINE[1] - LINE[0]


def normal(x, mean=0.3, std=1.1):
    return stats.norm.pdf(x, mean, std)


def matches(got, want, rtol=1e-11):
    return np.abs(got - want).max() < rtol * np.abs(want).max()


def relaxing(t, mean0=0.6, var0=0.5):
    """Density of OU from a Gaussian, of a complex time too."""
    rest = D2 / GAMMA
    mean = mean0 * np.exp(-GAMMA * t)
    var = rest + (var0 - rest) * np.exp(-2 * GAMMA * t)
    return np.exp(-((LINE - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)


SLIPS = {
    "right": lambda m, D_m: D_m,
    "the theorem's -d^m": lambda m, D_m: (-1) ** (m + 1) * D_m,
    "a second 1/m!": lambda m, D_m: D_m / factorial(m),
    "neither sign": lambda m, D_m: (-1) ** m * D_m,
}


def with_slip(D, slip):
    return [SLIPS[slip](m, D_m) for m, D_m in enumerate(D, 1)]


@pytest.mark.control
@pytest.mark.parametrize("slip", SLIPS)
def test_the_expansion_of_ou_is_the_fokker_planck_rate(slip):
    """dp/dt of the closed-form Gaussian, by a complex step in time."""
    for t in (0.0, 0.4):
        want = relaxing(t + 1e-40j).imag / 1e-40
        D = with_slip([-GAMMA * LINE, D2], slip)
        got = expansion(relaxing(t), D, DX)
        assert matches(got, want) == (slip == "right")
        assert matches(expansion(relaxing(t), [*D, 0.0, 0.0], DX), got, 1e-14)
        assert abs(got.sum() * DX) < 1e-13  # no probability is made


@pytest.mark.control
@pytest.mark.parametrize("slip", SLIPS)
def test_the_expansion_of_poisson_is_its_master_equation(slip):
    """Rates of jumps by a_k: sum_k rate_k (p(x - a_k) - p(x)), D_m from their moments."""
    for jump, rate in (([0.5], [RATE]), ([-0.4, 0.7], [2.0, 0.5])):
        pairs = list(zip(jump, rate, strict=True))
        D = [sum(r * a**m for a, r in pairs) / factorial(m) for m in range(1, 41)]
        want = sum(r * (normal(LINE - a) - normal(LINE)) for a, r in pairs)
        got = expansion(normal(LINE), with_slip(D, slip), DX)
        assert matches(got, want) == (slip == "right")


@pytest.mark.limit
def test_no_few_terms_of_jumps_are_enough():
    """Truncated at 2, Fokker-Planck's, it is wrong; each further term helps little."""
    a, p = 0.5, normal(LINE)
    want = RATE * (normal(LINE - a) - p)
    errors = []
    for most in (2, 4, 8, 16):
        D = [RATE * a**m / factorial(m) for m in range(1, most + 1)]
        errors.append(np.abs(expansion(p, D, DX) - want).max() / np.abs(want).max())
    assert errors[0] > 0.03
    assert (np.diff(np.log10(errors)) < -1).all()


@pytest.mark.identity
@pytest.mark.parametrize("n", [10, 11])
def test_the_expansion_differentiates_waves(n):
    """cos goes through (-d/dx)^m by hand, on an even and an odd number of points."""
    x = 2 * np.pi * np.arange(n) / n
    for m, want in ((1, 3 * np.sin(3 * x)), (2, -9 * np.cos(3 * x))):
        D = [0.0] * (m - 1) + [2.0]
        got = expansion(np.cos(3 * x), D, x[1])
        np.testing.assert_allclose(got, 2 * want, atol=1e-12)
    got = expansion(np.cos(x), [np.sin(x)], x[1])  # -(sin cos)'
    np.testing.assert_allclose(got, -np.cos(2 * x), atol=1e-12)


# Pawula

jump_laws = st.lists(
    st.tuples(st.floats(-3, 3).map(lambda v: round(v, 2)), st.floats(0.01, 2)),
    min_size=1,
    max_size=5,
)


def jump_coefficients(law, most=10):
    """D_m of jumps of size a at rate r, for (a, r) in law."""
    return [sum(r * a**m for a, r in law) / factorial(m) for m in range(1, most + 1)]


def printed(D, m):
    """The theorem's own inequality, without factorials: D_m^2 <= D_{m-1} D_{m+1}."""
    apart = 1 if m % 2 else 2
    return D[m - 1] ** 2 <= D[m - apart - 1] * D[m + apart - 1]


@pytest.mark.identity
@given(law=jump_laws, m=st.integers(3, 8))
def test_the_gap_is_lagranges_sum_of_squares(law, m):
    """sum_{k<l} r_k r_l (a_k a_l)^(m-s) (a_k^s - a_l^s)^2, so at least 0; s = 1 or 2."""
    s = 1 if m % 2 else 2
    size, D = m + s, jump_coefficients(law)
    want = sum(
        r * q * (a * b) ** (m - s) * (a**s - b**s) ** 2
        for k, (a, r) in enumerate(law)
        for b, q in law[:k]
    )
    even = sum(r * abs(a) ** (m - s) for a, r in law)
    scale = even * sum(r * abs(a) ** size for a, r in law)
    assert want >= 0
    assert abs(pawula_gap(D, m) - want) <= 1e-13 * scale
    assert pawula_gap(D, m) >= -1e-13 * scale


@pytest.mark.control
def test_poisson_meets_pawula_and_refutes_the_printed_form():
    """One size of jump: Schwarz's inequality is an equality; without factorials it fails."""
    D = jump_coefficients([(1.0, RATE)])
    for m in range(3, 9):
        assert abs(pawula_gap(D, m)) < 1e-13 * RATE**2
        assert not printed(D, m)
    far = jump_coefficients([(0.3, 1.0), (2.0, 0.1)])
    assert all(pawula_gap(far, m) > 0 for m in range(3, 9))


@pytest.mark.control
def test_an_even_m_needs_neighbours_two_apart():
    """With m-1 and m+1 the inequality fails where jumps go both ways."""
    D = jump_coefficients([(1.0, 1.0), (-1.0, 1.0)])
    third, fourth, fifth = (factorial(m) * D[m - 1] for m in (3, 4, 5))
    assert third * fifth < fourth**2
    assert pawula_gap(D, 4) >= 0


@pytest.mark.limit
def test_no_fourth_coefficient_leaves_no_third():
    """D_4 = 0 allows D_3 = 0 alone, D_6 = 0 only D_4 = 0: so 1, 2 or all."""
    assert pawula_gap([1.0, 0.5, 0.0, 0.0], 3) == 0
    assert pawula_gap([1.0, 0.5, 1e-3, 0.0], 3) < 0
    assert pawula_gap([0.0, 0.5, 0.0, 0.1, 0.0, 0.0], 4) < 0


def test_what_has_no_meaning_is_refused():
    x, ones = np.linspace(0, 1, 5), np.ones(5)
    bad = {
        "m must be": lambda: coefficient(x, x, 0.1, 0),
        "dt must be": lambda: coefficient(x, x, 0.0, 1),
        "x and step must be": lambda: coefficient(x, x[:4], 0.1, 1),
        r"x and step must be \(n,\); got \(0,\)": lambda: coefficient([], [], 0.1, 1),
        "step must be finite": lambda: coefficient(x, x * np.nan, 0.1, 1),
        "edges must be": lambda: coefficient(x, x, 0.1, 1, x[::-1]),
        "edges must be .* and rise": lambda: coefficient(x, x, 0.1, 1, ones),
        "var must be at least 0": lambda: gaussian_coefficient(x, -1.0, 0.1, 2),
        "var must be finite": lambda: gaussian_coefficient(x, np.nan, 0.1, 2),
        "rate must be": lambda: poisson_steps(3, 0.0, 0.1, np.random.default_rng(0)),
        "D_2 must be finite": lambda: expansion(x, [1.0, np.nan], 0.1),
        r"each of D too; got \(5,\) and \[\(4,\)\]": lambda: expansion(x, [x[:4]], 0.1),
        r"got \(5,\) and \[\]": lambda: expansion(x, [], 0.1),
        r"p must be \(n,\)": lambda: expansion(np.ones((5, 5)), [1.0], 0.1),
        "dx must be": lambda: expansion(x, [1.0], -0.1),
        "m must be 3 or more": lambda: pawula_gap(ones, 2),
        "D reach m": lambda: pawula_gap(ones, 4),
        "D must be finite": lambda: pawula_gap([1.0, 1.0, np.nan, 1.0], 3),
    }
    for match, call in bad.items():
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match="rng must be"):
        poisson_steps(3, 1.0, 0.1, 0)
    with pytest.raises(TypeError):
        coefficient(x, x, 0.1, 1.5)
