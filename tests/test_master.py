"""Markov processes: composition, master equation, jumps, balance, and the walk's limit.

Closed forms are met by matrix exponentials at 50 digits and by counted jumps.
"""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import expm
from support import ALPHA, assert_accurate, exact

from refdiff import brownian, fokker_planck, master, ornstein, schedule, sde, toys
from refdiff.forward import q_step
from refdiff.gaussian import logpdf
from refdiff.master import (
    balance_error,
    compose,
    flow_in,
    flow_out,
    generator_matrix,
    gillespie,
    lattice_walk,
    master_rate,
    stationary,
    transition,
    two_state,
)
from refdiff.samplers import measured_order

CYCLE = np.array([[0, 0, 1.0], [1.0, 0, 0], [0, 1.0, 0]])  # 0 -> 1 -> 2 -> 0
THREE = np.array([[0, 0.7, 0.1], [1.3, 0, 2.0], [0.4, 0.9, 0]])
ABSORBED = np.array(  # 0 <-> 1 -> 2 -> 3, and 3 is never left
    [[0, 0.8, 0, 0], [1.5, 0, 0.3, 0], [0, 0.6, 0, 0], [0, 0, 0.9, 0]]
)


@st.composite
def rates(draw, K=None):
    """Rates between 1 to 5 states, all above 0."""
    K = draw(st.integers(1, 5)) if K is None else K
    entries = st.floats(0.05, 3).map(lambda v: round(v, 3))
    return np.reshape(draw(st.lists(entries, min_size=K * K, max_size=K * K)), (K, K))


@st.composite
def cases(draw, K=None):
    """A generator, and probabilities for its states."""
    W = generator_matrix(draw(rates(K)))
    entries = st.lists(st.floats(0.05, 1), min_size=len(W), max_size=len(W))
    p = np.array(draw(entries))
    return W, p / p.sum()


def well(U):
    """Rates between neighbours that a potential balances: exp of half its differences."""
    K, half = len(U), np.subtract.outer(U, U) / 2  # U[to] - U[from]
    near = np.abs(np.subtract.outer(np.arange(K), np.arange(K))) == 1
    return np.exp(-np.where(near, half, 0)) * near


def gaussian_kernel(x, scale, var):
    """Density at x[i] from x[j] of N(scale x[j], var)."""
    means = scale * x[:, None]
    return np.exp(logpdf(x[:, None, None], means, np.array([[var]])))


@pytest.mark.oracle
def test_chapman_and_kolmogorov_by_quadrature_and_by_powers():
    """OU and DDPM kernels by the trapezoid rule; exp(W (s+t)) as product and as power."""
    x = np.linspace(-12, 12, 301)
    dx, inner = x[1] - x[0], np.abs(x) < 4  # whence nothing leaves the grid
    ou, other = brownian.langevin_sde(1.3, 0.9, T=2.0), sde.sub_vp(sde.linear_beta())
    for law, s, t, u in (
        (ou, 0.0, 0.3, 1.0),
        (ou, 0.1, 1.0, 2.0),
        (other, 0.05, 0.25, 0.4),  # whose kernels do not commute
    ):
        early, late = (
            gaussian_kernel(x, *law.transition(*pair)) for pair in ((s, t), (t, u))
        )
        want = gaussian_kernel(x, *law.transition(s, u))
        got = compose(late, early, dx)
        np.testing.assert_allclose(got[:, inner], want[:, inner], rtol=0, atol=1e-12)
    sched = schedule.linear(6, 0.05, 0.4)
    whole = np.eye(len(x)) / dx  # a delta at each point
    for t in range(1, 7):  # x_t from x_0, a q_step at a time
        scale, var = q_step(np.ones(1), t, sched)
        step = gaussian_kernel(x, float(scale[0]), float(var[0]))
        whole = compose(step, whole, dx)
    want = gaussian_kernel(x, np.sqrt(sched.alpha_bar[6]), 1 - sched.alpha_bar[6])
    np.testing.assert_allclose(whole[:, inner], want[:, inner], rtol=0, atol=1e-12)
    W = generator_matrix(THREE)
    power = np.linalg.matrix_power(transition(W, 0.2), 5)
    np.testing.assert_allclose(power, transition(W, 1.0), rtol=1e-13)


