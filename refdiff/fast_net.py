"""The network at the machine's limit: training and sampling fused around BLAS.

`fit` is `train.fit` with the squared error compiled, `run` is `Chain.run` with the
network as the model and the noise of `noise.normals`. The bits do not depend on the
number of threads. Matrix products are those of the BLAS that SciPy brings, which is set
to one thread for as long as a call lasts: OpenBLAS and MKL, in all threads of the
process; where it is another, set its own variable (such as VECLIB_MAXIMUM_THREADS).
"""

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from refdiff import fast, noise, train
from refdiff._check import Array, finite, positive, whole
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
    from refdiff import kernel_net

    batch = _batch(net, params, x, t, y, weight)
    widths, work, grads = _space(net, params, len(batch[0]))
    with _threads(threads):
        losses = kernel_net.loss_grad(widths, params, *batch, work, grads)
    return float(losses.sum()), grads[:, : net.size].sum(axis=0)


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
    if not callable(lr):
        positive(lr=lr)
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay must be in [0, 1); got {ema_decay}")
    _params(net, state.params)
    rate = lr if callable(lr) else lambda step: lr
    return _fit(net, draw, state, rate, ema_decay, threads)


def _fit(net, draw, state, rate, ema_decay, threads):
    from refdiff import kernel_net

    rng, n, old = train.restore(state.rng), 0, _room((4, net.size), state.params)
    old[:, : net.size] = state.params, state.ema, state.m, state.v
    while True:
        step = state.step + 1
        batch = _batch(net, state.params, *draw(rng))
        if n != len(batch[0]):
            n = len(batch[0])
            widths, work, grads = _space(net, old, n)
        new = _room((4, net.size), old)
        c = _numbers(rate(step), step, ema_decay, old.dtype)
        with _threads(threads):
            params = old[0, : net.size]
            losses = kernel_net.loss_grad(widths, params, *batch, work, grads)
            kernel_net.adam(old, new, grads, c)
        loss, old = float(losses.sum()), new
        if not np.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {step}")
        if not np.isfinite(new[2]).all():
            raise FloatingPointError(f"the gradient is not finite at step {step}")
        state = train.State(step, loss, *new[:, : net.size], rng.bit_generator.state)
        yield state


def _numbers(lr, step, ema_decay, dtype):
    """What Adam and the moving average multiply by, in this step."""
    if not (np.isfinite(lr) and lr >= 0):
        raise ValueError(f"lr must be finite and at least 0; got {lr} at step {step}")
    b1, b2, eps = train.adam_step.__defaults__
    keep = train.ema_step(1.0, 0.0, step, ema_decay)
    unbias = 1 / (1 - b2**step)
    rates = (b1, 1 - b1, b2, 1 - b2, lr / (1 - b1**step), unbias, eps, keep, 1 - keep)
    return tuple(dtype.type(v) for v in rates)


def _space(net, like, n):
    """Where the kernel works on n particles, in lanes: all layers, and a gradient, each."""
    lanes, widths = min(LANES, 2 * -(-n // (2 * BLOCK))), np.array(net.widths)
    return widths, _layers(widths, like, lanes), _room((lanes, net.size), like)


def _layers(widths, like, *lanes):
    """Where the kernel keeps the outputs and slopes of all layers, for one shard."""
    from refdiff.kernel_net import SHARD

    return _room((*lanes, 2, len(widths) - 1, SHARD * widths.max()), like)


def _room(shape, like):
    """Room for rows of numbers, each at a multiple of 64 bytes, where BLAS is fastest."""
    *rows, size = shape
    shape, line = (*rows, -(-size // 16) * 16), 64 // like.itemsize
    room = np.empty(math.prod(shape) + line, like.dtype)
    skip = -room.ctypes.data % 64 // like.itemsize
    room = room[skip : skip + math.prod(shape)].reshape(shape)
    room[..., size:] = 0
    return room


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
    noise.numbers(params.dtype)
    net.views(params)


def predict(
    net: MLP, params: Array, x: Array, t: float | Array, threads: int | None = None
) -> Array:
    """Evaluate the network, as `net.forward` does, shard by shard in threads.

    params (size,), x (n, d), t (n,) or a number  ->  y (n, out) in params' precision
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_fast_net.py::test_predictions_are_those_of_the_numpy_network
    """
    from refdiff import kernel_net

    (x, t, w), widths = _inputs(net, params, x, t), np.array(net.widths)
    y = np.empty((len(x), widths[-1]), params.dtype)

    def work(lo, hi):
        of = x[lo:hi], t[lo:hi], w, y[lo:hi], _layers(widths, params)
        kernel_net.predict(widths, params, *of)

    with _threads(None):
        fast._shared(threads, len(x), BLOCK, work)
    return y


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
    path, num = np.array([x, x], params.dtype), noise.numbers(params.dtype)
    rows, none = _table(chain, to_score, params.dtype), np.zeros((1, 1), params.dtype)
    widths, own, biases = _without_time(net, params, chain)
    law, stream = (none, none[0]), (np.uint64(seed), np.uint64(first), BLOCK, num)

    def work(lo, hi):
        at_time = widths, own, biases, _layers(widths, params)
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
