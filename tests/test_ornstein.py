"""Linear SDEs in many dimensions: moments, steps, the stationary law, reversal.

Transitions are compared with 50-digit matrix exponentials and with the moment equations
integrated by SciPy, which has neither exponentials nor doublings.
"""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from support import ks_passes

from refdiff import sde
from refdiff.mixture import Mixture
from refdiff.ornstein import (
    moment_rates,
    ou_law,
    ou_stationary,
    ou_step,
    ou_transition,
)

TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
SKEW = np.array([[1.0, 0.7], [-0.4, 1.0]])  # a basis that is not orthogonal
KICK = np.array([[0.0], [1.0]])
WIDE = np.array([[1.0, 0.3, 0.0], [0.2, 0.5, 0.4]])  # three noises in the plane
PAIRS = {  # A, G of dx = A x dt + G dw
    "spiral": (2 * TURN - 0.5 * np.eye(2), WIDE),
    "shear": (np.array([[-0.5, 20.0], [0.0, -0.5]]), KICK),
    "oscillator": (np.array([[0.0, 1.0], [-1.0, -0.1]]), KICK),
    "growing": (np.array([[0.4, 1.0], [-0.3, 0.2]]), WIDE),
    "stiff": (np.diag([-1e3, -1e-3]), WIDE),
    "stiff and skew": (SKEW @ np.diag([-1e3, -1e-3]) @ np.linalg.inv(SKEW), WIDE),
    "loud": (np.array([[-0.5, 2.0], [0.0, -0.5]]), 1e50 * KICK),
    "faint": (np.array([[-0.5, 2.0], [0.0, -0.5]]), 1e-50 * KICK),
    "four": (
        np.random.default_rng(0).standard_normal((4, 4)) - 2 * np.eye(4),
        np.random.default_rng(1).standard_normal((4, 2)),
    ),
}
pairs = pytest.mark.parametrize("name", PAIRS)
MEAN, COV = np.array([1.0, -2.0]), np.array([[0.8, 0.3], [0.3, 0.5]])
numbers = st.floats(-2, 2).map(lambda v: round(v, 3))


@st.composite
def linear(draw, d=2):
    """A, G of any sort, with two noises."""
    values = [draw(st.lists(numbers, min_size=d * d, max_size=d * d)) for _ in "AG"]
    return [np.reshape(v, (d, d)) for v in values]


def apart(got, want):
    """Largest difference, relative to the largest entry."""
    want = np.asarray(want, dtype=float)
    return np.abs(got - want).max() / np.abs(want).max()


def matrix(a):
    return mp.matrix(np.asarray(a).tolist())


def block_exponential(A, G, h):
    """F and Q at 50 digits by one exponential of twice the size, undivided.

    Digits are added for what exp(-A h) grows to.
    """
    d = len(A)
    size = float(np.abs(A).sum(axis=1).max() * h)
    with mp.workdps(60 + int(2 * size)):
        rate = matrix(G) * matrix(G).T
        block = mp.zeros(2 * d)
        for i in range(d):
            for j in range(d):
                block[i, j], block[d + i, d + j] = map(mp.mpf, (A[i, j], -A[j, i]))
                block[i, d + j] = rate[i, j]
        grown = mp.expm(block * mp.mpf(h))
        F = grown[:d, :d]
        return F, grown[:d, d:] * F.T


def by_eigenvalues(V, values, G, h):
    """F and Q at 50 digits for A = V diag(values) V^-1, mode by mode, any time."""
    V, values, d = matrix(V), [mp.mpf(v) for v in values], len(values)
    inverse = V**-1
    F = V * mp.diag([mp.exp(v * h) for v in values]) * inverse
    rate = inverse * matrix(G) * (inverse * matrix(G)).T
    for i in range(d):
        for j in range(d):
            both = values[i] + values[j]
            rate[i, j] *= mp.expm1(both * h) / both
    return F, V * rate * V.T


@pytest.mark.oracle
@pairs
@pytest.mark.parametrize("size", [1e-6, 0.1, 1.0, 7.0, 300.0])
def test_the_transition_solves_the_moment_equations(name, size):
    """By one exponential at 50 digits, for steps h of |A| h = size, which is also the
    condition number; the rates themselves are integrated in the next test.
    """
    A, G = PAIRS[name]
    h = size / np.abs(A).sum(axis=1).max()
    got, want = ou_transition(A, G, h), block_exponential(A, G, h)
    for g, w in zip(got, want, strict=True):
        assert apart(g, w.tolist()) < 1e-15 * max(1, size)


