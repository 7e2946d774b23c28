"""Exponential integrators: what they integrate exactly, their orders, and their chains.

The oracles know only y = x / signal and lam = log(signal / noise): in these the flow is
dy/dlam = -exp(-lam) eps_hat, whatever the process.
"""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_accurate, exact, mixture_cdf

from refdiff import ddim, exponential, ode, reversal, sde, toys
from refdiff.exponential import (
    dpm2_step,
    dpm3_step,
    dpm_chain,
    dpm_step,
    dpmpp_2m_chain,
    dpmpp_2m_step,
    dpmpp_step,
)
from refdiff.probe import tabulate
from refdiff.samplers import measured_order
from refdiff.schedule import Level
from refdiff.targets import eps_from_score, x0_from_eps, x0_from_score

VP, COSINE = sde.vp(sde.linear_beta()), sde.vp(sde.cosine_beta())
PROCESSES = {  # those that end without noise
    "VP linear": VP,
    "VP cosine": COSINE,
    "sub-VP": sde.sub_vp(sde.linear_beta()),
    "EDM": sde.edm(80.0),
    "OU": sde.ou(1.3, 0.7, T=5.0),
}
LAW = toys.blobs([0.3, 0.5, 0.2], [[-1.5], [0.5], [2.0]], [0.3, 0.5, 0.4])
DATA = toys.blobs([1.0], [[1.5]], 0.5)
CHAINS = {
    "1": dpm_chain,
    "2": lambda process, grid: dpm_chain(process, grid, 2),
    "3": lambda process, grid: dpm_chain(process, grid, 3),
    "2M": dpmpp_2m_chain,
}
ORDER = {"1": 1, "2": 2, "3": 3, "2M": 2}
CLEAN = Level(1.0, 0.0, 0.0)

numbers = st.floats(-3, 3)


def vp_level(lam):
    """The variance-preserving Level at a log(signal / noise)."""
    return Level(1 / np.hypot(1, np.exp(-lam)), 1 / np.hypot(1, np.exp(lam)), -lam)


def shares(process, N, uneven=False):
    """Times with equal widths in lam from T to lam = 3, or widths as 1, 2, 3, 1, ..."""
    width = np.resize([1.0, 2.0, 3.0], N) if uneven else np.ones(N)
    at = np.concatenate([[0], np.cumsum(width) / width.sum()])
    lam = process.log_snr(process.T) * (1 - at) + 3.0 * at
    return np.array([process.T, *map(process.time, lam[1:])])


def eps_at(model, x, level):
    return eps_from_score(x, model(x, level), level.signal, level.noise)


def slopes(errors):
    return measured_order(np.array(errors))


@pytest.mark.identity
@pytest.mark.parametrize("process", [VP, COSINE])
def test_the_first_order_step_is_ddim(process):
    """DDIM's step with sigma = 0 on exact transitions between times; and its table."""
    rising = np.array([0.0, 1e-4, 0.01, 0.03, 0.2, 0.5, 0.8, process.T])
    sched = reversal.schedule_on(process, rising)
    x, eps = np.random.default_rng(0).standard_normal((2, 5, 2))
    for i in range(1, len(rising)):
        now, then = process.level(rising[i]), process.level(rising[i - 1])
        want = ddim.ddim_step(x, i, eps, 0.0, x, sched)
        size = then.signal / now.signal  # of the terms that cancel
        got = dpm_step(x, eps, now, then)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13 * size)
        x0 = x0_from_eps(x, eps, now.signal, now.noise)
        got = dpmpp_step(x, x0, now, then)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13 * size)
    table, want = dpm_chain(process, rising[::-1]), ddim.ddim_chain(sched)
    for name in ("A", "b", "c", "signal", "noise", "t", "ends"):
        got = getattr(table, name)
        np.testing.assert_allclose(got, getattr(want, name), rtol=1e-12, atol=1e-14)


