"""The network at the machine's limit: training and sampling fused around BLAS.

`fit` is `train.fit` with the squared error compiled, `run` is `Chain.run` with the
network as the model and the noise of `noise.normals`. The bits do not depend on the
number of threads. Matrix products are those of the BLAS that SciPy brings, which is set
to one thread for as long as a call lasts: OpenBLAS and MKL, in all threads of the
process; where it is another, set its own variable (such as VECLIB_MAXIMUM_THREADS).
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from refdiff import elementary, fast, noise, train
from refdiff._check import Array, finite, whole
from refdiff.chain import Chain
from refdiff.net import MLP
from refdiff.targets import Model, Network

BLOCK = 192  # particles that one thread runs at a time: four shards of the kernel
LANES = 8  # partial gradients, at most: as many threads can train at once

Draw = Callable[[np.random.Generator], tuple[Array, Array, Array, Array]]


def loss_grad(
    net: MLP,
    params: Array,
    x: Array,
    t: Array,
    y: Array,
    weight: Array,
    threads: int | None = None,
) -> tuple[float, Array]:
    """Weighted squared error of the network, and its gradient in the parameters.

    loss = (1/n) sum_n weight ||net(x, t) - y||^2
    params (size,) float64 or float32, x (n, d), t (n,), y (n, out), weight (n,)
    -> loss, gradient (size,) in the precision of params
    ValueError or TypeError that names the bad argument.
    Source: Ho20 (14)
    Test: test_fast_net.py::test_loss_and_gradient_are_those_of_the_numpy_network
    """
    room = np.empty((LANES, net.size), params.dtype)
    with _threads(threads):
        return _loss_grad(net, params, x, t, y, weight, room)


def _loss_grad(net, params, x, t, y, weight, room):
    from refdiff import kernel_net

    batch = _batch(net, params, x, t, y, weight)
    grads = room[: 2 * -(-len(x) // (2 * BLOCK))]
    losses = kernel_net.loss_grad(np.array(net.widths), params, *batch, grads)
    return float(losses.sum()), grads.sum(axis=0)


def fit(
    net: MLP,
    draw: Draw,
    state: train.State,
    *,
    lr: float | Callable[[int], float] = 1e-3,
    ema_decay: float = 0.999,
    threads: int | None = None,
) -> Iterator[train.State]:
    """Train forever as `train.fit` does, yielding the same states to rounding.

    draw(rng) -> x (n, d), t (n,), y (n, out), weight (n,) of one batch of `loss_grad`
    Every state has arrays of its own; any of them resumes the run exactly.
    Errors are those of `train.fit` and `loss_grad`.
    Source: Ho20 Algorithm 1
    Test: test_fast_net.py::test_training_is_that_of_train_fit
    """
    from refdiff import kernel_net

    _params(net, state.params)
    room = np.empty((LANES, net.size), state.params.dtype)

    def of_batch(params, rng):
        return _loss_grad(net, params, *draw(rng), room)

    def update(state, grad, step, lr, decay):
        new = np.empty((4, net.size), grad.dtype)
        old = state.params, state.ema, state.m, state.v
        kernel_net.update(new, *old, grad, step, float(lr), decay)
        return new

    states = train.fit(of_batch, state, lr=lr, ema_decay=ema_decay, update=update)
    return _in_threads(threads, states)


def _in_threads(threads, states):
    while True:
        with _threads(threads):
            state = next(states)
        yield state


def _batch(net, params, x, t, y, weight):
    """The kernel's arguments: x, t / T, its frequencies, y, weight / n."""
    inputs = _inputs(net, params, x, t)
    y, weight = finite(y=y, weight=weight)
    n, out = len(x), net.widths[-1]
    if y.shape != (n, out) or weight.shape != (n,):
        got = f"got shape {y.shape} and {weight.shape}"
        raise ValueError(f"y must be ({n}, {out}) and weight ({n},); {got}")
    return *inputs, *(np.ascontiguousarray(a, params.dtype) for a in (y, weight / n))


def _inputs(net, params, x, t):
    """The network's inputs, checked: x in the precision of params, t / T, frequencies."""
    _params(net, params)
    x, t = finite(x=x, t=t)
    if x.ndim != 2 or x.shape[1] != net.d or not len(x):
        raise ValueError(f"x must be (n, {net.d}), n >= 1; got shape {x.shape}")
    if t.shape not in ((), (len(x),)):
        raise ValueError(f"t must be a number or ({len(x)},); got shape {t.shape}")
    t = t / net.T + np.zeros(len(x))
    return np.ascontiguousarray(x, params.dtype), t, net.half_turns