@pytest.mark.oracle
@pytest.mark.parametrize("h", [0.03, 1.0, 4.0])
@pytest.mark.parametrize("name", ["spiral", "shear", "oscillator", "growing", "four"])
def test_scipy_integrates_the_moment_rates_to_the_law(name, h):
    """Neither exponentials nor doublings: DOP853 from the rates alone."""
    A, G = PAIRS[name]
    d = len(A)
    mean, cov = np.arange(1.0, d + 1), 0.3 * np.eye(d) + 0.1

    def slope(t, y):
        rates = moment_rates(A, G, y[:d], y[d:].reshape(d, d))
        return np.concatenate([rate.ravel() for rate in rates])

    start = np.append(mean, cov)
    end = integrate.solve_ivp(slope, (0, h), start, "DOP853", rtol=1e-12, atol=1e-14)
    got = np.append(*ou_law(A, G, mean, cov, h))
    assert apart(got, end.y[:, -1]) < 1e-10


@pytest.mark.oracle
@pytest.mark.parametrize("h", [0.1, 1.0, 10.0, 1e3, 1e4])
@pytest.mark.parametrize("V", [np.eye(2), SKEW], ids=["diagonal", "skew"])
def test_long_times_and_stiff_drifts_keep_their_digits(V, h):
    """Eigenvalues -1e3 and -1e-3, to 10 slow times; the condition number is |A| h.

    A itself is a rounded product, which moves its eigenvalues by 1e-13: as inputs they
    are found from A at 50 digits.
    """
    A = V @ np.diag([-1e3, -1e-3]) @ np.linalg.inv(V)
    values, vectors = mp.eig(matrix(A))
    vectors = np.array(vectors.tolist()).reshape(2, 2)
    want = by_eigenvalues(vectors, [mp.re(v) for v in values], WIDE, mp.mpf(h))
    for g, w in zip(ou_transition(A, WIDE, h), want, strict=True):
        assert apart(g, w.tolist()) < 2e-16 * max(1e3 * h, 20)


@pytest.mark.oracle
@pytest.mark.parametrize("h", [1e-9, 1e-3, 1.0])
def test_what_has_no_noise_of_its_own_gets_its_small_variance_exactly(h):
    """Position under kicks of the velocity: h^3/3, h^2/2, h; entry by entry."""
    A = np.array([[0.0, 1.0], [0.0, 0.0]])
    F, Q = ou_transition(A, KICK, h)
    np.testing.assert_allclose(F, [[1, h], [0, 1]], rtol=1e-15)
    np.testing.assert_allclose(Q, [[h**3 / 3, h**2 / 2], [h**2 / 2, h]], rtol=1e-14)


@pytest.mark.identity
@given(AG=linear(), h=st.floats(0, 3), mean=st.tuples(numbers, numbers))
def test_the_law_moves_at_the_rates_it_has(AG, h, mean):
    """d/dt of ou_law, by differences of fourth order, is moment_rates of ou_law."""
    A, G = AG
    step = 2e-3

    def at(k):
        return np.append(*ou_law(A, G, np.array(mean), COV, h + 2 * step + k * step))

    slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
    law = at(0)
    rates = np.append(*moment_rates(A, G, law[:2], law[2:].reshape(2, 2)))
    np.testing.assert_allclose(slope, rates, 0, 1e-7 * max(1, np.abs(law).max()))


@pytest.mark.identity
@given(
    alpha=st.floats(-2, 4),
    beta=st.floats(0.1, 3),
    h=st.floats(0, 5),
)
def test_in_one_dimension_it_is_the_scalar_process(alpha, beta, h):
    """Among them Brownian motion and growth, and time 0."""
    F, Q = ou_transition(np.array([[-alpha / 2]]), np.array([[beta]]), h)
    scale, var = sde.ou(alpha, beta, T=5.0).transition(0.0, h)
    assert F[0, 0] == pytest.approx(scale, rel=1e-13)
    assert Q[0, 0] == pytest.approx(var, rel=1e-13, abs=1e-300)


