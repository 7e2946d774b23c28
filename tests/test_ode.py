"""Ordinary differential equations: tableaus, orders, and problems with known solutions."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from support import exact

from refdiff import ode
from refdiff.ode import EULER, HEUN, MIDPOINT, RK4, Tableau, flow, runge_kutta_step
from refdiff.samplers import measured_order

METHODS = {"Euler": (EULER, 1), "midpoint": (MIDPOINT, 2)}
METHODS |= {"Heun": (HEUN, 2), "RK4": (RK4, 4)}


def conditions(tableau):
    """Sides of the order conditions of a tableau, up to order 4: (order, left, right)."""
    s = len(tableau.b)
    A = np.zeros((s, s))
    for i, row in enumerate(tableau.A):
        A[i, : len(row)] = row
    b, c = np.array(tableau.b), np.array(tableau.c)
    assert np.allclose(A.sum(axis=1), c)
    yield 1, b.sum(), 1
    yield 2, b @ c, 1 / 2
    yield 3, b @ c**2, 1 / 3
    yield 3, b @ A @ c, 1 / 6
    yield 4, b @ c**3, 1 / 4
    yield 4, (b * c) @ A @ c, 1 / 8
    yield 4, b @ A @ c**2, 1 / 12
    yield 4, b @ A @ A @ c, 1 / 24


@pytest.mark.identity
@pytest.mark.parametrize("name", METHODS)
def test_tableaus_meet_the_order_conditions(name):
    """Butcher's conditions, all up to the order and one of the next one not."""
    tableau, order = METHODS[name]
    found = list(conditions(tableau))
    for p, left, right in found:
        assert p > order or left == pytest.approx(right, rel=1e-15)
    if order < 4:
        assert any(abs(l - r) > 1e-3 for p, l, r in found if p == order + 1)


@pytest.mark.order
@pytest.mark.parametrize("name", METHODS)
def test_deterministic_orders_on_example_4_8(name):
    tableau, order = METHODS[name]
    problem, errors = ode.example_4_8(), []
    for N in (40, 80, 160, 320):
        *_, x = flow(problem.f, np.array([[2.0]]), np.linspace(0, 6, N + 1), tableau)
        errors.append(abs(x[0, 0] - problem.exact(2.0, 6.0)))
    assert abs(measured_order(errors) - order).max() < 0.1


@pytest.mark.oracle
def test_the_errors_of_the_tutorial_map():
    """Ex 4.8 at t = 6 from x(0) = 2: 1.454, .744, .376 and -3.3e-5, -2.1e-6, -1.3e-7."""
    problem = ode.example_4_8()
    found = {}
    for tableau in (EULER, RK4):
        for N in (30, 60, 120):
            *_, x = flow(problem.f, np.array([2.0]), np.linspace(0, 6, N + 1), tableau)
            found[tableau, N] = problem.exact(2.0, 6.0) - x[0]
    euler = [abs(found[EULER, N]) for N in (30, 60, 120)]
    assert euler == pytest.approx([1.454, 0.744, 0.376], abs=6e-4)
    rk4 = [abs(found[RK4, N]) for N in (30, 60, 120)]
    assert rk4 == pytest.approx([3.3e-5, 2.1e-6, 1.3e-7], rel=0.03)


@pytest.mark.oracle
def test_the_closed_forms_solve_their_equations():
    """By differentiating at 50 digits, from any start."""
    t, h = mp.mpf("1.7"), mp.mpf(10) ** -20

    def solution(x0):
        return lambda t: (
            t**2 + 2 * t + 2 - 2 * (t + 1) * mp.log(t + 1) + (x0 - 2) * (t + 1)
        )

    problem = ode.example_4_8()
    for x0 in (2.0, -1.5):
        x = solution(mp.mpf(x0))
        slope = (x(t + h) - x(t - h)) / (2 * h)
        assert abs(slope - (x(t) + t**2 - 2) / (t + 1)) < 1e-18
        assert problem.f(float(x(t)), 1.7) == pytest.approx(float(slope), rel=1e-14)
        times = np.array([0.0, 1e-9, 1.7, 6.0])
        want = [float(x(v)) for v in exact(times)]
        np.testing.assert_allclose(problem.exact(x0, times), want, rtol=1e-14)
    decay = ode.example_4_1(0.3)
    got = [decay.exact(2.0, t) for t in (0.0, 1.0, 5.0)]
    assert got == pytest.approx([2.0, 2 * np.exp(-0.15), 2 * np.exp(-0.75)])
    x, e = decay.exact(2.0, np.array([0.999, 1.001])), 2e-3
    assert (x[1] - x[0]) / e == pytest.approx(decay.f(x.mean(), 1.0), rel=1e-6)


