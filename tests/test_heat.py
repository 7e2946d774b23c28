"""The heat equation: three solvers against closed forms, and what a solution must obey.

A mixture of Gaussians under heat is that mixture noised: x_t = x_0 + sqrt(2 k t) eps.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import expm

from refdiff import brownian, master, toys
from refdiff.heat import (
    heat_convolved,
    heat_crank_nicolson,
    heat_fourier,
    heat_kernel,
)
from refdiff.samplers import measured_order

K = 0.7  # conductivity
LAWS = {
    "Gaussian": toys.blobs([1.0], [[0.5]], 0.6),
    "mixture": toys.blobs([0.3, 0.5, 0.2], [[-2.0], [0.4], [2.5]], [0.4, 0.5, 0.8]),
}
laws = pytest.mark.parametrize("name", LAWS)
profiles = st.lists(
    st.floats(-3, 3).map(lambda v: round(v, 3)), min_size=2, max_size=30
)


def line(n, half=16.0):
    """Centres of n cells on -half..half, and their distance."""
    dx = 2 * half / n
    return dx * (np.arange(n) + 0.5) - half, dx


def density(name, x, t=0.0):
    """The closed form: the density of the law, noised by sqrt(2 k t)."""
    return np.exp(LAWS[name].noised(1.0, np.sqrt(2 * K * t)).logpdf(x[:, None]))


@pytest.mark.oracle
@laws
@pytest.mark.parametrize("t", [0.02, 0.3, 2.0])
def test_three_routes_are_one_solution(name, t):
    """Kernel and Fourier to the last digits, Crank-Nicolson as its order has it."""
    x, dx = line(500, 20.0)
    u, want = density(name, x), density(name, x, t)
    for got in (heat_convolved(u, dx, t, K), heat_fourier(u, dx, t, K)):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
    got = heat_crank_nicolson(u, dx, t, K, 400)
    np.testing.assert_allclose(got, want, rtol=0, atol=5e-4)
    x, dx = line(4000, 20.0)
    got = heat_crank_nicolson(density(name, x), dx, t, K, 400)
    np.testing.assert_allclose(got, density(name, x, t), rtol=0, atol=8e-6)


@pytest.mark.control
def test_a_conductivity_of_q_for_half_of_q_is_another_solution():
    """(5.19) with k = q/2: the variance of a Wiener process grows by q t, not 2 q t."""
    x, dx = line(400)
    u, q, t = density("Gaussian", x), 2 * K, 0.3
    for k, same in ((q / 2, True), (q, False)):
        for got in (
            heat_convolved(u, dx, t, k),
            heat_fourier(u, dx, t, k),
            heat_crank_nicolson(u, dx, t, k, 400),
        ):
            assert (np.abs(got - density("Gaussian", x, t)).max() < 1e-3) == same


@pytest.mark.oracle
def test_the_kernel_is_the_law_of_a_wiener_process_and_composes():
    x, dx = line(400)
    for t in (0.02, 0.5, 3.0):
        kernel = heat_kernel(x, t, K)
        want = stats.norm.pdf(x, scale=np.sqrt(2 * K * t))
        np.testing.assert_allclose(kernel, want, rtol=1e-11, atol=1e-300)
        wiener = brownian.wiener_density(x, t, 0.0, 2 * K)
        np.testing.assert_allclose(kernel, wiener, rtol=1e-11, atol=1e-300)
        later = heat_convolved(kernel, dx, 0.2, K)
        np.testing.assert_allclose(later, heat_kernel(x, t + 0.2, K), atol=1e-13)


@pytest.mark.identity
@given(u=profiles, s=st.floats(0.01, 2), t=st.floats(0.01, 2))
def test_fouriers_times_add_up(u, s, t):
    both = heat_fourier(heat_fourier(u, 0.3, s, K), 0.3, t, K)
    np.testing.assert_allclose(both, heat_fourier(u, 0.3, s + t, K), atol=1e-13)


@pytest.mark.oracle
@given(u=profiles, wave=st.integers(0, 4))
def test_a_wave_decays_by_its_own_rate(u, wave):
    """And any profile on the circle is a sum of them; the mean stays."""
    n = len(u)
    x, t = 0.3 * np.arange(n), 0.4
    omega = 2 * np.pi * min(wave, (n - 1) // 2) / (0.3 * n)
    cosine = np.cos(omega * x + 0.7)
    want = np.array(u).mean() + np.exp(-K * omega**2 * t) * cosine
    flat = np.full(n, np.mean(u))
    got = heat_fourier(flat + cosine, 0.3, t, K)
    np.testing.assert_allclose(got, want, atol=1e-13)


def in_time(halvings=5):
    """Errors against the exact solution of the same grid: exp(L t) of the lattice walk."""
    x, dx = line(80, 8.0)
    u, t = density("mixture", x), 1.0
    want = expm(master.lattice_walk(80, dx, K) * t) @ u
    steps = 10 * 2 ** np.arange(halvings)
    return [np.abs(heat_crank_nicolson(u, dx, t, K, n) - want).max() for n in steps]


def in_space(halvings=5):
    """Errors against the closed form, with steps so many that time adds none."""
    errors, t = [], 0.5
    for n in 100 * 2 ** np.arange(halvings):
        x, dx = line(n)
        got = heat_crank_nicolson(density("mixture", x), dx, t, K, 2000)
        errors.append(np.abs(got - density("mixture", x, t)).max())
    return errors


def at_walls(halvings=5):
    """The same for waves that lie against the walls: cos(m pi x / L) on cells of 0..L."""
    errors, t, length = [], 0.5, 2.0
    for n in 10 * 2 ** np.arange(halvings):
        dx = length / n
        x = dx * (np.arange(n) + 0.5)
        omega = np.pi * np.array([[1], [3]]) / length
        u = np.cos(omega * x).sum(axis=0)
        want = (np.exp(-K * omega**2 * t) * np.cos(omega * x)).sum(axis=0)
        got = heat_crank_nicolson(u, dx, t, K, 2000)
        errors.append(np.abs(got - want).max())
    return errors


@pytest.mark.order
@pytest.mark.parametrize("errors", [in_time, in_space, at_walls])
def test_crank_nicolson_is_of_second_order(errors):
    slopes = measured_order(errors())[1:]
    np.testing.assert_allclose(slopes, 2, atol=0.1)


@pytest.mark.identity
@given(u=profiles, t=st.floats(1e-3, 1e3), steps=st.integers(1, 20))
def test_heat_is_conserved(u, t, steps):
    """On a circle and between walls, for any profile, time and number of steps."""
    size = max(np.abs(u).sum(), 1)
    for got in (heat_fourier(u, 0.3, t, K), heat_crank_nicolson(u, 0.3, t, K, steps)):
        assert got.sum() == pytest.approx(np.sum(u), abs=1e-12 * size * len(u))


@laws
def test_the_kernel_conserves_heat_that_stays_inside(name):
    x, dx = line(400, 30.0)
    u = density(name, x)
    for t in (dx**2 / (2 * K), 0.1, 4.0):  # the first is the narrowest kernel taken
        got = heat_convolved(u, dx, t, K).sum() * dx
        assert got == pytest.approx(
            1, abs=3e-16 + 2.1 * np.exp(-4 * np.pi**2 * K * t / dx**2) + 1e-13
        )


@pytest.mark.identity
@given(u=profiles, t=st.floats(0.1, 100), steps=st.integers(1, 20))
def test_nothing_gets_hotter_than_the_hottest(u, t, steps):
    """The maximum principle: where k h / dx^2 <= 1, and where the kernel is resolved."""
    dx = 0.3
    low, high, slack = min(u), max(u), 1e-12
    steps = max(steps, int(np.ceil(K * t / dx**2)))
    for got in (
        heat_crank_nicolson(u, dx, t, K, steps),
        heat_fourier(u, dx, t + 0.2, K),
    ):
        assert low - slack <= got.min()
        assert got.max() <= high + slack
    got = heat_convolved(u, dx, t, K)  # outside the line it is 0
    assert min(low, 0) - 1e-8 <= got.min()
    assert got.max() <= max(high, 0) + 1e-8


@pytest.mark.control
def test_the_maximum_principle_fails_beyond_its_condition():
    """Crank-Nicolson's one large step, and waves of a grid that cannot draw the kernel."""
    u, dx = np.zeros(40), 0.3
    u[20] = 1
    t = 10 * dx**2 / K
    assert heat_crank_nicolson(u, dx, t, K, 10).min() >= 0
    assert heat_crank_nicolson(u, dx, t, K, 2).min() < -0.05
    assert heat_fourier(u, dx, 0.05 * dx**2 / K, K).min() < -0.01
    assert heat_fourier(u, dx, dx**2 / K, K).min() > -1e-4