def _params(net, params):
    """Refuse parameters that are not this network's, or of another precision."""
    elementary.numbers(params.dtype)
    net.views(params)


def run(
    chain: Chain,
    net: MLP,
    params: Array,
    x: Array,
    *,
    to_score: Callable[[Network], Model],
    seed: int,
    first: int = 0,
    threads: int | None = None,
) -> Array:
    """Run a chain from x (n, d) with the network as its model -> the last state (n, d).

    to_score: what makes a model of net(x, t), such as `targets.eps_model`; it is probed
    for its two numbers at each level. All is in the precision of params. Particle i has
    the noise of stream first + i. A job cut at multiples of 192 has the same bits.
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_fast_net.py::test_a_run_is_the_numpy_drivers_with_the_same_normals
    """
    from refdiff import kernel

    _inputs(net, params, x, 0.0)
    noise.checked_stream(seed, first)
    if net.widths[-1] != net.d:
        raise ValueError(f"net must have out = {net.d}; got {net.widths[-1]}")
    path = np.array([x, x], params.dtype)
    rows, none = _table(chain, to_score, params.dtype), np.zeros((1, 1), params.dtype)
    at_time, law = _without_time(net, params, chain), (none, none[0])
    stream = np.uint64(seed), np.uint64(first), BLOCK

    def work(lo, hi):
        kernel.run(path, lo, hi, chain.steps, law, rows, *stream, None, at_time)

    with _threads(None):
        fast._shared(threads, len(x), BLOCK, work)
    return path[1]


def _table(chain, to_score, dtype):
    """The chain's table with the network in place of the score p x + q net(x, t)."""
    x, y = np.array([[1.0], [0.0], [0.6]]), np.array([[0.0], [1.0], [-0.7]])
    model, asked = to_score(lambda x, t: y), chain.b.any(axis=1)
    A, b = chain.A.copy(), chain.b.copy()
    for k in np.flatnonzero(asked):
        p, q, both = np.asarray(model(x, chain.level(k)))[:, 0]
        if not np.isclose(both, p * x[2, 0] + q * y[2, 0], rtol=1e-9, atol=0):
            raise ValueError(f"to_score must be linear in x and net(x, t); row {k}")
        A[k, :, 0] += b[k] * p
        b[k] *= q
    rows = tuple(part.astype(dtype) for part in (A, b, chain.c))
    return *rows, chain.ends, bool(chain.c.any()), np.where(asked, 0, -1)


def _without_time(net, params, chain):
    """The network of x alone that each row asks: widths, parameters, first biases.

    What the embedding of a row's t adds to the first layer is a constant of that row.
    """
    p, width = net.views(params), net.widths[1]
    t = np.where(np.isnan(chain.t), 0.0, chain.t)
    biases = net.embed(t) @ p["W0"][net.d :] + p["b0"]
    end = net.widths[0] * width
    own = np.concatenate([params[: net.d * width], params[end:]])
    return np.array([net.d, *net.widths[1:]]), own, biases.astype(params.dtype)


@contextmanager
def _threads(threads):
    """So many threads of numba, and one of BLAS in each, as long as this lasts."""
    import numba

    most, before = numba.config.NUMBA_NUM_THREADS, numba.get_num_threads()
    threads = before if threads is None else threads
    whole(threads=threads)
    if threads > most:
        raise ValueError(f"threads must be at most {most}; got {threads}")
    read, put = _blas()
    blas = read()
    numba.set_num_threads(threads)
    put(1)
    try:
        yield
    finally:
        put(blas)
        numba.set_num_threads(before)


@cache
def _blas():
    """How to read and set the number of threads of the BLAS that numba calls."""
    from scipy.linalg import cython_blas

    library = ctypes.CDLL(cython_blas.__file__)  # finds what it was linked with
    for get, put in (
        ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
        ("openblas_get_num_threads", "openblas_set_num_threads"),
        ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ):
        if hasattr(library, put):
            return getattr(library, get), getattr(library, put)
    return lambda: 1, lambda threads: None
