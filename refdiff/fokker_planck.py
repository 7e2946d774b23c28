"""The Fokker-Planck equation on a grid, in one and two dimensions.

dp/dt = -div S,  S = D1 p - d(D2 p)/dx,  by finite volumes: p (cells) are probabilities,
a face carries the current between its two cells, and nothing crosses the walls. What a
face lets through in either direction is a rate, so the equation becomes a master equation
dp/dt = W p, with W[i, j] the rate to i from j: its columns sum to 0, which conserves
probability, and its rates are at least 0, which keeps it positive.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from refdiff._check import Array, above_zero, alike, finite, positive
from refdiff.ode import monotone
from refdiff.solvers import Process

if TYPE_CHECKING:  # SciPy is imported where it is needed
    from scipy.sparse import csc_array


@dataclass(frozen=True)
class Grid:
    """Even cells in one or two dimensions: their number, and the edges of the box.

    cells, low, high: tuples, an entry a dimension; ring: no walls, ends meet
    Source: definition
    Test: test_fokker_planck.py::test_a_grid_has_its_centres_and_faces
    """

    cells: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    ring: bool = False

    def __post_init__(self):
        if not len(self.cells) == len(self.low) == len(self.high) in (1, 2):
            raise ValueError("cells, low and high must have 1 or 2 entries each")
        for n, low, high in zip(self.cells, self.low, self.high, strict=True):
            if index(n) < 3 or not low < high:
                raise ValueError(
                    f"need 3 cells or more and low < high; got {n}, {low}, {high}"
                )
            positive(width=high - low)

    @property
    def dx(self) -> Array:
        """Widths of a cell, (dims,).

        Source: definition
        Test: test_fokker_planck.py::test_a_grid_has_its_centres_and_faces
        """
        return (np.array(self.high) - np.array(self.low)) / np.array(self.cells)

    @property
    def centres(self) -> Array:
        """Centres of the cells, (*cells, dims).

        Source: definition
        Test: test_fokker_planck.py::test_a_grid_has_its_centres_and_faces
        """
        return self._points([0.5] * len(self.cells), self.cells)

    def faces(self, axis: int) -> Array:
        """Centres of the faces between cells along an axis, (..., n-1 or n, ..., dims).

        On a ring the last face is that between the last cell and the first.
        Source: definition
        Test: test_fokker_planck.py::test_a_grid_has_its_centres_and_faces
        """
        shift, count = [0.5] * len(self.cells), list(self.cells)
        shift[axis], count[axis] = 1.0, count[axis] - (not self.ring)
        return self._points(shift, count)

    def _points(self, shift, count):
        axes = [
            low + dx * (np.arange(n) + s)
            for low, dx, n, s in zip(self.low, self.dx, count, shift, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def pair(self, axis: int) -> tuple[Array, Array]:
        """Flat indices of the cells below and above each face along an axis.

        Source: definition
        Test: test_fokker_planck.py::test_a_grid_has_its_centres_and_faces
        """
        number = np.arange(np.prod(self.cells)).reshape(self.cells)
        above = np.roll(number, -1, axis)
        if not self.ring:
            inner = np.arange(self.cells[axis] - 1)
            number, above = number.take(inner, axis), above.take(inner, axis)
        return number.ravel(), above.ravel()

    def probabilities(self, logpdf: Callable[[Array], Array]) -> Array:
        """Return exp(logpdf) at the centres, in proportion: probabilities (*cells).

        logpdf(x (n, dims)) -> (n,), which need not be normalised; -inf has none
        ValueError if logpdf returns another shape, nan, inf, or -inf everywhere.
        Source: definition
        Test: test_fokker_planck.py::test_a_grid_has_its_centres_and_faces
        """
        log_p = _at_points(logpdf, self.centres, "logpdf")
        if not np.isfinite(log_p.max()):  # nan is the greatest there is
            raise ValueError(f"logpdf must be below inf; its most is {log_p.max()}")
        p = np.exp(log_p - log_p.max())
        return (p / p.sum()).reshape(self.cells)


def bernoulli(w: Array) -> Array:
    """Return w / (exp(w) - 1), which is 1 at 0: what drift does to a face's two rates.

    w (...)  ->  (...), to the last digits for every w
    Source: ScharfetterGummel69 for the weights
    Test: test_fokker_planck.py::test_bernoulli_weights_keep_their_digits
    """
    (w,) = finite(w=w)
    size = np.where(w == 0, 1.0, np.abs(w))
    falling = np.where(w == 0, 1.0, size / -np.expm1(-size))  # bernoulli(-|w|)
    return falling * np.exp(-np.maximum(w, 0.0))


def operator(grid: Grid, drift: Callable, diffusion: Callable | float) -> "csc_array":
    """Return W of the Fokker-Planck equation, a sparse matrix (cells, cells).

    Through a face run the rates D2/dx^2 bernoulli(-w) upwards and bernoulli(w) downwards,
    w = (D1 - dD2/dx) dx / D2 at the face: the exact flux of a constant drift
    drift(x, axis) -> that component of D1 - dD2/dx at faces x (n, dims): (n,); where D2
    is constant it is D1. diffusion(x) -> D2 (n,) above 0, or a number
    ValueError if a value is not finite, of another shape, or a diffusion not above 0.
    Source: Chan v3 Def 5.4, (5.35), (5.43), Ex 5.4; ScharfetterGummel69 for the weights
    Test: test_fokker_planck.py::test_the_operator_conserves_and_keeps_positive
    """

    def at(axis, x, D2):
        (D1,) = finite(drift=_at_points(lambda x: drift(x, axis), x, "drift"))
        return D1 * grid.dx[axis] / D2

    return _assembled(grid, at, diffusion)


def potential_operator(
    grid: Grid, logpdf: Callable, diffusion: Callable | float
) -> "csc_array":
    """Return W of dp/dt = div D2 [grad p - p grad log p_eq], whose rest is p_eq exactly.

    w = log p_eq(above) - log p_eq(below): differences of the potential, not its slope, so
    that the cells' p_eq is in detailed balance to rounding if |w| < 700; Langevin has D2 = 1
    logpdf(x (n, dims)) -> (n,), finite, any constant aside; diffusion as in `operator`
    Source: Chan v3 Thm 3.1, Thm 5.10, Ex 5.6, Ex 5.7, (5.47); ChangCooper70 for the
    balance. Departs: (5.47) has W for log W.
    Test: test_fokker_planck.py::test_the_potentials_operator_has_the_exact_equilibrium
    """
    (log_p,) = finite(logpdf=_at_points(logpdf, grid.centres, "logpdf"))

    def at(axis, x, D2):
        below, above = grid.pair(axis)
        return log_p[above] - log_p[below]

    return _assembled(grid, at, diffusion)


def process_operator(
    grid: Grid, process: Process, t: float, falling: bool = False
) -> "csc_array":
    """Return W at time t of an Ito process dx = f dt + g dw whose g is of t alone.

    D1 = f, D2 = g^2 / 2; falling: a reversal, run on falling times, where dt < 0 and the
    density moves by -f
    ValueError if g is not one number above 0, the same at every x.
    Source: Chan v3 Ex 5.5, Thm 5.9; Risken89 3.3
    Test: test_fokker_planck.py::test_particles_grid_and_closed_form_agree
    """
    sign = -1.0 if falling else 1.0

    def drift(x, axis):
        return sign * np.broadcast_to(process.f(x, t), x.shape)[:, axis]

    def diffusion(x):
        (g,) = finite(g=process.g(x, t))
        if g.min() < g.max():
            raise ValueError(f"g must be one number; it is {g.min()} to {g.max()} here")
        return np.full(len(x), g.flat[0] ** 2 / 2)

    return operator(grid, drift, diffusion)


def _at_points(function, x, name):
    """Values of a function at points (..., dims), refused unless one a point."""
    x = x.reshape(-1, x.shape[-1])
    value = np.asarray(function(x), float)
    if value.shape != (len(x),):
        raise ValueError(f"{name} must return ({len(x)},); got shape {value.shape}")
    return value


def _assembled(grid, drop, diffusion):
    """The master equation's matrix from the w = drop(axis, x, D2) of every face."""
    from scipy.sparse import coo_array, diags_array

    to, come, rate = [], [], []
    for axis, dx in enumerate(grid.dx):
        x = grid.faces(axis).reshape(-1, len(grid.cells))
        D2 = diffusion if callable(diffusion) else lambda x: np.full(len(x), diffusion)
        (D2,) = above_zero(diffusion=_at_points(D2, x, "diffusion"))
        below, above = grid.pair(axis)
        w = drop(axis, x, D2)
        to += [above, below]
        come += [below, above]
        rate += [D2 / dx**2 * bernoulli(-w), D2 / dx**2 * bernoulli(w)]
    size = int(np.prod(grid.cells))
    entries = np.concatenate(rate), (np.concatenate(to), np.concatenate(come))
    jumps = coo_array(entries, shape=(size, size)).tocsc()
    return (jumps - diags_array(jumps.sum(axis=0))).tocsc()