@pytest.mark.identity
@given(
    name=st.sampled_from(sorted(PROCESSES)),
    ends=st.lists(st.floats(1e-3, 1), min_size=2, max_size=2, unique=True).map(sorted),
    x=numbers,
    eps=numbers,
)
def test_the_noise_and_the_data_give_one_step(name, ends, x, eps):
    """dpm_step from eps is dpmpp_step from the x0 of that eps, for any process."""
    process = PROCESSES[name]
    then, now = (process.level(process.T * share) for share in ends)
    a = dpm_step(x, eps, now, then)
    b = dpmpp_step(x, x0_from_eps(x, eps, now.signal, now.noise), now, then)
    size = (abs(x) + now.noise * abs(eps)) * then.signal / now.signal
    assert abs(a - b) <= 1e-14 * size + 1e-15


@pytest.mark.limit
@pytest.mark.parametrize("name", PROCESSES)
def test_the_last_step_returns_x0_hat(name):
    """To t = 0: the very number from x0_hat, and to rounding from eps, at any width."""
    process = PROCESSES[name]
    x, y = np.random.default_rng(0).standard_normal((2, 5, 1))
    for t in process.T * np.array([1e-9, 1e-3, 0.1, 1.0]):
        now, then = process.level(t), process.level(0.0)
        assert then == CLEAN
        np.testing.assert_array_equal(dpmpp_step(x, y, now, then), y)
        got, want = dpm_step(x, y, now, then), x0_from_eps(x, y, now.signal, now.noise)
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-15 / now.signal)
        for chain in CHAINS.values():
            *_, got = chain(process, np.array([t, 0.0])).run(x, LAW.model)
            x0 = x0_from_score(x, LAW.model(x, now), now.signal, now.noise)
            np.testing.assert_allclose(got, x0, rtol=0, atol=1e-14 / now.signal)


@pytest.mark.limit
def test_where_noise_is_left_at_time_0_the_last_step_is_like_the_others():
    """VE ends at sigma_min = 0.01, and not in x0_hat."""
    process, grid = sde.ve(), np.array([1.0, 0.5, 0.0])
    asked = {"1": 2, "2": 4, "3": 6, "2M": 2}
    for name, chain in CHAINS.items():
        assert chain(process, grid).evaluations == asked[name]
    x, y = np.ones((2, 1))
    now, then = process.level(0.5), process.level(0.0)
    kept = dpmpp_step(x, 0 * y, now, then)
    assert kept == pytest.approx(0.01 / now.noise * x, rel=1e-14)


def coefficients(step, asked):
    """Of x, of an eps that is the same throughout, and of what each later eps adds.

    At the points asked and at the end; a column's unit in each row of one batch.
    """
    unit, points = np.eye(1 + asked), []

    def model(x, level):
        points.append(x[:, 0])
        later = unit[:, len(points), None] if len(points) > 1 else 0
        return -(unit[:, 1:2] + later) / level.noise

    end = step(unit[:, :1].copy(), model)
    return np.array([*points, end[:, 0]])


def lams(v):
    """log(signal / noise) of levels given as signal, noise, signal, noise, ..."""
    return [mp.log(s / n) for s, n in zip(v[::2], v[1::2], strict=True)]


def fallen(now, then, node=None):
    """Integral of exp(-lam), or of that times a line from 0 at now to 1 at the node."""

    def line(lam):
        return (lam - now) / (node - now) if node is not None else 1

    return -mp.quad(lambda lam: mp.exp(-lam) * line(lam), [now, then])


def by_quadrature(order):
    """All coefficients of a DPM-Solver step at 50 digits: what it takes eps_hat for.

    On the way from now to each level that is a constant, or a line through two values.
    """

    def f(v):
        lam, signal = lams(v), v[::2]
        rows = [[1, *[0] * order]]
        for s, at in zip(signal[1:], lam[1:], strict=True):
            same = [s / signal[0], s * fallen(lam[0], at)]
            rows.append([*same, *[0] * (order - 1)])
        if order == 3:
            half = lam[0] + (lam[2] - lam[0]) / 2
            rows[2][2] = signal[2] * fallen(lam[0], lam[2], half)
            two_thirds = lam[0] + 2 * (lam[3] - lam[0]) / 3
            rows[3][3] = signal[3] * fallen(lam[0], lam[3], two_thirds)
        if order == 2:
            rows[2][2] = rows[2][1]  # the middle's eps is taken for all of the step
        return [entry for row in rows for entry in row]

    return f