@pytest.mark.identity
@given(u=profiles, v=profiles)
def test_solutions_add_and_leave_their_input_alone(u, v):
    n = min(len(u), len(v))
    u, v = np.array(u[:n]), np.array(v[:n])
    kept = u.copy()
    for solve in (
        lambda w: heat_convolved(w, 0.3, 0.5, K),
        lambda w: heat_fourier(w, 0.3, 0.5, K),
        lambda w: heat_crank_nicolson(w, 0.3, 0.5, K, 7),
    ):
        sum_of = solve(u) + 2 * solve(v)
        np.testing.assert_allclose(solve(u + 2 * v), sum_of, atol=1e-12)
        np.testing.assert_array_equal(u, kept)


@pytest.mark.limit
@given(u=profiles)
def test_in_the_end_heat_is_spread_evenly(u):
    even = np.full(len(u), np.mean(u))
    t = 5 * len(u) ** 2 * 0.3**2
    np.testing.assert_allclose(heat_fourier(u, 0.3, t, K), even, atol=1e-12)
    spread = heat_crank_nicolson(u, 0.3, t, K, 10 * len(u) ** 2)
    np.testing.assert_allclose(spread, even, atol=1e-11)


def test_the_kernel_is_not_summed_on_a_grid_that_steps_over_it():
    """Below sqrt(2 k t) = dx the trapezoid rule would make heat: it is refused."""
    x, dx = line(400)
    u, t = density("Gaussian", x), 0.02 * dx**2 / K
    made = np.convolve(u, heat_kernel(dx * np.arange(-399, 400), t, K) * dx, "valid")
    assert made.sum() / u.sum() > 1.5
    with pytest.raises(ValueError, match=r"sqrt\(2 k t\) must be at least dx"):
        heat_convolved(u, dx, t, K)
    with pytest.raises(ValueError, match="must be at least dx"):
        heat_convolved(u, dx, 0.499 * dx**2 / K, K)
    heat_convolved(u, dx, 0.501 * dx**2 / K, K)