@pytest.mark.order
def test_the_recursion_of_example_4_1_is_eulers_and_is_of_first_order():
    """(4.1) to the last digit; "the same" as the flow only as dt goes to 0."""
    decay, errors = ode.example_4_1(1.0), []
    for N in (10, 20, 40, 80, 160):
        *_, x = flow(decay.f, np.ones((1, 1)), np.linspace(0, 1, N + 1), EULER)
        assert x[0, 0] == pytest.approx((1 - 1 / (2 * N)) ** N, rel=1e-13)
        errors.append(abs(x[0, 0] - decay.exact(1.0, 1.0)))
    assert errors[0] == pytest.approx(0.606531 - 0.598737, abs=1e-6)
    assert abs(measured_order(errors) - 1).max() < 0.1


@pytest.mark.limit
def test_the_objective_falls_along_the_gradient_flow():
    """Ex 4.2 on a quadratic: d f/dt = -beta |grad f|^2, and grad f -> 0 (4.6)."""
    H, centre = np.array([[2.0, 0.4], [0.4, 0.5]]), np.array([1.0, -1.0])

    def f(x):
        return ((x - centre) @ H * (x - centre)).sum(axis=-1) / 2

    def grad(x):
        return (x - centre) @ H

    slope = ode.gradient_flow(grad, 0.7)
    grid = np.linspace(0, 40, 4001)
    path = np.array(list(flow(slope, np.array([[3.0, 4.0]]), grid)))[:, 0]
    assert (np.diff(f(path)) < 0).all()
    rate = np.gradient(f(path), grid)[1:-1]
    want = -0.7 * (grad(path) ** 2).sum(axis=1)[1:-1]
    assert np.abs(rate - want).max() < 1e-3 * np.abs(want).max()
    assert np.abs(grad(path[-1])).max() < 1e-4
    x = np.array([[3.0, 4.0]])
    step = runge_kutta_step(slope, x, 0.0, 0.1, EULER)
    np.testing.assert_allclose(step, x - 0.07 * grad(x), rtol=1e-14)  # (4.4)
    back = runge_kutta_step(slope, x, 0.1, 0.0, EULER)
    np.testing.assert_allclose(back, x + 0.07 * grad(x), rtol=1e-14)  # reversed


@pytest.mark.order
def test_forward_then_reverse_returns_to_second_order():
    """(4.7): the sign flips, and the two updates undo one another up to O(dt^2)."""
    problem, x, left = ode.example_4_8(), np.array([2.0]), []
    for h in (0.1, 0.05, 0.025, 0.0125):
        there = runge_kutta_step(problem.f, x, 1.0, 1 + h, EULER)
        left.append(abs(runge_kutta_step(problem.f, there, 1 + h, 1.0, EULER) - x)[0])
    assert abs(measured_order(left) - 2).max() < 0.1


@pytest.mark.oracle
def test_the_reference_meets_closed_forms():
    problem, decay = ode.example_4_8(), ode.example_4_1(0.9)
    x0, times = np.array([[2.0], [-1.0], [0.3]]), np.array([0.0, 0.5, 2.0, 6.0])
    for p in (problem, decay):
        found = ode.reference_flow(p.f, x0, times)
        want = np.array([p.exact(x0, t) for t in times])
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-10)
    back = ode.reference_flow(problem.f, found[-1] * 0 + 3.0, times[::-1])
    there = ode.reference_flow(problem.f, back[-1], times)
    np.testing.assert_allclose(there[-1], 3.0, rtol=1e-9)


