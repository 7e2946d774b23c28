"""The one idea: a sampler's step is affine, so it is read, run and checked as a table.

A step is written once, as its equation, in the chapter that it belongs to. Here it is
called with ones and zeros, and its coefficients fall out; no formula is typed twice.
The table then runs with any model, and on Gaussian data, where the score is affine
too, it gives the exact law of the sampler's output, steps and all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, finite, generator
from refdiff.schedule import Level

PROBE = 2.0**-10  # small, so that no clipping acts; a power of two, so that / is exact


@dataclass(frozen=True, eq=False)
class Chain:
    """Rows X <- A X + b model(X[0]; level) + c z over R registers; X[0] is the state.

    The model's output is the score, or x0_hat in rows where signal = 0.
    A (M, R, R), b (M, R), c (M, R); signal, noise, t (M,): each row's level (nan where
    b = 0 and no model is asked); ends (M,): True where a step is complete.
    R = 1 for first-order steps; a stage of a solver is a row, memory is a register.
    Source: definition
    Test: test_chain.py::test_a_chain_runs_as_its_steps_do
    """

    A: Array
    b: Array
    c: Array
    signal: Array
    noise: Array
    t: Array
    ends: Array

    @property
    def steps(self) -> int:
        """Number of steps; each has one z.

        Source: definition
        Test: test_chain.py::test_registers_and_evaluations_are_as_few_as_the_method_has
        """
        return int(self.ends.sum())

    @property
    def evaluations(self) -> int:
        """Number of model evaluations in one run.

        Source: definition
        Test: test_chain.py::test_registers_and_evaluations_are_as_few_as_the_method_has
        """
        return int(self.b.any(axis=1).sum())

    def level(self, k: int) -> Level:
        """Return the Level at which row k asks the model.

        Source: definition
        Test: test_chain.py::test_tabulate_finds_the_three_numbers
        """
        return Level(float(self.signal[k]), float(self.noise[k]), float(self.t[k]))

    def run(
        self,
        x: Array,
        model: Callable[[Array, Level], Array],
        *,
        rng: np.random.Generator | None = None,
        z: Array | None = None,
    ) -> Iterator[Array]:
        """Run from x, and yield the state before the first step and after each step.

        x (n, d); model(x, level) -> (n, d), see Chain; the noise is drawn from rng, or
        given as z (steps, n, d)  ->  iterator over steps + 1 fresh arrays (n, d),
        so that `*path, x0 = chain.run(...)` works. Arguments are checked at once:
        ValueError or TypeError that names the bad one.
        Source: definition
        Test: test_chain.py::test_a_chain_runs_as_its_steps_do
        """
        (x,) = finite(x=x)
        if x.ndim != 2:
            raise ValueError(f"x must be (n, d); got shape {x.shape}")
        if not callable(model):
            raise TypeError(f"model must be callable; got {type(model).__name__}")
        if self.c.any() and (rng is None) == (z is None):
            raise ValueError("give rng or z, one of the two")
        if rng is not None:
            generator(rng)
        if z is not None:
            (z,) = finite(z=z)
            if z.shape != (self.steps, *x.shape):
                want = (self.steps, *x.shape)
                raise ValueError(f"z must be {want}; got shape {z.shape}")
        return self._states(x, model, rng, z)

    def _states(self, x, model, rng, z):
        X = np.zeros((self.A.shape[1], *x.shape), np.result_type(x, np.float32))
        X[0] = x
        step = 0
        yield X[0].copy()
        for k in range(len(self.ends)):
            X_next = np.einsum("rs,snd->rnd", self.A[k], X)
            if self.b[k].any():
                output = np.asarray(model(X[0].copy(), self.level(k)))
                if output.shape != x.shape:
                    raise ValueError(
                        f"model must return {x.shape}; got shape {output.shape}"
                    )
                X_next += self.b[k][:, None, None] * output
            if self.c[k].any():
                noise = rng.standard_normal(x.shape) if z is None else z[step]
                X_next += self.c[k][:, None, None] * noise
            X = X_next
            if self.ends[k]:
                step += 1
                yield X[0].copy()

    def law(
        self,
        mean: Array,
        cov: Array,
        start_mean: Array | None = None,
        start_cov: Array | None = None,
    ) -> tuple[Array, Array]:
        """Exact law of every state when the data are N(mean, cov) and the model is exact.

        score = -S^-1 (x - signal mean),  S = signal^2 cov + noise^2 I: affine, so
        the registers stay Gaussian: mean <- F mean + f,  cov <- F cov F^T + c c^T (x) I
        mean (d,), cov (d, d); the start is N(0, I) unless given
        -> means (steps+1, d), covs (steps+1, d, d)
        ValueError if an entry is not finite or S is singular.
        Source: definition
        Test: test_chain.py::test_law_is_the_law_of_the_runs
        """
        mean, cov = finite(mean=mean, cov=cov)
        d, R = len(mean), self.A.shape[1]
        m, P = np.zeros(R * d), np.zeros((R * d, R * d))
        m[:d] = 0 if start_mean is None else start_mean
        P[:d, :d] = np.eye(d) if start_cov is None else start_cov
        means, covs = [m[:d]], [P[:d, :d]]
        for k in range(len(self.ends)):
            F, f = np.kron(self.A[k], np.eye(d)), np.zeros(R * d)
            if self.b[k].any():
                G, g = _gaussian_model(mean, cov, self.level(k))
                F[:, :d] += np.kron(self.b[k][:, None], G)
                f = np.kron(self.b[k], g)
            noise = np.kron(np.outer(self.c[k], self.c[k]), np.eye(d))
            m, P = F @ m + f, F @ P @ F.T + noise
            if self.ends[k]:
                means.append(m[:d])
                covs.append(P[:d, :d])
        return np.array(means), np.array(covs)


def _gaussian_model(mean, cov, level):
    """The exact model G x + g for data N(mean, cov)."""
    if level.signal == 0:
        return np.zeros_like(cov), mean
    L = gaussian.cholesky(level.signal**2 * cov + level.noise**2 * np.eye(len(mean)))
    precision = gaussian.unwhiten(L, gaussian.whiten(L, np.eye(len(mean))))
    return -precision, level.signal * precision @ mean


def tabulate(steps: Sequence[Callable], history: int = 0) -> Chain:
    """Find the table of a sampler by probing its steps, in the order they run in.

    A step is called as step(x, z, model, *memory) and returns x_prev, or a tuple
    (x_prev, *memory) of 1 + history arrays; it asks model(x, level) as often as it
    likes. All its columns are found in one call, a row of the batch each; random
    points of size 2^-10, 1 and 1000 must then confirm them.
    ValueError "not affine" if a step clips, thresholds, mixes rows or coordinates, has
    a constant term, is random, or chooses its levels by the data.
    Source: definition
    Test: test_chain.py::test_tabulate_refuses_what_is_not_affine
    """
    if not steps:
        raise ValueError("steps must hold at least one step")
    tables = [_probe(step, 1 + history, k) for k, step in enumerate(steps)]
    R = max(A.shape[0] for rows, _ in tables for A, _, _ in rows)
    R = max(R, 1 + history)
    M = sum(len(rows) for rows, _ in tables)
    A, b, c = np.zeros((M, R, R)), np.zeros((M, R)), np.zeros((M, R))
    level, ends = np.full((M, 3), np.nan), np.zeros(M, bool)
    k = 0
    for rows, levels in tables:
        for (A_k, b_k, c_k), level_k in zip(rows, levels, strict=True):
            A[k, : A_k.shape[0], : A_k.shape[1]] = A_k
            b[k, : len(b_k)], c[k, : len(c_k)] = b_k, c_k
            level[k] = (np.nan,) * 3 if level_k is None else level_k
            k += 1
        ends[k - 1] = True
    return Chain(A, b, c, *level.T, ends)


class _Recorder:
    """A model that returns what it was given to return, and remembers its questions."""

    def __init__(self, outputs):
        self.outputs, self.inputs, self.levels = iter(outputs), [], []

    def __call__(self, x, level):
        self.inputs.append(np.array(x, float))
        self.levels.append(Level(*map(float, level)))
        return next(self.outputs)


def _call(step, columns, H, S):
    """Call a step with columns (H registers, S model outputs, z), each (n, d).

    Returns the points where it asked the model and its results, (S + H, n, d), and the
    levels asked.
    """
    model = _Recorder(columns[H : H + S])
    result = step(columns[0], columns[-1], model, *columns[1:H])
    result = result if isinstance(result, tuple) else (result,)
    if len(result) != H or len(model.inputs) != S:
        raise StopIteration
    return np.array([*model.inputs, *result]), model.levels


def _probe(step, H, k):
    """Rows and levels of one step, from one call on the unit vectors of its columns."""
    zero = np.zeros((1, 1))
    counter = _Recorder(iter(lambda: zero, None))
    step(zero, zero, counter, *[zero] * (H - 1))
    S, levels = len(counter.levels), counter.levels
    columns = H + S + 1
    rng = np.random.default_rng(0)
    try:
        unit = PROBE * np.eye(columns + 1)[:-1, :, None]  # the last point is the origin
        found, seen = _call(step, unit, H, S)
        table = found[:, :-1, 0] / PROBE
        affine = not found[:, -1].any() and seen == levels
        for size in (PROBE, 1.0, 1e3):
            point = size * rng.standard_normal((columns, 5, 3))
            got, seen = _call(step, point, H, S)
            want = np.einsum("rc,cnd->rnd", table, point)
            scale = np.einsum("rc,cnd->rnd", np.abs(table), np.abs(point))
            affine &= bool((np.abs(got - want) <= 1e-9 * scale).all())
            affine &= seen == levels
    except StopIteration:
        affine = False
    if not affine:
        raise ValueError(f"step {k} is not affine: run it and check it pointwise")
    return _rows(table, H, S, levels)


def _rows(table, H, S, levels):
    """Cut one step's table into rows that ask the model once each.

    The registers hold what is still to be asked or returned: [y_k, ..., y_{S-1}, X'].
    Each row adds the model's newest output to all of them and drops the point asked.
    """
    state, outputs, z = table[:, :H], table[:, H : H + S], table[:, -1]
    if S == 0:
        return [(state, np.zeros(H), z)], [None]
    asks_at_x = (table[0] == np.eye(H + S + 1)[0]).all()
    if asks_at_x:  # the first point asked is the state itself: no row to prepare it
        rows, levels = [(state[1:], outputs[1:, 0], z[1:])], levels[:]
    else:
        rows, levels = [(state, np.zeros(S + H), z)], [None, *levels]
    for k in range(1 if asks_at_x else 0, S):
        left = S + H - k
        A = np.eye(left)[1:]
        rows.append((A, outputs[k + 1 :, k], np.zeros(left - 1)))
    return rows, levels