def evolve(p: Array, W: Callable | Array, times: Array) -> Iterator[Array]:
    """Yield the probabilities at given times, by backward Euler: (1 - h W) p_next = p.

    Of first order; it keeps probability positive, and the same up to eps h |W| a step.
    p (*cells), times (N+1,) rising or falling, h > 0 the distance of two; W a matrix, or
    W(t) -> matrix, taken at the step's end
    ValueError if p is not finite, times turn, W has another size, or eps h |W| > 0.01.
    Source: Chan v3 (5.35)
    Test: test_fokker_planck.py::test_the_operator_conserves_and_keeps_positive
    """
    (p,), times = finite(p=p), monotone(times)
    if not callable(W):
        _sized(p, W.shape[0])
    return _evolve(p.astype(float), W, times.tolist())


def _sized(p, size):
    """Refuse probabilities that are not one a cell."""
    if p.size != size:
        raise ValueError(f"p must hold {size} cells; got shape {p.shape}")


def _evolve(p, W, times):
    from scipy.sparse import csc_array, eye_array
    from scipy.sparse.linalg import splu

    shape, last, solve = p.shape, None, None
    yield p
    for t, t_next in pairwise(times):
        h = abs(t_next - t)
        if callable(W) or last is None or abs(h - last) > 1e-12 * h:
            now = csc_array(W(t_next) if callable(W) else W)
            try:
                if np.finfo(float).eps * h * np.abs(now.diagonal()).max() > 0.01:
                    raise RuntimeError("the rounding of 1 - h W outweighs its 1")
                solve, last = splu((eye_array(p.size) - h * now).tocsc()).solve, h
            except RuntimeError as reason:
                raise ValueError(f"h = {h} is too long: {reason}") from None
        p = solve(p.ravel()).reshape(shape)
        yield p


