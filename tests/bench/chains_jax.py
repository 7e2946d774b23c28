"""JAX's competitors in the chains: jit and scan, as written and tuned."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from tests.bench import formulas

jax.config.update("jax_enable_x64", True)


def _levels(problem):
    log_w, means, _ = problem.mixtures()
    tables = problem.table, (log_w, means, formulas.precisions(problem))
    return jax.tree.map(jnp.asarray, tables)


def _logpdf(x, log_w, means, precision):
    diff = means - x
    if precision.ndim == 1:
        square = precision * (diff**2).sum(-1)
    else:
        square = jnp.einsum("ki,kij,kj->k", diff, precision, diff)
    return logsumexp(log_w - square / 2)


_score_of_one = jax.vmap(jax.grad(_logpdf), in_axes=(0, None, None, None))


def _score(x, level):
    return _score_of_one(x, *level)


def _job(run, *arguments):
    """Return a job that runs a jitted function with a fresh key each time."""
    keys = iter(jax.random.split(jax.random.key(1), 1000))
    return lambda: np.asarray(run(next(keys), *arguments))


def written(problem):
    """Return the job as a user writes it: the score by vmap(grad(logpdf))."""

    @jax.jit
    def run(key, x, tables):
        def one(state, row):
            (x, key), ((c_x, c_s, c_z), level) = state, row
            key, now = jax.random.split(key)
            z = jax.random.normal(now, x.shape, x.dtype)
            return (c_x * x + c_s * _score(x, level) + c_z * z, key), None

        return jax.lax.scan(one, (x, key), tables)[0][0]

    return _job(run, jnp.asarray(problem.start()), _levels(problem))


def _neighbours(tables):
    """Tables of the steps of a grid: what holds at each end."""
    now = jax.tree.map(lambda table: table[:-1], tables)
    return now, jax.tree.map(lambda table: table[1:], tables)


def written_flow(problem):
    """Return the same for Heun's method."""

    @jax.jit
    def run(key, x, tables):
        def one(x, ends):
            now, after = ends
            return formulas.heun(_score, x, *now, *after), None

        return jax.lax.scan(one, x, tables)[0]

    return _job(run, jnp.asarray(problem.start()), _neighbours(_levels(problem)))


def _columns(problem):
    tables = problem.table, formulas.components(problem)
    return jax.tree.map(jnp.asarray, (problem.start().T, tables))


def tuned(problem):
    """Return the job as structure of arrays, for XLA to fuse in one loop a step."""

    @jax.jit
    def run(key, start, tables):
        def one(state, row):
            (x, y, key), (row, rows) = state, row
            key, now = jax.random.split(key)
            z1, z2 = jax.random.normal(now, (2, *x.shape), x.dtype)
            return (*formulas.soa_step(jnp, x, y, row, rows, z1, z2), key), None

        x, y, _ = jax.lax.scan(one, (*start, key), tables)[0]
        return jnp.stack([x, y], 1)

    return _job(run, *_columns(problem))


def tuned_flow(problem):
    """Return the same for Heun's method."""

    @jax.jit
    def run(key, start, tables):
        def one(state, ends):
            now, after = ends
            return formulas.soa_heun(jnp, *state, *now, *after), None

        return jnp.stack(jax.lax.scan(one, tuple(start), tables)[0], 1)

    start, tables = _columns(problem)
    return _job(run, start, _neighbours(tables))