@pytest.mark.oracle
@given(rate=st.floats(0.1, 2), turn=st.floats(-9, 9), h=st.floats(0.01, 5))
def test_a_rotation_turns_the_mean_and_leaves_round_noise_round(rate, turn, h):
    """A = turn J - rate I: exp(A h) is a rotation that shrinks, in complex numbers."""
    F, Q = ou_transition(turn * TURN - rate * np.eye(2), np.eye(2), h)
    z = np.exp(complex(-rate, -turn) * h)  # of x + i y, with J as it stands
    np.testing.assert_allclose(F, [[z.real, -z.imag], [z.imag, z.real]], atol=1e-13)
    round_ = -np.expm1(-2 * rate * h) / (2 * rate) * np.eye(2)
    np.testing.assert_allclose(Q, round_, rtol=1e-12, atol=1e-14)


@pytest.mark.identity
@pairs
@given(power=st.integers(-100, 100))
def test_the_noise_is_of_the_second_degree_in_g_and_the_drift_does_not_feel_it(
    name, power
):
    A, G = PAIRS[name]
    (F, Q), (F2, Q2) = (ou_transition(A, k * G, 0.7) for k in (1.0, 2.0**power))
    np.testing.assert_array_equal(F, F2)
    np.testing.assert_array_equal(4.0**power * Q, Q2)


@pytest.mark.identity
@pairs
@pytest.mark.parametrize("h", [1e-3, 0.3, 2.0])
def test_the_exact_step_composes(name, h):
    """Chapman and Kolmogorov: h, then k, is h + k: as matrices, laws and steps."""
    (A, G), k = PAIRS[name], h / 3
    d = len(A)
    (F1, Q1), (F2, Q2), (F, Q) = (ou_transition(A, G, t) for t in (h, k, h + k))
    allowed = 2e-15 * max(1, np.abs(A * h).sum(axis=1).max())
    assert apart(F2 @ F1, F) < allowed
    assert apart(F2 @ Q1 @ F2.T + Q2, Q) < allowed
    if name in ("loud", "faint"):
        return
    mean, cov = np.arange(1.0, d + 1), np.eye(d)
    halfway = ou_law(A, G, mean, cov, h)
    for got, want in zip(
        ou_law(A, G, *halfway, k), ou_law(A, G, mean, cov, h + k), strict=True
    ):
        assert apart(got, want) < allowed
    # a step is affine in x and z: its matrices are its values on the unit vectors
    eye, zero = np.eye(d), np.zeros((d, d))
    np.testing.assert_allclose(ou_step(eye, zero, A, G, h).T, F1, rtol=1e-15)
    root = ou_step(zero, eye, A, G, h)
    scale = np.abs(Q1).max()
    np.testing.assert_allclose(root.T @ root, Q1, rtol=0, atol=1e-13 * scale)


@pytest.mark.law
def test_two_half_steps_and_a_whole_step_have_one_law():
    """20000 paths of the spiral from a point, standardised by the exact law."""
    A, G = PAIRS["spiral"]
    rng = np.random.default_rng(0)
    z, start = rng.standard_normal((3, 20000, 2)), np.broadcast_to(MEAN, (20000, 2))
    two = ou_step(ou_step(start, z[0], A, G, 0.4), z[1], A, G, 0.4)
    one = ou_step(start, z[2], A, G, 0.8)
    mean, cov = ou_law(A, G, MEAN, np.zeros((2, 2)), 0.8)
    for x in (one, two):
        white = np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T)
        assert all(ks_passes(row, "norm")[0] for row in white)
        assert ks_passes(white.sum(axis=0) / np.sqrt(2), "norm")[0]


@pytest.mark.order
@pytest.mark.control
def test_eulers_step_does_not_compose_but_comes_to_it():
    """I + A h and h G G^T: off by O(h^2) in one step, by O(h) over a fixed time."""
    A, G = PAIRS["spiral"]
    F, Q = ou_transition(A, G, 1.0)
    errors = []
    for N in (64, 128, 256):
        step, h = np.eye(2) + A / N, 1 / N
        grown, cov = np.eye(2), np.zeros((2, 2))
        for _ in range(N):
            grown, cov = step @ grown, step @ cov @ step.T + h * G @ G.T
        errors.append(max(apart(grown, F), apart(cov, Q)))
    assert errors[-1] > 1e-3
    assert np.abs(np.diff(np.log2(errors)) + 1).max() < 0.1