SOLVERS = {
    "convolved": heat_convolved,
    "fourier": heat_fourier,
    "crank-nicolson": lambda u, dx, t, k: heat_crank_nicolson(u, dx, t, k, 3),
}
U = np.ones(5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("args", "match"),
    [
        (
            (np.ones((5, 1)), 0.1, 1.0, K),
            r"u must be \(n,\) with n >= 2; got .*\(5, 1\)",
        ),
        ((np.ones(1), 0.1, 1.0, K), r"u must be \(n,\) with n >= 2"),
        ((1.0, 0.1, 1.0, K), r"u must be \(n,\)"),
        ((np.array([1, np.nan]), 0.1, 1.0, K), "u must be finite"),
        ((U, 0.0, 1.0, K), "dx must be"),
        ((U, np.nan, 1.0, K), "dx must be"),
        ((U, 0.1, -1.0, K), "t must be"),
        ((U, 0.1, np.nan, K), "t must be"),
        ((U, 0.1, 1.0, -K), "k must be"),
        ((U, 0.1, 1.0, np.inf), "k must be"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(solver, args, match):
    with pytest.raises(ValueError, match=match):
        SOLVERS[solver](*args)


def test_the_kernel_and_the_steps_are_checked_too():
    for t, k, name in ((0.0, K, "t"), (1.0, 0.0, "k"), (-1.0, K, "t")):
        with pytest.raises(ValueError, match=f"{name} must be"):
            heat_kernel(U, t, k)
    with pytest.raises(ValueError, match="x must be finite"):
        heat_kernel(np.array([np.inf]), 1.0, K)
    with pytest.raises(ValueError, match="steps must be"):
        heat_crank_nicolson(U, 0.1, 1.0, K, 0)
    with pytest.raises(TypeError):
        heat_crank_nicolson(U, 0.1, 1.0, K, 2.5)
    with pytest.raises(TypeError, match="u must be real"):
        heat_fourier(U * 1j, 0.1, 1.0, K)