STEPS = {
    1: lambda x, levels, model: dpm_step(x, eps_at(model, x, levels[0]), *levels),
    2: lambda x, levels, model: dpm2_step(x, *levels, model),
    3: lambda x, levels, model: dpm3_step(x, *levels, model),
}


@pytest.mark.oracle
@pytest.mark.parametrize("order", STEPS)
@pytest.mark.parametrize("width", [1e-12, 1e-8, 1e-4, 0.1, 1.0, 10.0, 30.0])
def test_coefficients_agree_with_50_digits(order, width):
    """The integrals that they stand for, by quadrature; the levels are exact inputs."""
    for lam in (-5.0, 0.0, 4.0):
        levels = [vp_level(lam + width * k / order) for k in range(order + 1)]
        got = coefficients(lambda x, m, at=levels: STEPS[order](x, at, m), order)
        inputs = exact([number for at in levels for number in at[:2]])
        assert_accurate(got, by_quadrature(order), inputs, tol=1e-14)


@pytest.mark.oracle
@pytest.mark.parametrize("width", [1e-12, 1e-8, 1e-4, 0.1, 1.0, 10.0, 30.0])
def test_steps_from_x0_agree_with_50_digits(width):
    """d(x / noise)/dlam = exp(lam) x0_hat, by quadrature; 2M: x0_hat at mid-step."""

    def f(v):
        (last, now, then), noise = lams(v), v[1::2]
        whole = noise[2] * mp.quad(mp.exp, [now, then])
        ahead = whole * ((now + then) / 2 - now) / (now - last)
        return [noise[2] / noise[1], whole + ahead, -ahead]

    for lam in (-5.0, 0.0, 4.0):
        levels = [vp_level(lam - 0.3), vp_level(lam), vp_level(lam + width)]
        got = dpmpp_2m_step(*np.eye(3), *levels)
        inputs = exact([number for at in levels for number in at[:2]])
        assert_accurate(got, f, inputs, tol=1e-14)


def value(c, lam):
    """sum_j c[j] lam^j."""
    return sum(c_j * lam**j for j, c_j in enumerate(c))


def polynomial(c):
    """A model whose eps_hat is sum_j c[j] lam^j, whatever x."""

    def model(x, level):
        lam = np.log(level.signal / level.noise)
        return np.full_like(x, -value(c, lam) / level.noise)

    return model


def solved(x, now, then, c):
    """End of the flow with that eps_hat, by quadrature at 50 digits."""
    lam, lam_then = lams(exact([*now[:2], *then[:2]]))
    fall = mp.quad(lambda v: mp.exp(-v) * value(c, v), [lam, lam_then])
    return mp.mpf(then.signal) * (x / mp.mpf(now.signal) - fall)


def solved_from_x0(x, now, then, c):
    """End of the flow with x0_hat = sum_j c[j] lam^j, likewise."""
    lam, lam_then = lams(exact([*now[:2], *then[:2]]))
    rise = mp.quad(lambda v: mp.exp(v) * value(c, v), [lam, lam_then])
    return mp.mpf(then.noise) * (x / mp.mpf(now.noise) + rise)


def missed(order, lam, width, c):
    """Error of one step of DPM-Solver on such a flow, in y, times exp(lam)."""
    levels = [vp_level(lam + width * k / order) for k in range(order + 1)]
    got = STEPS[order](np.array([[0.7]]), levels, polynomial(c))[0, 0]
    error = got - solved(mp.mpf(0.7), levels[0], levels[-1], c)
    return float(error * mp.exp(lam) / levels[-1].signal)


def missed_2m(step, lam, width, r, c):
    """Error of one step of 2M after a step of r width, in x / signal."""
    last, now, then = (vp_level(lam + w) for w in (-r * width, 0.0, width))
    x0, x0_last = (value(c, -at.t) for at in (now, last))
    got = step(0.7, x0, x0_last, last, now, then)
    return float((got - solved_from_x0(mp.mpf(0.7), now, then, c)) / then.signal)