@pytest.mark.limit
@pytest.mark.parametrize(
    "name", ["spiral", "shear", "oscillator", "four", "stiff", "stiff and skew"]
)
def test_the_stationary_law_is_the_limit(name):
    """At any start the law goes there, and there it stands still."""
    A, G = PAIRS[name]
    d, S = len(A), ou_stationary(A, G)
    slow = 1 / -np.linalg.eigvals(A).real.max()
    loss = 1e-12 if "stiff" not in name else 1e-8  # 2^24 doublings' rounding
    mean, cov = ou_law(A, G, np.ones(d), 3 * np.eye(d), 40 * slow)
    assert np.abs(mean).max() < 1e-12
    assert apart(cov, S) < loss
    rates = moment_rates(A, G, np.zeros(d), S)
    assert np.abs(rates[1]).max() < 1e-13 * np.abs(A).max() * np.abs(S).max()
    assert apart(ou_law(A, G, np.zeros(d), S, 0.3)[1], S) < loss
    np.testing.assert_allclose(S, S.T, rtol=0, atol=1e-13 * np.abs(S).max())


@pytest.mark.oracle
@given(rate=st.floats(0.1, 3), turn=st.floats(-9, 9))
def test_a_rotation_leaves_the_stationary_law_round(rate, turn):
    """1/(2 rate) in each direction, as without it; so a current may run unseen."""
    S = ou_stationary(turn * TURN - rate * np.eye(2), np.eye(2))
    np.testing.assert_allclose(S, np.eye(2) / (2 * rate), rtol=1e-12, atol=1e-13)


@pytest.mark.oracle
def test_the_oscillator_has_equal_energy_in_its_two_coordinates():
    """dv = -x dt - c v dt + G dw: E x^2 = E v^2 = G^2 / 2c, E x v = 0."""
    S = ou_stationary(*PAIRS["oscillator"])
    np.testing.assert_allclose(S, np.eye(2) / 0.2, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "A", [0.1 * np.eye(2), np.zeros((2, 2)), np.diag([-1.0, 0.2]), TURN]
)
def test_what_grows_or_only_turns_has_no_stationary_law(A):
    with pytest.raises(ValueError, match="A must shrink every direction"):
        ou_stationary(A, np.eye(2))


def reversed_rates(A, G, mean, cov, factor):
    """Rates of the mean and covariance, in time that runs back, of a reversed process.

    dx = (A x - factor G G^T score) dt + G dw run backwards is, in the time -t,
    dx = -(A x - factor G G^T score) + G dw: its drift is read off the mixture's score.
    """
    score = Mixture(np.ones(1), mean[None], cov[None]).score
    d = len(A)

    def drift(x):
        return -(x @ A.T - factor * score(x) @ (G @ G.T))

    b = drift(np.zeros((1, d)))[0]
    back = (drift(np.eye(d)) - b).T
    from_origin, spread = moment_rates(back, G, mean, cov)
    return from_origin + b, spread


@st.composite
def positive(draw):
    entries = np.reshape(draw(st.lists(numbers, min_size=4, max_size=4)), (2, 2))
    return entries @ entries.T + 0.2 * np.eye(2)


@pytest.mark.identity
@given(AG=linear(), mean=st.tuples(numbers, numbers), cov=positive())
def test_andersons_reversal_runs_the_moments_backwards(AG, mean, cov):
    """With G G^T score at its full strength, whatever A, G and the Gaussian law."""
    A, G = AG
    forward = np.append(*moment_rates(A, G, np.array(mean), cov))
    back = np.append(*reversed_rates(A, G, np.array(mean), cov, 1.0))
    size = np.abs(A).max() * np.abs(cov).max() + np.abs(G).max() ** 2 + 1
    np.testing.assert_allclose(-back, forward, rtol=0, atol=1e-11 * size)


@pytest.mark.identity
def test_half_the_score_and_no_noise_is_the_probability_flow():
    """dx = A x - G G^T score / 2: the same rates, forwards, from no noise at all."""
    A, G = PAIRS["spiral"]
    flow = A + G @ G.T @ np.linalg.inv(COV) / 2
    shift = flow @ MEAN - G @ G.T @ np.linalg.inv(COV) @ MEAN / 2
    mean, cov = moment_rates(A, G, MEAN, COV)
    np.testing.assert_allclose(shift, mean, rtol=1e-13)
    got = moment_rates(flow, np.zeros((2, 1)), MEAN, COV)[1]
    np.testing.assert_allclose(got, cov, rtol=1e-13)


