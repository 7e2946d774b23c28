"""JAX's competitors of the network: jit, value_and_grad, scan; Adam by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tests.bench.network import BATCHES, DECAY, LR, NET

jax.config.update("jax_enable_x64", True)
FREQUENCY = np.pi * np.geomspace(0.5, 32, NET.frequencies) / NET.T


def _embed(t):
    angle = t[..., None] * FREQUENCY.astype(t.dtype)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def _forward(weights, h):
    for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        h = jax.nn.silu(h @ W + b)
    return h @ weights[-2] + weights[-1]


def _loss(weights, x, t, y):
    y_hat = _forward(weights, jnp.concatenate([x, _embed(t)], 1))
    return ((y_hat - y) ** 2).sum(1).mean()


def _step(state, step, x, t, y):
    """One step of Adam, and of the moving average, on any tree of parameters."""
    weights, m, v, ema = state
    grad = jax.grad(_loss)(weights, x, t, y)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grad)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, grad)
    up, down = LR / (1 - 0.9**step), 1 / (1 - 0.999**step)

    def move(w, m, v):
        return w - up * m / (jnp.sqrt(down * v) + 1e-8)

    weights, keep = jax.tree.map(move, weights, m, v), step / (step + 10)
    keep = jnp.minimum(DECAY, keep)
    ema = jax.tree.map(lambda e, w: keep * e + (1 - keep) * w, ema, weights)
    return weights, m, v, ema


def _prepared(problem):
    params, *batches = problem.parts()
    weights = [jnp.asarray(p) for p in NET.views(params).values()]
    zero = jax.tree.map(jnp.zeros_like, weights)
    return (weights, zero, zero, weights), [jnp.asarray(b) for b in batches]


def _flat(state):
    """Return the parameters and their moving average."""
    return np.concatenate([np.ravel(w) for w in (*state[0], *state[-1])])


def training(problem):
    """Return run(steps) as a user writes it: a jitted step in a Python loop."""
    start, batches = _prepared(problem)
    step = jax.jit(_step)

    def run(steps):
        state = start
        for k in range(steps):
            state = step(state, k + 1.0, *(b[k % BATCHES] for b in batches))
        return _flat(state)

    return run


def training_tuned(problem):
    """Return the same with all steps in one scan."""
    start, batches = _prepared(problem)

    @partial(jax.jit, static_argnums=1)
    def all_steps(state, steps):
        def one(state, k):
            batch = [b[k % BATCHES] for b in batches]
            return _step(state, k + 1.0, *batch), None

        return jax.lax.scan(one, state, jnp.arange(steps))[0]

    return lambda steps: _flat(all_steps(start, steps))


def _sampling(problem, forward, split):
    """Run all steps in one scan; `split` blocks of rows one after another."""
    weights = [jnp.asarray(w) for w in problem.weights()]
    start = jnp.asarray(problem.start()).reshape(split, -1, NET.d)

    def steps_of(block, table, times):
        def one(state, row):
            (x, key), ((c_x, c_eps, c_z), t) = state, row
            key, now = jax.random.split(key)
            z = jax.random.normal(now, x.shape, x.dtype)
            return (c_x * x + c_eps * forward(weights, x, t) + c_z * z, key), None

        return jax.lax.scan(one, block, (table, times))[0][0]

    @jax.jit
    def all_blocks(keys, table, times):
        return jax.lax.map(lambda b: steps_of(b, table, times), (start, keys))

    def run(steps):
        keys = jax.random.split(jax.random.key(1), split)
        return np.asarray(all_blocks(keys, *problem.table(steps))).reshape(-1, NET.d)

    return run


def sampling(problem):
    """Return run(steps) as a user writes it."""

    def forward(weights, x, t):
        emb = _embed(t)
        emb = jnp.broadcast_to(emb, (len(x), emb.size))
        return _forward(weights, jnp.concatenate([x, emb], 1))

    return _sampling(problem, forward, 1)


def sampling_tuned(problem):
    """Return the same by hand: the embedding once a step, and blocks of rows."""

    def forward(weights, x, t):
        W0, b0, *rest = weights
        bias = _embed(t) @ W0[NET.d :] + b0
        return _forward(rest, jax.nn.silu(x @ W0[: NET.d] + bias))

    return _sampling(problem, forward, 4)
