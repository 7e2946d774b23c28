"""The heat equation du/dt = k d^2u/dx^2 three ways: kernel, Fourier, Crank-Nicolson.

It is the Fokker-Planck equation of noise without drift, k = q/2. Grids are even, with
spacing dx; u (n,) are values at the points.
"""

from operator import index

import numpy as np

from refdiff._check import Array, finite, positive


def heat_kernel(x: Array, t: float, k: float) -> Array:
    """Return the solution from a point at 0: exp(-x^2 / (4 k t)) / sqrt(4 pi k t).

    x (...), t > 0  ->  (...)
    Source: Chan v3 (5.19), (5.42), Ex 5.5
    Test: test_heat.py::test_three_routes_are_one_solution
    """
    positive(t=t, k=k, **{"k t": k * t})
    (x,) = finite(x=x)
    return np.exp(-(x**2) / (4 * k * t)) / np.sqrt(4 * np.pi * k * t)


def heat_convolved(u: Array, dx: float, t: float, k: float) -> Array:
    """Return the solution from u on the line: its convolution with the kernel.

    u(x, t) = integral of u(x') kernel(x - x') dx', by the trapezoid rule, which errs by
    exp(-k t (2 pi / dx - w)^2) for a wave of frequency w in u
    u (n,), negligible at both ends  ->  (n,)
    ValueError if the kernel is narrower than the grid: sqrt(2 k t) < dx.
    Source: Chan v3 (5.42). Departs: the constants of its two transforms are mixed.
    Test: test_heat.py::test_three_routes_are_one_solution
    """
    u = _line(u, dx)
    positive(t=t, k=k)
    if 2 * k * t < dx**2:
        raise ValueError(f"sqrt(2 k t) must be at least dx = {dx}; got k t = {k * t}")
    x = dx * np.arange(1 - len(u), len(u))
    return np.convolve(u, heat_kernel(x, t, k) * dx, "valid")


def heat_fourier(u: Array, dx: float, t: float, k: float) -> Array:
    """Return the solution from u on a circle of n dx: each wave decays on its own.

    u_hat(omega, t) = u_hat(omega, 0) exp(-k omega^2 t)
    u (n,)  ->  (n,)
    Source: Chan v3 (5.40), (5.41)
    Test: test_heat.py::test_three_routes_are_one_solution
    """
    u = _line(u, dx)
    positive(t=t, k=k)
    omega = 2 * np.pi * np.fft.rfftfreq(len(u), dx)
    return np.fft.irfft(np.fft.rfft(u) * np.exp(-k * omega**2 * t), len(u))


def heat_crank_nicolson(u: Array, dx: float, t: float, k: float, steps: int) -> Array:
    """Return the solution from u between walls, by Crank and Nicolson's method.

    (1 - h L/2) u_next = (1 + h L/2) u,  L u = k (u[i-1] - 2 u[i] + u[i+1]) / dx^2, no
    flow through walls half a dx beyond the first and the last point; second order in
    h = t / steps and in dx
    u (n,), steps >= 1  ->  (n,)
    Source: CrankNicolson47 for the method
    Test: test_heat.py::test_crank_nicolson_is_of_second_order
    """
    from scipy.sparse import diags_array, eye_array
    from scipy.sparse.linalg import splu

    u = _line(u, dx)
    positive(t=t, k=k, steps=index(steps))
    n, rate = len(u), k / dx**2
    middle = np.full(n, -2.0 * rate)
    middle[[0, -1]] = -rate
    side = np.full(n - 1, rate)
    half = t / steps / 2 * diags_array([side, middle, side], offsets=[-1, 0, 1])
    solve = splu((eye_array(n) - half).tocsc()).solve
    for _ in range(steps):
        u = solve(u + half @ u)
    return u


def _line(u, dx):
    """Values on an even grid, refused unless (n,)."""
    (u,) = finite(u=u)
    positive(dx=dx)
    if u.ndim != 1 or len(u) < 2:
        raise ValueError(f"u must be (n,) with n >= 2; got shape {u.shape}")
    return u.astype(float)