@pytest.mark.control
@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, -1.0])
def test_a_reversal_without_its_factor_does_not_run_backwards(factor):
    A, G = PAIRS["spiral"]
    forward, back = moment_rates(A, G, MEAN, COV)[1], {}
    for f in (1.0, factor):
        back[f] = reversed_rates(A, G, MEAN, COV, f)[1]
    assert np.abs(back[1.0] + forward).max() < 1e-13
    wrong = 2 * (1 - factor) * G @ G.T  # what is missing, in the time -t
    np.testing.assert_allclose(back[factor] + forward, wrong, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ou_transition(TURN, np.eye(2), -0.1), "h must be a number of at"),
        (lambda: ou_transition(TURN, np.eye(2), np.ones(2)), "h must be a number"),
        (lambda: ou_transition(TURN, np.eye(2), np.nan), "h must be finite"),
        (lambda: ou_transition(TURN + np.inf, np.eye(2), 1.0), "A must be finite"),
        (lambda: ou_transition(TURN[:1], np.eye(2), 1.0), r"A must be \(d, d\)"),
        (lambda: ou_transition(TURN, np.eye(3), 1.0), r"G \(d, m\); got"),
        (lambda: ou_transition(TURN, np.ones(2), 1.0), r"G \(d, m\); got"),
        (lambda: ou_stationary(-np.eye(2), np.ones(2)), r"G \(d, m\); got"),
        (lambda: ou_stationary(TURN[:1], np.eye(2)), r"A must be \(d, d\)"),
        (lambda: moment_rates(TURN, np.ones(2), MEAN, COV), r"G \(d, m\); got"),
        (lambda: moment_rates(TURN, np.eye(2), MEAN[:1], COV), r"mean must be \(2,\)"),
        (lambda: ou_law(TURN, np.eye(2), MEAN, np.ones(2), 1.0), r"cov \(2, 2\)"),
        (lambda: ou_law(TURN, np.eye(2), MEAN, COV, -1.0), "h must be a number"),
        (lambda: ou_step(MEAN * np.nan, MEAN, TURN, COV, 1.0), "x must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("A", [np.array(-0.5), np.zeros((0, 0))])
def test_a_drift_that_is_a_number_or_empty_is_refused_by_name(A):
    with pytest.raises(ValueError, match=r"A must be \(d, d\)"):
        ou_transition(A, np.ones((len(A) if A.ndim else 1, 1)), 1.0)


def test_without_any_noise_there_is_no_spread():
    F, Q = ou_transition(TURN, np.zeros((2, 0)), 1.0)
    assert not Q.any()
    np.testing.assert_allclose(F, ou_transition(TURN, KICK, 1.0)[0], rtol=1e-14)


@pytest.mark.parametrize("name", ["mean", "cov"])
def test_moments_that_are_not_finite_are_refused_by_name(name):
    given = {"mean": MEAN, "cov": COV}
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        moment_rates(TURN, KICK, **{**given, name: given[name] * np.nan})


def test_noise_that_is_not_finite_is_refused_by_name():
    with pytest.raises(ValueError, match="z must be finite"):
        ou_step(MEAN, MEAN * np.nan, TURN, KICK, 1.0)


def test_many_coordinates_that_pull_together_keep_their_digits():
    """A = -J of ones, h = 1: 0 or -d along one direction only; entries say 1, not d."""
    for d in (2, 20, 60):
        one = np.ones((d, d)) / d  # the projection on that direction
        F, Q = ou_transition(-d * one, np.eye(d), 1.0)
        np.testing.assert_allclose(F, np.eye(d) + np.expm1(-d) * one, atol=1e-13)
        spread = np.eye(d) - one - np.expm1(-2 * d) / (2 * d) * one
        np.testing.assert_allclose(Q, spread, atol=1e-13)


def test_the_root_is_symmetric_and_a_step_of_no_time_stands_still():
    """R R = Q with R = R^T, also where Q has no inverse."""
    for h in (0.0, 1e-3, 0.3):
        A = np.array([[-0.5, 20.0], [0.0, -0.5]])
        R = ou_step(np.zeros((2, 2)), np.eye(2), A, KICK, h)
        Q = ou_transition(A, KICK, h)[1]
        np.testing.assert_array_equal(Q, Q.T)
        size = np.abs(Q).max()
        np.testing.assert_allclose(R, R.T, rtol=0, atol=1e-12 * np.sqrt(size))
        np.testing.assert_allclose(R @ R, Q, rtol=0, atol=1e-13 * size)
    np.testing.assert_array_equal(ou_step(MEAN, MEAN, TURN, KICK, 0.0), MEAN)


def test_the_noise_is_symmetric_to_the_last_bit():
    rng = np.random.default_rng(0)
    A, G = rng.standard_normal((2, 5, 5))
    _, Q = ou_transition(A - 2 * np.eye(5), G, 0.7)
    np.testing.assert_array_equal(Q, Q.T)