@pytest.mark.identity
@given(W=rates().map(generator_matrix), s=st.floats(0, 3), t=st.floats(0, 3))
def test_transitions_are_stochastic_and_compose(W, s, t):
    P = transition(W, s + t)
    both = compose(transition(W, t), transition(W, s))
    np.testing.assert_allclose(both, P, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(P.sum(axis=0), 1, rtol=1e-12)
    assert P.min() >= -1e-15
    np.testing.assert_array_equal(transition(W, 0.0), np.eye(len(W)))


@pytest.mark.control
def test_a_process_with_memory_does_not_compose():
    """Two states seen of a cycle of three; and a particle's place without its velocity."""
    W = generator_matrix(CYCLE)
    seen = np.array([[1, 0, 0], [0, 1, 1.0]])  # 1 and 2 look alike
    hidden = np.array([[1, 0], [0, 0.5], [0, 0.5]])  # and are alike in number

    def observed(t):
        return seen @ transition(W, t) @ hidden

    np.testing.assert_allclose(observed(0.7).sum(axis=0), 1)
    assert np.abs(compose(observed(0.7), observed(0.7)) - observed(1.4)).max() > 0.02

    A, G = np.array([[-1.0, -1.0], [1.0, 0]]), np.array([[1.0], [0]])  # v, x in a well
    rest = ornstein.ou_stationary(A, G)

    def kernel(h):  # of x alone: its correlation over h
        F, _ = ornstein.ou_transition(A, G, h)
        r = (F @ rest)[1, 1] / rest[1, 1]
        return gaussian_kernel(x, r, (1 - r**2) * rest[1, 1])

    x = np.linspace(-8, 8, 401)
    got = compose(kernel(0.8), kernel(0.8), 0.04)[:, 200]
    assert np.abs(got - kernel(1.6)[:, 200]).max() > 0.05


def slope_of_law(W, p, t):
    """d/dt exp(W t) p by a central difference at 50 digits."""
    Wt, p, h = mp.matrix(W.tolist()), mp.matrix(p.tolist()), mp.mpf(10) ** -15
    rise = (mp.expm(Wt * (t + h)) - mp.expm(Wt * (t - h))) * p
    return np.array([float(v / (2 * h)) for v in rise])


@pytest.mark.oracle
@pytest.mark.parametrize("given_rates", [THREE[:2, :2], THREE, CYCLE, ABSORBED])
@pytest.mark.parametrize("t", [0.0, 0.4, 3.0])
def test_the_master_equation_is_inflow_less_outflow(given_rates, t):
    """The slope of exp(W t) p, two, three and four states; and the sums (5.30) by hand."""
    W, K = generator_matrix(given_rates), len(given_rates)
    p0 = np.arange(1, K + 1) / (K * (K + 1) / 2)
    p = transition(W, t) @ p0
    got = master_rate(p, W)
    np.testing.assert_allclose(got, slope_of_law(W, p0, t), rtol=0, atol=1e-13)
    for i in range(K):
        others = [j for j in range(K) if j != i]
        comes = sum(given_rates[i, j] * p[j] for j in others)
        goes = sum(given_rates[j, i] for j in others) * p[i]
        assert flow_in(p, W)[i] == pytest.approx(comes, rel=1e-14)
        assert flow_out(p, W)[i] == pytest.approx(goes, rel=1e-14)


@pytest.mark.identity
@given(case=cases())
def test_what_flows_out_flows_in(case):
    W, p = case
    scale = np.abs(W).max()
    assert abs(W.sum(axis=0)).max() <= 1e-14 * scale
    assert flow_in(p, W).sum() == pytest.approx(flow_out(p, W).sum(), abs=1e-14)
    assert abs(master_rate(p, W).sum()) <= 1e-13 * scale
    np.testing.assert_allclose(master_rate(p, W), W @ p, atol=1e-14 * scale)


@pytest.mark.control
def test_a_generator_read_by_rows_does_not_conserve():
    """W^T in place of W: probability leaks, so it is refused; so are its transitions."""
    W = generator_matrix(THREE)
    assert abs((W.T @ np.array([0.2, 0.3, 0.5])).sum()) > 0.05
    for call in (
        lambda: master_rate(np.array([0.2, 0.3, 0.5]), W.T),
        lambda: transition(W.T, 1.0),
        lambda: stationary(W.T),
        lambda: gillespie(np.zeros(3, int), W.T, 1.0, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match=r"W\[:, j\] is to sum to 0"):
            call()


def test_inflow_keeps_its_digits_beside_fast_jumps():
    """A state that is left 1e16 times as fast as it is reached: W p alone says 0."""
    W = generator_matrix(np.array([[0, 1, 0], [1e16, 0, 1e16], [0, 1.0, 0]]))
    assert flow_in(np.array([0.5, 0.25, 0.25]), W)[0] == 0.25


@pytest.mark.oracle
@pytest.mark.parametrize("p1", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("to_2", "to_1"), [(0.7, 1.9), (1e-6, 30.0), (2.0, 2.0)])
def test_two_states_relax_as_the_matrix_exponential(p1, to_2, to_1):
    """At 50 digits; and of P = exp(W t) on the same rates."""
    W = generator_matrix(np.array([[0, to_1], [to_2, 0]]))

    def route(v):
        p1, to_2, to_1, t = v
        rate = mp.matrix([[-to_2, to_1], [to_2, -to_1]])
        return [(mp.expm(rate * t) * mp.matrix([p1, 1 - p1]))[0]]

    for t in (0.0, 1e-9, 0.3, 1.0, 40.0):
        got = two_state(p1, to_2, to_1, t)
        inputs = exact([p1, to_2, to_1, t])
        assert_accurate(got, route, inputs, scale=[mp.mpf(1)], tol=1e-14)
        P = transition(W, t)
        assert (P @ [p1, 1 - p1])[0] == pytest.approx(got, rel=1e-12, abs=1e-14)
    rest = two_state(p1, to_2, to_1, 1e9)
    assert rest == pytest.approx(stationary(W)[0], rel=1e-13)


def counts_pass(state, p, alpha):
    """Whether counted states are those of p, by chi-square; none may be impossible."""
    counts, possible = np.bincount(state, minlength=len(p)), p > 1e-15
    if counts[~possible].any():
        return False
    want = len(state) * p[possible] / p[possible].sum()
    assert want.min() > 5  # else the statistic has another law
    return stats.chisquare(counts[possible], want).pvalue > alpha


JUMPS = {
    "two": (THREE[:2, :2], 0, 0.5),
    "three": (THREE, 2, 0.3),
    "cycle": (CYCLE, 1, 2.5),
    "absorbing": (ABSORBED, 0, 2.0),
    "walk": (lattice_walk(8, 1.0, 1.0), 3, 1.5),
    "apart": (np.kron(np.eye(2), THREE[:2, :2]), 3, 0.5),  # two classes of two
}


@pytest.mark.law
@pytest.mark.parametrize("name", JUMPS)
def test_jumps_have_the_law_of_the_master_equation(name):
    """From one state, and from two in equal parts, as exp(W T) has it."""
    given_rates, start, T = JUMPS[name]
    W = generator_matrix(np.where(np.eye(len(given_rates), dtype=bool), 0, given_rates))
    P, rng = expm(W * T), np.random.default_rng(5)
    alone = np.full(40_000, start)
    end = gillespie(alone, W, T, rng)
    assert counts_pass(end, P[:, start], ALPHA / len(JUMPS) / 2)
    assert (alone == start).all()
    mixed = np.resize([start, 0], 40_000)
    p = (P[:, start] + P[:, 0]) / 2
    assert counts_pass(gillespie(mixed, W, T, rng), p, ALPHA / len(JUMPS) / 2)


@pytest.mark.law
def test_simulated_jumps_compose_and_know_the_time():
    """T in two parts is T; half of T is another law (control); T = 0 stays."""
    W, rng, start = generator_matrix(THREE), np.random.default_rng(6), np.zeros(40_000)
    start = start.astype(int)
    want = expm(W)[:, 0]
    half = gillespie(start, W, 0.5, rng)
    assert counts_pass(gillespie(half, W, 0.5, rng), want, ALPHA)
    assert not counts_pass(half, want, ALPHA)
    np.testing.assert_array_equal(gillespie(half, W, 0.0, rng), half)
    again = [gillespie(start, W, 1.0, np.random.default_rng(1)) for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.law
def test_the_time_to_leave_is_exponential():
    """A state that is never found again: the share that is still there, at five times."""
    W, n = generator_matrix(np.array([[0, 0], [0.7, 0]])), 20_000
    for seed, T in enumerate((0.01, 0.3, 1.0, 2.0, 6.0)):
        end = gillespie(np.zeros(n, int), W, T, np.random.default_rng(seed))
        stay = stats.binomtest(int((end == 0).sum()), n, np.exp(-0.7 * T))
        assert stay.pvalue > ALPHA / 5


@pytest.mark.limit
@given(case=cases())
def test_the_stationary_law_is_the_limit(case):
    """Whatever the start; and no rate of change is left."""
    W, p = case
    rest = stationary(W)
    np.testing.assert_allclose(transition(W, 200.0) @ p, rest, rtol=1e-11)
    np.testing.assert_allclose(transition(W, 0.7) @ rest, rest, rtol=1e-13)
    assert np.abs(master_rate(rest, W)).max() <= 1e-14 * np.abs(W).max()
    assert rest.sum() == pytest.approx(1, rel=1e-14)


def test_states_that_are_left_for_good_are_empty_at_last():
    """However they are numbered: one absorbing state; one class of two."""
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        W = generator_matrix(ABSORBED[np.ix_(order, order)])
        np.testing.assert_array_equal(stationary(W), np.array(order) == 3)
        joined = ABSORBED.copy()
        joined[2, 3] = 0.6  # 2 <-> 3 at 0.9, 0.6; but 1 is reached from 2
        joined[1, 2] = 0.0
        rest = stationary(generator_matrix(joined[np.ix_(order, order)]))
        want = np.array([0, 0, 0.4, 0.6])[order]
        np.testing.assert_allclose(rest, want, rtol=1e-15)
    assert stationary(np.zeros((1, 1))) == 1


@pytest.mark.oracle
@pytest.mark.parametrize("depth", [1, 40, 120, 300])
@pytest.mark.parametrize("wells", [1, 2])
def test_the_least_likely_state_has_its_digits(depth, wells):
    """exp(-U) in wells up to 300 deep, which connect however rarely they are left."""
    x = np.linspace(-1, 1, 41)
    U = depth * (x**2 if wells == 1 else 4 * (x**2 - 0.5) ** 2)
    rest = stationary(generator_matrix(well(U)))
    want = np.exp(-U) / np.exp(-U).sum()
    np.testing.assert_allclose(rest, want, rtol=1e-13 * (1 + depth))


@pytest.mark.control
def test_a_null_vector_by_singular_values_loses_the_rare_states():
    x = np.linspace(-1, 1, 41)
    W = generator_matrix(well(40 * x**2))
    null = np.linalg.svd(W)[2][-1]
    null /= null.sum()
    assert np.abs(null / stationary(W) - 1).max() > 1


def test_states_that_fall_apart_have_no_one_stationary_law():
    """Two classes that are never left, with a third between them or without."""
    apart = np.kron(np.eye(2), THREE[:2, :2])
    both = np.array([[0, 1.0, 0], [0, 0, 0], [0, 2.0, 0]])  # 1 goes to 0 or 2
    for given_rates in (apart, both):
        with pytest.raises(ValueError, match="several distributions: 2 classes"):
            stationary(generator_matrix(given_rates))
    faint = apart.copy()
    faint[2, 0] = faint[0, 2] = 1e-200  # a bridge, however narrow, is one
    first = stationary(generator_matrix(THREE[:2, :2]))
    rest = stationary(generator_matrix(faint))
    np.testing.assert_allclose(rest, np.concatenate([first, first]) / 2, rtol=1e-14)


@pytest.mark.identity
@given(U=st.lists(st.floats(-5, 5), min_size=2, max_size=8))
def test_detailed_balance_is_more_than_stationarity(U):
    """Rates from a potential are balanced; of a cycle only the sums are (control)."""
    U = np.array(U)
    W = generator_matrix(well(U))
    p = np.exp(-U) / np.exp(-U).sum()
    flow = np.where(np.eye(len(U), dtype=bool), 0, W * p).max()
    assert balance_error(W, p) < 1e-14 * flow
    np.testing.assert_allclose(stationary(W), p, rtol=1e-13)
    moved = np.roll(p, 1)  # another law has net flows
    if np.abs(moved / p - 1).max() > 1e-3:
        assert balance_error(W, moved) > 1e-12 * flow
    cycle, even = generator_matrix(CYCLE), np.full(3, 1 / 3)
    assert np.abs(master_rate(even, cycle)).max() == 0
    np.testing.assert_allclose(stationary(cycle), even, rtol=1e-15)
    assert balance_error(cycle, even) == pytest.approx(1 / 3)


@pytest.mark.identity
@given(U=st.lists(st.floats(-3, 3), min_size=3, max_size=6), c=st.floats(0.01, 2))
def test_a_current_round_a_ring_of_balanced_states_is_the_imbalance(U, c):
    """Adding c / p[j] to each jump j -> j + 1 keeps p, with net flow c everywhere."""
    U = np.array(U)
    K, p = len(U), np.exp(-U) / np.exp(-U).sum()
    given_rates = well(U)
    for j in range(K):
        given_rates[(j + 1) % K, j] += c / p[j]
    W = generator_matrix(given_rates)
    np.testing.assert_allclose(stationary(W), p, rtol=1e-12)
    assert balance_error(W, p) == pytest.approx(c, rel=1e-10)


LAW = toys.blobs([0.4, 0.6], [[-1.0], [0.8]], [0.5, 0.4])


def walk_error(n, k=0.7, t=0.4):
    """The walk's density against the closed form: the mixture noised by sqrt(2 k t)."""
    dx = 16 / n
    x = dx * (np.arange(n) + 0.5) - 8
    start = np.exp(LAW.logpdf(x[:, None]))
    want = np.exp(LAW.noised(1.0, np.sqrt(2 * k * t)).logpdf(x[:, None]))
    return np.abs(transition(lattice_walk(n, dx, k), t) @ start - want).max()


def wall_error(n, k=0.7, t=0.4):
    """The same for waves against the walls, cos(pi x / L) and cos(3 pi x / L) on 0..2."""
    x, omega = 2 / n * (np.arange(n) + 0.5), np.array([[1], [3]]) * np.pi / 2
    want = (np.exp(-k * omega**2 * t) * np.cos(omega * x)).sum(axis=0)
    start = np.cos(omega * x).sum(axis=0)
    return np.abs(transition(lattice_walk(n, 2 / n, k), t) @ start - want).max()


@pytest.mark.order
@pytest.mark.parametrize("error", [walk_error, wall_error])
def test_the_walk_becomes_the_heat_equation_at_second_order(error):
    slopes = measured_order([error(n) for n in (40, 80, 160, 320)])[1:]
    np.testing.assert_allclose(slopes, 2, atol=0.1)


@pytest.mark.control
def test_a_walk_of_half_the_rate_has_another_limit():
    n, dx, t = 160, 0.1, 0.4
    x = dx * (np.arange(n) + 0.5) - 8
    start = np.exp(LAW.logpdf(x[:, None]))
    want = np.exp(LAW.noised(1.0, np.sqrt(2 * 0.7 * t)).logpdf(x[:, None]))
    for k, near in ((0.7, True), (0.35, False)):
        got = transition(lattice_walk(n, dx, k), t) @ start
        assert (np.abs(got - want).max() < 2e-3) == near


@pytest.mark.identity
@pytest.mark.parametrize("dx", [0.1, 0.5])
def test_the_walks_variance_grows_by_2_k_t_at_any_width(dx):
    n, k, t = 121, 0.7, 0.5 * dx**2
    x = dx * (np.arange(n) - 60)
    W = lattice_walk(n, dx, k)
    p = transition(W, t)[:, 60]
    assert p @ x**2 == pytest.approx(2 * k * t, rel=1e-12)
    assert abs(p @ x) < 1e-14
    np.testing.assert_allclose(stationary(W), 1 / n, rtol=1e-13)
    assert balance_error(W, np.full(n, 1 / n)) == 0


def rng():
    return np.random.default_rng(0)


W2, P2 = generator_matrix(THREE[:2, :2]), np.array([0.5, 0.5])
START = np.zeros(3, int)
REFUSED = [
    (lambda: compose(np.ones((2, 3)), np.ones((2, 3))), r"\(K, M\) and earlier"),
    (lambda: compose(W2, P2), r"earlier \(M, J\); got \(2, 2\), \(2,\)"),
    (lambda: compose(W2, np.array([[np.nan]])), "earlier must be finite"),
    (lambda: compose(W2, W2, 0.0), "dx must be"),
    (
        lambda: generator_matrix(np.ones((2, 3))),
        r"rates must be \(K, K\); got .*\(2, 3\)",
    ),
    (lambda: generator_matrix(np.ones((0, 0))), r"rates must be \(K, K\)"),
    (lambda: generator_matrix(np.ones(4)), r"rates must be \(K, K\)"),
    (lambda: generator_matrix(-THREE), "rates must be at least 0"),
    (lambda: generator_matrix(np.full((2, 2), np.inf)), "rates must be finite"),
    (lambda: flow_in(P2[:, None], W2), r"p must be \(2,\); got shape \(2, 1\)"),
    (lambda: flow_in(np.eye(2), W2), r"p must be \(2,\); got shape \(2, 2\)"),
    (lambda: flow_out(np.ones(3), W2), r"p must be \(2,\)"),
    (lambda: master_rate(np.array([np.nan, 1]), W2), "p must be finite"),
    (lambda: master_rate(P2, THREE[:2, :2]), r"W\[:, j\] is to sum to 0"),
    (lambda: master_rate(P2, -W2), "W must be at least 0 off the diagonal"),
    (lambda: transition(W2, -1.0), "t must be a number of at least 0; got -1"),
    (lambda: transition(W2, np.nan), "t must be finite"),
    (lambda: transition(W2, np.ones(2)), "t must be a number"),
    (lambda: transition(W2[:1], 1.0), r"W must be \(K, K\)"),
    (lambda: two_state(1.2, 1.0, 1.0, 1.0), r"p1 must be in 0..1; got 1.2"),
    (lambda: two_state(np.nan, 1.0, 1.0, 1.0), "p1 must be"),
    (lambda: two_state(0.5, 0.0, 1.0, 1.0), "to_2 must be"),
    (lambda: two_state(0.5, 1.0, -1.0, 1.0), "to_1 must be"),
    (lambda: two_state(0.5, 1.0, 1.0, -1.0), "t must be finite and at least 0"),
    (lambda: two_state(0.5, 1.0, 1.0, np.inf), "t must be finite and at least 0"),
    (lambda: stationary(W2 * np.nan), "W must be finite"),
    (lambda: stationary(W2[0]), r"W must be \(K, K\)"),
    (lambda: balance_error(W2, np.ones(3)), r"p must be \(2,\)"),
    (lambda: balance_error(W2, np.array([1, np.inf])), "p must be finite"),
    (lambda: gillespie(START + 2, W2, 1.0, rng()), "start must be states 0..1"),
    (lambda: gillespie(START - 1, W2, 1.0, rng()), "start must be states 0..1"),
    (lambda: gillespie(START * 1.0, W2, 1.0, rng()), "start must be states 0..1"),
    (lambda: gillespie(START[:, None], W2, 1.0, rng()), r"start must be \(n,\)"),
    (lambda: gillespie(0, W2, 1.0, rng()), r"start must be \(n,\); got shape \(\)"),
    (lambda: gillespie(START, -W2, 1.0, rng()), "W must be at least 0 off"),
    (lambda: gillespie(START, W2, -1.0, rng()), "T must be finite and at least 0"),
    (lambda: gillespie(START, W2, np.nan, rng()), "T must be finite"),
    (lambda: lattice_walk(1, 0.1, 1.0), "n must be at least 2"),
    (lambda: lattice_walk(5, 0.0, 1.0), "dx must be"),
    (lambda: lattice_walk(5, 0.1, -1.0), "k must be"),
]


@pytest.mark.parametrize(("call", "match"), REFUSED)
def test_what_makes_no_sense_is_refused_by_name(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_jumps_come_from_the_generator_given():
    with pytest.raises(TypeError, match="rng must be"):
        gillespie(START, W2, 1.0, np.random)
    assert len(gillespie(START[:0], W2, 1.0, rng())) == 0


@pytest.mark.oracle
@pytest.mark.parametrize("fast", [1e3, 1e8, 1e13, 1e16, 1e200])
def test_fast_rates_cost_the_slow_ones_no_digits(fast):
    """Two states in balance at once, and a third by a rate 1: two_state of both and it."""
    rates = np.array([[0, 2 * fast, 1.0], [fast, 0, 2.0], [1.0, 1.0, 0]])
    P = master.transition(master.generator_matrix(rates), 0.7)
    np.testing.assert_allclose(P.sum(axis=0), 1, rtol=1e-13)
    together = master.two_state(1.0, 1.0, 3.0, 0.7)  # leaves at 1, comes back at 3
    near = 1e-13 + 10 / fast
    np.testing.assert_allclose(P[:2, 0].sum(), together, rtol=near)
    np.testing.assert_allclose(P[0, 0], 2 / 3 * together, rtol=near)


@pytest.mark.oracle
def test_the_stationary_law_of_a_steep_well_has_all_its_digits():
    """N(0, 1) on a grid to 40 deviations: exp(-800) at the walls underflows, as it must."""
    grid = fokker_planck.Grid((200,), (-37.0,), (37.0,))
    W = fokker_planck.potential_operator(grid, lambda x: -(x[:, 0] ** 2) / 2, 1.0)
    want = grid.probabilities(lambda x: -(x[:, 0] ** 2) / 2)
    np.testing.assert_allclose(master.stationary(W), want, rtol=1e-10)
    far = np.diag([1e200] * 3, -1) + np.diag([1e-200] * 3, 1)
    with pytest.raises(ValueError, match="less far apart"):
        master.stationary(master.generator_matrix(far))