@pytest.mark.oracle
@pytest.mark.parametrize("width", [0.01, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("lam", [-4.0, 0.3])
def test_each_is_exact_on_constants_and_order_3_on_lines(width, lam):
    """Where eps_hat, or x0_hat for 2M, is such a function of lam alone.

    DPM-Solver-2 and 2M take the middle of the step for all of it, and miss a line of
    slope 1 by the integral of exp(-s) (s - h/2), and of exp(s - h) (h/2 - s).
    """
    for order in (1, 2, 3):
        assert abs(missed(order, lam, width, [1.3])) < 1e-14 * np.exp(width)
    assert abs(missed(3, lam, width, [1.3, -0.8])) < 3e-14 * np.exp(width)
    off = mp.quad(lambda s: mp.exp(-s) * (s - width / 2), [0, width])
    assert missed(2, lam, width, [1.3, 1.0]) == pytest.approx(float(off), abs=1e-13)
    for r in (0.5, 1.0, 2.0):
        assert abs(missed_2m(dpmpp_2m_step, lam, width, r, [1.3])) < 1e-14 * (1 + 1 / r)
        off = mp.quad(lambda s: mp.exp(s - width) * (width / 2 - s), [0, width])
        got = missed_2m(dpmpp_2m_step, lam, width, r, [1.3, 1.0])
        assert got == pytest.approx(float(off), abs=3e-14)


@pytest.mark.order
def test_local_errors_have_the_order_and_the_number_of_their_rule():
    """On polynomials: h^2/2, -h^3/12 and -h^4/36 of eps_hat, -h^3/12 of x0_hat."""
    widths = 0.2 / 2.0 ** np.arange(5)
    for order, c, rate, number in (
        (1, [1.0, 1.0], 2, 1 / 2),
        (2, [1.0, 1.0], 3, -1 / 12),
        (3, [1.0, 1.0, 1.0], 4, -1 / 36),
    ):
        errors = np.array([missed(order, 0.3, h, c) for h in widths])
        assert np.abs(slopes(abs(errors))[-2:] - rate).max() < 0.1
        assert errors[-1] / widths[-1] ** rate == pytest.approx(number, rel=0.02)
    for r in (0.5, 1.0, 2.0):
        errors = np.array(
            [missed_2m(dpmpp_2m_step, 0.3, h, r, [1.0, 1.0]) for h in widths]
        )
        assert np.abs(slopes(abs(errors))[-2:] - 3).max() < 0.1
        assert errors[-1] / widths[-1] ** 3 == pytest.approx(-1 / 12, rel=0.02)


def width_between(now, then):
    return np.log(then.signal / now.signal) - np.log(then.noise / now.noise)


def inverted_2m_step(x, x0, x0_last, last, now, then):
    """2M with r/2 where 1/(2r) belongs: they are equal at r = 1."""
    ahead = width_between(last, now) / (2 * width_between(now, then))
    return dpmpp_step(x, x0 + ahead * (x0 - x0_last), now, then)


@pytest.mark.control
def test_a_ratio_of_widths_upside_down_shows_where_widths_differ():
    """Even grids in lam hide it; on others the local error is h^2, not h^3."""
    widths = 0.2 / 2.0 ** np.arange(5)
    for r in (0.5, 2.0):
        errors = [missed_2m(inverted_2m_step, 0.3, h, r, [1.0, 1.0]) for h in widths]
        assert np.abs(slopes(np.abs(errors))[-2:] - 2).max() < 0.1
    for h in widths:
        hidden = missed_2m(inverted_2m_step, 0.3, h, 1.0, [1.0, 1.0])
        right = missed_2m(dpmpp_2m_step, 0.3, h, 1.0, [1.0, 1.0])
        assert hidden == pytest.approx(right, abs=1e-13)


def ends(process):
    """Starting points at T, and where the flow of LAW takes them at lam = 3."""
    x = process.marginal(process.T)[1] * np.linspace(-2, 2, 5)[:, None]
    flow = reversal.probability_flow(process, LAW.model)
    grid = np.array([process.T, process.time(3.0)])
    return x, ode.reference_flow(flow.f, x, grid)[-1]


def flow_errors(chain, process, uneven=False, halvings=(48, 96, 192)):
    x, want = ends(process)
    errors = []
    for N in halvings:
        *_, got = chain(process, shares(process, N, uneven)).run(x, LAW.model)
        errors.append(np.abs(got - want).max())
    return errors


@pytest.mark.order
@pytest.mark.parametrize(
    ("process", "uneven"),
    [("VP linear", False), ("VP linear", True), ("VP cosine", False), ("EDM", True)],
)
def test_orders_on_the_probability_flow(process, uneven):
    """On a mixture, to the solution by SciPy; uneven widths are as 1, 2, 3, 1, ..."""
    process = PROCESSES[process]
    for name, chain in CHAINS.items():
        errors = flow_errors(chain, process, uneven)
        assert np.abs(slopes(errors)[1:] - ORDER[name]).max() < 0.1, (name, errors)
        assert errors[-1] < {1: 0.03, 2: 3e-4, 3: 1e-6}[ORDER[name]], (name, errors)


@pytest.mark.oracle
@pytest.mark.parametrize("process", PROCESSES)
def test_the_limit_keeps_the_quantiles(process):
    """One dimension: the flow is the monotone map between the exact marginals."""
    process = PROCESSES[process]
    x, _ = ends(process)
    *_, got = CHAINS["3"](process, shares(process, 384)).run(x, LAW.model)
    at_T = mixture_cdf(LAW.noised(*process.marginal(process.T)))
    at_end = mixture_cdf(LAW.noised(*process.marginal(process.time(3.0))))
    np.testing.assert_allclose(at_end(got), at_T(x), rtol=0, atol=2e-6)


def wrong_chain(solve, order):
    """A chain of a wrong step, solve(x, now, *inner, then, model)."""

    def chain(process, grid):
        def at(t, t_next):
            shares = [k / order for k in range(1, order)]
            inner = [reversal.between(process, t, t_next, share) for share in shares]
            levels = [process.level(t), *inner, process.level(t_next)]
            return lambda x, z, model: solve(x, *levels, model)

        return tabulate([at(*pair) for pair in pairwise(grid.tolist())])

    return chain


def far_stage_step(x, now, mid, then, model):
    """DPM-Solver-2 whose stage goes the whole width h, not r h."""
    u = dpm_step(x, eps_at(model, x, now), now, then)
    return dpm_step(x, eps_at(model, u, mid), now, then)


def slope_weight(now, then):
    h = width_between(now, then)
    return then.noise * (np.expm1(h) / h - 1)


def far_weight_step(x, now, third, second, then, model):
    """DPM-Solver-3 whose second stage has the slope's weight over h, not over r h."""
    eps = eps_at(model, x, now)
    u1 = dpm_step(x, eps, now, third)
    rise = eps_at(model, u1, third) - eps
    u2 = dpm_step(x, eps, now, second) - 2 * slope_weight(now, then) * rise
    rise = eps_at(model, u2, second) - eps
    return dpm_step(x, eps, now, then) - 3 / 2 * slope_weight(now, then) * rise


def inverted_end_step(x, now, third, second, then, model):
    """DPM-Solver-3 with r = 2/3 for 1/r in the last line."""
    eps = eps_at(model, x, now)
    u1 = dpm_step(x, eps, now, third)
    rise = eps_at(model, u1, third) - eps
    u2 = dpm_step(x, eps, now, second) - 2 * slope_weight(now, second) * rise
    rise = eps_at(model, u2, second) - eps
    return dpm_step(x, eps, now, then) - 2 / 3 * slope_weight(now, then) * rise


@pytest.mark.control
@pytest.mark.parametrize(
    ("step", "order", "seen"),
    [(far_stage_step, 2, 1), (far_weight_step, 3, 2), (inverted_end_step, 3, 1)],
)
def test_wrong_stages_lose_an_order(step, order, seen):
    """They still converge, to the same limit, so that only the slope tells."""
    errors = flow_errors(wrong_chain(step, order), VP)
    assert np.abs(slopes(errors)[1:] - seen).max() < 0.15
    assert errors[-1] < 0.05


def test_stages_stand_between_the_times_in_log_snr():
    """By each process's own inverse t(lam), where it has one by hand."""

    def linear(lam):
        B = np.log1p(np.exp(-2 * lam))
        return 2 * B / (0.1 + np.sqrt(0.1**2 + 2 * 19.9 * B))

    def cosine(lam):
        start = np.cos(0.008 / 1.008 * np.pi / 2)
        angle = np.arccos(start / np.hypot(1, np.exp(-lam)))
        return angle * 2 / np.pi * 1.008 - 0.008

    inverse = {
        "VP linear": linear,
        "VP cosine": cosine,
        "EDM": lambda lam: np.exp(-lam),
        "OU": lambda lam: np.log1p(1.3 / 0.49 * np.exp(-2 * lam)) / 1.3,
    }
    for name, process in {**PROCESSES, "VE": sde.ve()}.items():
        t, t_next = 0.8 * process.T, 0.3 * process.T
        lam, lam_next = process.log_snr(t), process.log_snr(t_next)
        for share in (0.0, 1 / 3, 1 / 2, 2 / 3, 1.0):
            level = reversal.between(process, t, t_next, share)
            want = lam + share * (lam_next - lam)
            got = np.log(level.signal) - np.log(level.noise)
            assert got == pytest.approx(want, rel=1e-13, abs=1e-13)
            if name in inverse:
                assert level.t == pytest.approx(inverse[name](want), rel=1e-12)
            assert level == process.level(level.t)
    between = reversal.between(sde.edm(), 9.0, 4.0, 0.5)
    assert between.t == pytest.approx(6.0, rel=1e-14)  # the geometric mean
    between = reversal.between(sde.ve(), 0.8, 0.3, 0.2)
    assert between.t == pytest.approx(0.7, rel=1e-14)  # geometric in t


@pytest.mark.parametrize("process", [VP, sde.edm()])
def test_models_are_asked_in_the_order_of_lam_at_the_times_of_the_sde(process):
    """Evaluations, registers, levels and labels, in the table and in a run."""
    grid = np.append(shares(process, 5, uneven=True), 0.0)
    wide = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "2M": (1, 2)}
    for name, chain in CHAINS.items():
        table, seen = chain(process, grid), []
        asked, registers = wide[name]
        assert table.steps == 6
        assert table.evaluations == len(table.t) == 5 * asked + 1
        assert table.A.shape[1] == registers
        assert not table.c.any()

        def model(x, level, seen=seen):
            seen.append(level)
            return DATA.model(x, level)

        *_, _ = table.run(np.ones((2, 1)), model)
        assert [level.t for level in seen] == table.t.tolist()
        assert all(level == process.level(level.t) for level in seen)
        lam = np.log([level.signal / level.noise for level in seen])
        nodes = process.log_snr(grid[:-1])
        parts = np.linspace(nodes[:-1], nodes[1:], asked, endpoint=False).T.ravel()
        np.testing.assert_allclose(lam, [*parts, nodes[-1]], rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(table.t[::asked], grid[:-1])


def direct(name, process, grid, x, model):
    """A solver run by its steps, no table; a step to no noise is of order 1."""
    levels, x0_last = [process.level(t) for t in grid], None
    for k, (now, then) in enumerate(pairwise(levels)):
        x0 = x0_from_score(x, model(x, now), now.signal, now.noise)
        if name == "2M" and k > 0 and then.noise > 0:
            x = dpmpp_2m_step(x, x0, x0_last, levels[k - 1], now, then)
        elif name in ("1", "2M") or then.noise == 0:
            x = dpmpp_step(x, x0, now, then)
        else:
            n = int(name)
            inner = [
                reversal.between(process, now.t, then.t, j / n) for j in range(1, n)
            ]
            x = STEPS[n](x, [now, *inner, then], model)
        x0_last = x0
        yield x


@pytest.mark.identity
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("process", PROCESSES)
def test_a_chain_runs_as_its_steps_do(name, process):
    """On a grid that ends with noise, where all steps are alike, and on one without."""
    process = PROCESSES[process]
    x = process.marginal(process.T)[1] * np.linspace(-2, 2, 5)[:, None]
    some = shares(process, 7, uneven=True)
    for grid in (some, np.append(some, 0.0)):
        _, *run = CHAINS[name](process, grid).run(x, LAW.model)
        want = list(direct(name, process, grid, x, LAW.model))
        np.testing.assert_allclose(run, want, rtol=1e-9, atol=1e-11)


def recursion(name, lam, m, C):
    """(shift, gain) of y from the first lam to x0_hat at the last, on N(m, C) data.

    At 50 digits in y, or for 2M in y exp(lam) = x / noise, from lam alone.
    """

    def eps(y, v):
        return (y - m) * mp.exp(-v) / (C + mp.exp(-2 * v))

    def x0(y, v):
        return y - mp.exp(-v) * eps(y, v)

    def fall(v, w):
        return mp.exp(-v) - mp.exp(-w)

    def bend(v, w):
        return mp.exp(-v) * (1 - (1 + w - v) * mp.exp(v - w)) / (w - v)

    def end(y):
        last = None
        for v, w in pairwise(lam):
            h, now = w - v, x0(y, v)
            if name == "1":
                y = y - fall(v, w) * eps(y, v)
            elif name == "2":
                y = y - fall(v, w) * eps(y - fall(v, v + h / 2) * eps(y, v), v + h / 2)
            elif name == "3":
                a, b, e = v + h / 3, v + 2 * h / 3, eps(y, v)
                rise = eps(y - fall(v, a) * e, a) - e
                rise = eps(y - fall(v, b) * e - 2 * bend(v, b) * rise, b) - e
                y = y - fall(v, w) * e - mp.mpf(3) / 2 * bend(v, w) * rise
            else:
                back = 0 if last is None else h / (2 * (v - last[1])) * (now - last[0])
                z = y * mp.exp(v) + (mp.exp(w) - mp.exp(v)) * (now + back)
                y = z * mp.exp(-w)
            last = now, v
        return x0(y, lam[-1])

    shift = end(mp.mpf(0))
    return shift, end(mp.mpf(1)) - shift


@pytest.mark.oracle
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(("N", "rel"), [(1, 1e-10), (2, 1e-11), (7, 1e-12)])
def test_exact_laws_are_those_of_a_scalar_recursion(name, process, N, rel):
    """On N(1.5, 0.25) and uneven widths, then to t = 0; wide steps cancel digits."""
    process = PROCESSES[process]
    grid = np.append(shares(process, N, uneven=True), 0.0)
    levels = [process.level(t) for t in grid[:-1]]
    lam = lams(exact([number for at in levels for number in at[:2]]))
    shift, gain = recursion(name, lam, mp.mpf(1.5), mp.mpf(0.25))
    signal, noise = map(float, process.marginal(process.T))
    start = np.array([0.3 * noise]), np.array([[2.0 * noise**2]])
    means, covs = CHAINS[name](process, grid).law(DATA.mean, DATA.cov, *start)
    mean, var = (
        shift + gain * 0.3 * noise / signal,
        gain**2 * 2.0 * (noise / signal) ** 2,
    )
    assert means[-1, 0] == pytest.approx(float(mean), rel=rel)
    assert covs[-1, 0, 0] == pytest.approx(float(var), rel=rel)


@pytest.mark.control
def test_without_the_rule_for_the_last_step_noise_stays_or_nothing_is_finite():
    """A stage between lam and infinity has no noise, so that eps_hat = 0 there."""
    now, x = VP.level(VP.time(1.0)), np.linspace(-1, 2, 4)[:, None]
    clean = x0_from_score(x, DATA.model(x, now), now.signal, now.noise)
    right = dpm_step(x, eps_at(DATA.model, x, now), now, CLEAN)
    np.testing.assert_allclose(right, clean, rtol=1e-13)
    kept = dpm2_step(x, now, CLEAN, CLEAN, DATA.model)
    np.testing.assert_allclose(kept, x / now.signal, rtol=1e-13)
    assert np.abs(kept - clean).max() > 0.1
    with pytest.raises(ValueError, match="x0 must be finite; it holds"):
        dpmpp_2m_step(x, clean, x, VP.level(0.9), now, CLEAN)


@pytest.mark.limit
def test_one_step_is_of_first_order_without_a_past():
    """2M has nothing to extend in its first step, which is DDIM's."""
    grid = np.array([1.0, 0.4])
    one, first = dpmpp_2m_chain(VP, grid), dpm_chain(VP, grid)
    np.testing.assert_allclose(one.A[0, 0, 0], first.A[0, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(one.b[0, 0], first.b[0, 0], rtol=1e-12)
    assert (one.A[0, :, 1] == 0).all()  # the memory is not read


def test_what_does_not_fit_is_refused_by_name():
    for chain in CHAINS.values():
        with pytest.raises(ValueError, match="grid must fall"):
            chain(VP, np.array([0.0, 0.5, 1.0]))
        with pytest.raises(ValueError, match="grid must rise throughout or fall"):
            chain(VP, np.array([1.0, 0.5, 0.7]))
        with pytest.raises(ValueError, match="grid must be finite"):
            chain(VP, np.array([1.0, np.nan]))
        with pytest.raises(ValueError, match="t must be in 0"):
            chain(VP, np.array([1.5, 0.5]))
    for order in (0, 4, 2.5):
        with pytest.raises(ValueError, match=f"order must be 1, 2 or 3; got {order}"):
            dpm_chain(VP, np.array([1.0, 0.5]), order)


@pytest.mark.oracle
@pytest.mark.parametrize("h", [1e-12, 1e-8, 1e-4, 0.5, 0.999, 1.001, 3.0, -1e-6, -2.0])
def test_factors_of_a_narrow_step_keep_their_digits(h):
    """(e^h - 1 - h) / h^2 and so on, which subtraction would lose: at 80 digits."""
    phi = [exponential._phi(k, h) for k in (2, 3)]
    with mp.workdps(80):
        w = mp.mpf(h)
        want = [(mp.exp(w) - 1 - w) / w**2, (mp.exp(w) - 1 - w - w**2 / 2) / w**3]
    for got, exact_ in zip(phi, want, strict=True):
        assert abs(mp.mpf(float(got)) / exact_ - 1) < 3e-15


@pytest.mark.identity
@pytest.mark.parametrize("width", [1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("name", CHAINS)
def test_narrow_steps_are_affine_too(name, width):
    """Ten steps of this width; in u2 the factor of eps is O(h^2), and was lost once."""
    grid = np.linspace(0.5, 0.5 - width, 11)
    chain = CHAINS[name](VP, grid)
    x = np.linspace(-1, 2, 4)[:, None]
    *_, got = chain.run(x, DATA.model)
    slope = reversal.probability_flow(VP, DATA.model).f(x, 0.5)
    np.testing.assert_allclose(
        got, x - width * slope, rtol=1e-13, atol=3e-15 + 10 * width**2
    )


@pytest.mark.limit
def test_a_process_whose_snr_stands_still_is_passed_through():
    """OU that grows: its SNR saturates, so that steps have no width in lam."""
    process = sde.ou(-5.0, 1.0, T=20.0)
    grid = np.linspace(20.0, 0.1, 50)
    x = process.marginal(20.0)[0] * np.linspace(-1, 2, 4)[:, None]
    flow = reversal.probability_flow(process, DATA.model)
    want = ode.reference_flow(flow.f, x, grid[[0, -1]])[-1]
    errors = {}
    for name, chain in CHAINS.items():
        *_, got = chain(process, grid).run(x, DATA.model)
        errors[name] = np.abs(got - want).max()
    assert max(errors.values()) < 0.2, errors
