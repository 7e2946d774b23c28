"""Finding a sampler's table: its steps are called with units, and the numbers fall out.

A step is affine in the state, in each of the model's outputs and in the noise, so one
call on the unit vectors of these columns shows all its coefficients, and random points
tell whether it really was affine. The same probe works on anybody's step.
"""

from collections.abc import Callable, Sequence

import numpy as np

from refdiff.chain import Chain
from refdiff.schedule import Level

PROBE = 2.0**-10  # small, so that no clipping acts; a power of two, so that / is exact


def tabulate(steps: Sequence[Callable], history: int = 0) -> Chain:
    """Find the table of a sampler by probing its steps, in the order they run in.

    A step is called as step(x, z, model, *memory) and returns x_prev, or a tuple
    (x_prev, *memory) of 1 + history arrays; it asks model(x, level) as often as it
    likes. All its columns are found in one call, a row of the batch each; random
    points of size 2^-10, 1 and 1000, in each column alone and in all, must confirm them
    to 1e-9. What bends only beyond that size, or less than that much, is not seen.
    ValueError "not affine" if a step clips, thresholds, mixes rows or coordinates, has
    a constant term, is random, or chooses its levels by the data.
    Source: definition
    Test: test_chain.py::test_tabulate_refuses_what_is_not_affine
    """
    if not steps:
        raise ValueError("steps must hold at least one step")
    tables = [_probe(step, 1 + history, k) for k, step in enumerate(steps)]
    R = max(A.shape[0] for rows, _ in tables for A, _, _ in rows)
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


class _NotAffine(Exception):
    """A step did what no affine step does."""


class _Recorder:
    """A model that returns what it was given to return, and remembers its questions."""

    def __init__(self, outputs):
        self.outputs, self.inputs, self.levels = iter(outputs), [], []

    def __call__(self, x, level):
        self.inputs.append(np.array(x, float))
        self.levels.append(Level(*map(float, level)))
        output = next(self.outputs, None)
        if output is None:
            raise _NotAffine
        return output.copy()


def _call(step, columns, H, S):
    """Call a step with columns (H registers, S model outputs, z), each (n, d).

    Returns the points where it asked the model and its results, (S + H, n, d), and the
    levels asked.
    """
    model = _Recorder(columns[H : H + S])
    memory = [column.copy() for column in columns[1:H]]
    result = step(columns[0].copy(), columns[-1].copy(), model, *memory)
    result = result if isinstance(result, tuple) else (result,)
    found = [*model.inputs, *result]
    if len(result) != H or len(model.inputs) != S:
        raise _NotAffine
    if any(np.shape(point) != columns[0].shape for point in found):
        raise _NotAffine
    return np.array(found), model.levels


def _probe(step, H, k):
    """Rows and levels of one step, from one call on the unit vectors of its columns."""
    zero = np.zeros((1, 1))
    counter = _Recorder(iter(lambda: zero, None))
    step(zero.copy(), zero.copy(), counter, *[zero.copy() for _ in range(H - 1)])
    S, levels = len(counter.levels), counter.levels
    try:
        table = _table(step, H, S, levels)
    except _NotAffine:
        message = f"step {k} is not affine: run it and check it pointwise"
        raise ValueError(message) from None
    return _rows(table, H, S, levels)


def _table(step, H, S, levels):
    """Coefficients of one step, (S + H, columns), confirmed on random points."""
    columns = H + S + 1
    unit = PROBE * np.eye(columns + 1)[:-1, :, None]  # the last point is the origin
    found, seen = _call(step, unit, H, S)
    table = found[:, :-1, 0] / PROBE
    if found[:, -1].any() or seen != levels:
        raise _NotAffine
    rng = np.random.default_rng(0)
    alone = np.repeat(np.eye(columns), 5, axis=1)  # five points with one column each,
    alone = np.concatenate([np.ones((columns, 5)), alone], axis=1)  # five with them all
    for size in (PROBE, 1.0, 1e3):
        point = size * alone[:, :, None] * rng.standard_normal((*alone.shape, 3))
        got, seen = _call(step, point, H, S)
        want = np.einsum("rc,cnd->rnd", table, point)
        scale = np.einsum("rc,cnd->rnd", np.abs(table), np.abs(point))
        if not (np.abs(got - want) <= 1e-9 * scale + 1e-300).all() or seen != levels:
            raise _NotAffine
    return table


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
