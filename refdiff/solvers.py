"""Steps for stochastic differential equations dx = f(x, t) dt + g(x, t) dw, and chains.

dw is standard Wiener. A step goes from t to t_next with one z ~ N(0, I), of size
h = t_next - t; on a falling grid h is negative, and the noise has sqrt(|h|). Where f is
affine in x and in what a model says, a step over a grid is a table like any other.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, alike, finite
from refdiff.chain import Chain
from refdiff.ode import Slope, Tableau, asked, monotone, runge_kutta_step
from refdiff.probe import tabulate
from refdiff.targets import Model


class Process(NamedTuple):
    """dx = f(x, t) dt + g(x, t) dw, each (..., d) or broadcasting to it.

    Source: Chan v3 (4.9)
    Test: test_solvers.py::test_strong_orders_on_shared_brownian_paths
    """

    f: Slope
    g: Slope


Step = Callable[[Process, Array, float, float, Array], Array]


def euler_maruyama_step(
    process: Process, x: Array, t: float, t_next: float, z: Array
) -> Array:
    """One step of Euler and Maruyama; it converges to the Ito solution.

    x_next = x + h f(x, t) + sqrt(|h|) g(x, t) z
    x, z (..., d)  ->  (..., d);  strong order 1/2, and 1 where g is of t alone; weak 1
    Source: Chan v3 Ex 4.3, Ex 4.4, Ex 4.5, (4.12), Fig 4.2, Fig 4.3, Fig 4.4
    Test: test_solvers.py::test_strong_orders_on_shared_brownian_paths
    """
    (x, z), h = alike(x=x, z=z), t_next - t
    return x + h * asked(process.f, x, t) + np.sqrt(abs(h)) * process.g(x, t) * z


def stochastic_heun_step(
    process: Process, x: Array, t: float, t_next: float, z: Array
) -> Array:
    """One step of Heun's method with noise; it converges to the Stratonovich solution.

    k1 = h f(x, t) + sqrt(|h|) g(x, t) z;  k2 the same at (x + k1, t_next)
    x_next = x + (k1 + k2) / 2
    x, z (..., d)  ->  (..., d);  strong order 1 for one noise, or for g of t alone, where
    the solution is Ito's as well; 1/2 for several noises that do not commute
    Source: Kloeden92 for the method
    Test: test_solvers.py::test_strong_orders_on_shared_brownian_paths
    """
    (x, z), h = alike(x=x, z=z), t_next - t
    dw = np.sqrt(abs(h)) * z
    k1 = h * asked(process.f, x, t) + process.g(x, t) * dw
    k2 = h * asked(process.f, x + k1, t_next) + process.g(x + k1, t_next) * dw
    return x + (k1 + k2) / 2


def ode_step(tableau: Tableau) -> Step:
    """Return a Runge-Kutta step as a step of a process without noise; g is not asked.

    Source: definition
    Test: test_solvers.py::test_a_chain_runs_as_its_solver_does
    """

    def step(process, x, t, t_next, z):
        return runge_kutta_step(process.f, x, t, t_next, tableau)

    return step


def paths(
    step: Step, process: Process, x: Array, grid: Array, z: Array
) -> Iterator[Array]:
    """Yield the states of a process at the times of a grid, the first included.

    x (..., d), grid (N+1,) rising or falling, z (N, ..., d)
    ValueError if an argument is not finite, the grid turns, or z has another shape.
    Source: Chan v3 Ex 4.3, Ex 4.4
    Test: test_solvers.py::test_a_chain_runs_as_its_solver_does
    """
    (x, z), grid = finite(x=x, z=z), monotone(grid)
    if z.shape != (len(grid) - 1, *x.shape):
        want = (len(grid) - 1, *x.shape)
        raise ValueError(f"z must be {want}; got shape {z.shape}")
    return _paths(step, process, x, grid, z)


def _paths(step, process, x, grid, z):
    yield x.copy()
    for (t, t_next), z_k in zip(pairwise(grid.tolist()), z, strict=True):
        x = step(process, x, t, t_next, z_k)
        yield x.copy()


def chain(step: Step, process: Callable[[Model], Process], grid: Array) -> Chain:
    """Return a solver over a grid as a Chain.

    process(model) -> Process, affine in x and in the model's outputs, such as
    `functools.partial(reversal.reverse, vp)`; a forward process asks no model, as
    `lambda model: vp.process`
    grid (N+1,): falling for a reversal, rising for a forward process
    ValueError "not affine" if the process is not.
    Source: definition
    Test: test_solvers.py::test_a_chain_runs_as_its_solver_does
    """

    def between(t, t_next):
        def one(x, z, model):
            return step(process(model), x, t, t_next, z)

        return one

    return tabulate([between(*pair) for pair in pairwise(monotone(grid).tolist())])