def test_the_reference_says_when_it_gives_up():
    with pytest.raises(RuntimeError, match="solve_ivp"):
        ode.reference_flow(lambda x, t: x**2, np.ones(1), np.array([0.0, 2.0]))


@pytest.mark.parametrize(
    ("grid", "match"),
    [
        ([0.0, 1.0, 0.5], "rise throughout or fall"),
        ([0.0, 1.0, 1.0], "rise throughout or fall"),
        ([0.0], "grid must be"),
        ([[0.0, 1.0]], "grid must be"),
        ([0.0, np.nan], "grid must be finite"),
    ],
)
def test_grids_that_turn_are_refused(grid, match):
    with pytest.raises(ValueError, match=match):
        flow(lambda x, t: x, np.ones(1), grid)
    with pytest.raises(ValueError, match=match):
        ode.monotone(grid)


def test_what_is_not_finite_or_not_positive_is_refused_by_name():
    with pytest.raises(ValueError, match="x must be finite"):
        flow(lambda x, t: x, np.array([np.inf]), [0, 1])
    for make in (ode.example_4_1, lambda beta: ode.gradient_flow(np.sin, beta)):
        with pytest.raises(ValueError, match="beta must be"):
            make(0.0)


def test_stages_are_asked_at_the_grids_own_times():
    """The last stage of Heun and RK4 stands at t_next itself, not at t + (t_next - t)."""
    grid, asked = [1.0, 0.7, 0.1, 0.0], []

    def f(x, t):
        asked.append(t)
        return 0 * x

    for method in (HEUN, RK4):
        asked.clear()
        list(flow(f, np.ones(1), grid, method))
        ends = {t for pair in pairwise(grid) for t in pair}
        inner = {0.85, 0.4, 0.05} if method is RK4 else set()
        assert {round(t, 12) for t in asked} == ends | inner
        assert all(t in ends for t in asked if round(t, 12) in ends)


@pytest.mark.control
def test_the_printed_first_stage_is_another_method():
    """RK4 with f's arguments exchanged in k_1, as printed, is not of order 4."""

    def wrong(f, x, t, h):
        k1 = f(t * np.ones_like(x), x)
        k2 = f(x + h / 2 * k1, t + h / 2)
        k3 = f(x + h / 2 * k2, t + h / 2)
        k4 = f(x + h * k3, t + h)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    problem, errors = ode.example_4_8(), []
    for N in (40, 80):
        x = np.array([2.0])
        for t in np.linspace(0, 6, N + 1)[:-1]:
            x = wrong(problem.f, x, t, 6 / N)
        errors.append(abs(x[0] - problem.exact(2.0, 6.0)))
    assert measured_order(errors)[0] < 0.5


def test_a_tableau_of_ones_own_runs():
    """Kutta's third-order method, typed in by a user."""
    kutta = Tableau(((), (0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), (0.0, 0.5, 1.0))
    problem, errors = ode.example_4_8(), []
    for N in (160, 320, 640):
        *_, x = flow(problem.f, np.array([2.0]), np.linspace(0, 6, N + 1), kutta)
        errors.append(abs(x[0] - problem.exact(2.0, 6.0)))
    assert abs(measured_order(errors) - 3).max() < 0.1


def test_a_slope_of_another_shape_is_refused():
    """x (3, 1) with a slope (3,) would broadcast to (3, 3)."""
    x = np.ones((3, 1))
    for run in (
        lambda f: list(flow(f, x, [0.0, 1.0])),
        lambda f: runge_kutta_step(f, x, 0.0, 1.0, EULER),
        lambda f: ode.reference_flow(f, x, [0.0, 1.0]),
    ):
        with pytest.raises(ValueError, match=r"f\(x, t\) must be \(3, 1\)"):
            run(lambda x, t: -x[:, 0])


def test_the_reference_asks_nothing_beyond_the_grid():
    """The first guess of a step would be longer than a short grid is."""
    asked = []

    def f(x, t):
        asked.append(float(t))
        return -1e-3 * x

    for grid in ([0.0, 0.01], [0.01, 0.0]):
        ode.reference_flow(f, np.ones(1), grid)
    assert 0 <= min(asked)
    assert max(asked) <= 0.01