def current(p: Array, W: Array, grid: Grid) -> list[Array]:
    """Probability that crosses each face a unit of time: S times the face's size.

    S = W[above, below] p[below] - W[below, above] p[above], an array an axis, flat
    ValueError if p, W and grid are not of one size.
    Source: Chan v3 (5.44)-(5.46), Thm 5.10
    Test: test_fokker_planck.py::test_the_current_accounts_for_every_change
    """
    from scipy.sparse import csr_array

    (p,) = finite(p=p)
    _sized(p, W.shape[0])
    _sized(p, int(np.prod(grid.cells)))
    flat, rows = p.ravel(), csr_array(W)
    found = []
    for axis in range(len(grid.cells)):
        below, above = grid.pair(axis)
        up, down = rows[above, below], rows[below, above]
        found.append(np.asarray(up * flat[below] - down * flat[above]).ravel())
    return found


def relative_entropy(p: Array, q: Array) -> float:
    """KL(p || q) = sum p log(p / q) between two probabilities on one grid, in nats.

    Under one master equation it never rises: the H-theorem. It is inf where p is on a
    cell that q is not on. ValueError unless both are at least 0 with sum 1, of one shape.
    Source: Risken89 6.1 for the H-theorem
    Test: test_fokker_planck.py::test_relative_entropy_never_rises
    """
    p, q = alike(p=p, q=q)
    for name, law in (("p", p), ("q", q)):
        if law.min() < 0 or abs(law.sum() - 1) > 1e-9:
            raise ValueError(
                f"{name} must be at least 0 with sum 1; got {law.min()}, {law.sum()}"
            )
    p, q = p[p > 0], q[p > 0]
    return float((p * (np.log(p) - np.log(q))).sum()) if q.all() else np.inf
