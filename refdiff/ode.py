"""Ordinary differential equations: from a recursion to a flow, and back to a recursion.

f(x, t) is the right side of dx/dt, x (..., d); the tutorial writes f(t, x). A method is a tableau of numbers. A grid
of times is explicit, rising or falling; a step goes from t to t_next, and its size
h = t_next - t is negative where the grid falls.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, Scale, finite, positive

Slope = Callable[[Array, float], Array]


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method in Butcher's letters; A[i] has i entries.

    Source: Chan v3 4.4
    Test: test_ode.py::test_tableaus_meet_the_order_conditions
    """

    A: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]


EULER = Tableau(((),), (1.0,), (0.0,))
MIDPOINT = Tableau(((), (1 / 2,)), (0.0, 1.0), (0.0, 1 / 2))
HEUN = Tableau(((), (1.0,)), (1 / 2, 1 / 2), (0.0, 1.0))
RK4 = Tableau(
    ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
    (1 / 6, 1 / 3, 1 / 3, 1 / 6),
    (0.0, 1 / 2, 1 / 2, 1.0),
)


def runge_kutta_step(
    f: Slope, x: Array, t: float, t_next: float, tableau: Tableau
) -> Array:
    """One step of an explicit Runge-Kutta method.

    k_i = f(x + h sum_{j<i} A[i][j] k_j, t + c[i] h);  x_next = x + h sum_i b[i] k_i
    With EULER it is x + h f(x, t), with RK4 the classical method.
    x (..., d)  ->  (..., d)
    Source: Chan v3 4.4, (4.1), (4.4), (4.8), (4.22). Departs: RK4's k_1 has its arguments
    the other way round there.
    Test: test_ode.py::test_deterministic_orders_on_example_4_8
    """
    h, k = t_next - t, []
    for a, c in zip(tableau.A, tableau.c, strict=True):
        stage = x + h * sum(a_j * k_j for a_j, k_j in zip(a, k, strict=True))
        k.append(asked(f, stage, t_next if c == 1 else t + c * h))  # t + h may round
    return x + h * sum(b_i * k_i for b_i, k_i in zip(tableau.b, k, strict=True))


def asked(f: Slope, x: Array, t: float) -> Array:
    """Return f(x, t), refused unless it has the shape of x.

    Source: definition
    Test: test_ode.py::test_a_slope_of_another_shape_is_refused
    """
    slope = np.asarray(f(x, t))
    if slope.shape != np.shape(x):
        raise ValueError(f"f(x, t) must be {np.shape(x)}; got shape {slope.shape}")
    return slope


def flow(f: Slope, x: Array, grid: Array, tableau: Tableau = RK4) -> Iterator[Array]:
    """Yield the states at the times of a grid, the first included.

    f(x, t), not f(t, x); x (..., d), grid (N+1,) strictly rising or strictly falling
    ValueError if x is not finite or the grid turns or stands still.
    Source: Chan v3 4.4
    Test: test_ode.py::test_deterministic_orders_on_example_4_8
    """
    (x,), grid = finite(x=x), monotone(grid)
    return _flow(f, x, grid, tableau)


def _flow(f, x, grid, tableau):
    yield x.copy()
    for t, t_next in pairwise(grid.tolist()):
        x = runge_kutta_step(f, x, t, t_next, tableau)
        yield x.copy()


def monotone(grid: Array) -> Array:
    """Return a grid of times as an array, refused unless it rises or falls throughout.

    grid (N+1,), N >= 1
    Source: definition
    Test: test_ode.py::test_grids_that_turn_are_refused
    """
    (grid,) = finite(grid=grid)
    if grid.ndim != 1 or len(grid) < 2:
        raise ValueError(f"grid must be (N+1,) with N >= 1; got shape {grid.shape}")
    step = np.diff(grid)
    if not ((step > 0).all() or (step < 0).all()):
        raise ValueError("grid must rise throughout or fall throughout")
    return grid.astype(float)


def reference_flow(
    f: Slope, x: Array, grid: Array, rtol: float = 1e-11, atol: float = 1e-12
) -> Array:
    """States at the times of a grid, by SciPy's DOP853 with error control.

    It shares no step with the methods above, so it is what they are compared with.
    f(x, t), not f(t, x); x (..., d), grid (N+1,)  ->  (N+1, ..., d)
    ValueError as `flow`; RuntimeError if the integrator gives up.
    Source: definition
    Test: test_ode.py::test_the_reference_meets_closed_forms
    """
    from scipy.integrate import solve_ivp

    (x,), grid = finite(x=x), monotone(grid)
    ends = sorted(grid[[0, -1]])  # SciPy's first guess of a step may look beyond them
    found = solve_ivp(
        lambda t, y: np.ravel(asked(f, y.reshape(x.shape), np.clip(t, *ends))),
        (grid[0], grid[-1]),
        x.ravel(),
        "DOP853",
        grid,
        rtol=rtol,
        atol=atol,
    )
    if not found.success:
        raise RuntimeError(f"solve_ivp: {found.message}")
    return found.y.T.reshape(-1, *x.shape)


class Problem(NamedTuple):
    """An initial value problem with a known solution: f(x, t), exact(x0, t) from t = 0.

    Source: definition
    Test: test_ode.py::test_the_closed_forms_solve_their_equations
    """

    f: Slope
    exact: Callable[[Array, Scale], Array]


def example_4_1(beta: float) -> Problem:
    """Exponential decay, dx/dt = -beta/2 x: the flow that (4.1) takes Euler steps of.

    exact = x0 exp(-beta t / 2)
    Source: Chan v3 Ex 4.1, (4.1)-(4.3), Fig 4.1. Departs: it calls the recursion the
    same as the flow; they differ by O(h).
    Test: test_ode.py::test_the_recursion_of_example_4_1_is_eulers_and_is_of_first_order
    """
    positive(beta=beta)
    return Problem(
        lambda x, t: -beta / 2 * x,
        lambda x0, t: x0 * np.exp(-beta * np.asarray(t) / 2),
    )


def gradient_flow(grad: Callable[[Array], Array], beta: float) -> Slope:
    """Steepest descent without steps: dx/dt = -beta grad f(x), along which f falls.

    Euler steps of it are gradient descent, forwards; on a falling grid they climb.
    grad(x) (..., d) -> (..., d)  ->  slope(x, t)
    Source: Chan v3 Ex 4.2, (4.4)-(4.7)
    Test: test_ode.py::test_the_objective_falls_along_the_gradient_flow
    """
    positive(beta=beta)
    return lambda x, t: -beta * grad(x)


def example_4_8() -> Problem:
    """Atkinson's example, dx/dt = (x + t^2 - 2) / (t + 1).

    exact = t^2 + 2t + 2 - 2 (t+1) log(t+1) + (x0 - 2) (t+1)
    Source: Chan v3 Ex 4.8. Departs: it gives no initial value.
    Test: test_ode.py::test_the_closed_forms_solve_their_equations
    """

    def exact(x0, t):
        t = np.asarray(t)
        log = (t + 1) * np.log1p(t)
        return t**2 + 2 * t + 2 - 2 * log + (x0 - 2) * (t + 1)

    return Problem(lambda x, t: (x + t**2 - 2) / (t + 1), exact)
