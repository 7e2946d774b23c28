"""The network at the machine's limit: training and sampling fused around BLAS.

`fit` is `train.fit` with the squared error compiled, `run` is `Chain.run` with the
network as the model and the noise of `noise.normals`. The bits do not depend on the
number of threads. Matrix products are those of the BLAS that SciPy brings, which is set
to one thread for as long as a call lasts: OpenBLAS and MKL, in all threads of the
process; where it is another, set its own variable (such as VECLIB_MAXIMUM_THREADS).
Training shares a batch out to numba's threads, which stay; where they are GNU OpenMP's,
a process that is forked after it cannot train: spawn it.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np

from refdiff import _tables, fast, noise, train
from refdiff._check import Array, finite, whole
from refdiff._share import in_each, shared
from refdiff.chain import Chain
from refdiff.net import MLP
from refdiff.targets import Model, Network

BLOCK = 192  # particles that one thread runs at a time: four shards of the kernel
LANES = 8  # partial gradients, at most, two for every 384 rows: threads that can train
ONE = threading.RLock()  # the number of BLAS's threads is one for all of the process

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
    params = _params(net, params)
    finite(params=params)
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

    names = ("params", "ema", "m", "v")
    state = replace(state, **{k: _params(net, getattr(state, k), k) for k in names})
    room = np.empty((LANES, net.size), state.params.dtype)
    _allowed(threads)

    def of_batch(params, rng):
        batch = draw(rng)
        if len(batch) != 4:
            raise ValueError(f"draw must give x, t, y, weight; got {len(batch)} arrays")
        return _loss_grad(net, params, *batch, room)

    def update(state, grad, lr, decay):
        new = np.empty((4, net.size), grad.dtype)
        old = state.params, state.ema, state.m, state.v
        kernel_net.update(new, *old, grad, state.step + 1, float(lr), decay)
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
    x, t = finite(x=x, t=t)
    if x.ndim != 2 or x.shape[1] != net.d or not len(x):
        raise ValueError(f"x must be (n, {net.d}), n >= 1; got shape {x.shape}")
    if t.shape not in ((), (1,), (len(x),)):
        raise ValueError(f"t must be a number or ({len(x)},); got shape {t.shape}")
    t = t / net.T + np.zeros(len(x))
    return np.ascontiguousarray(x, params.dtype), t, net.half_turns


def _params(net, params, name="params"):
    """The parameters in one piece; refuse another network's, or another precision."""
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP; got {type(net).__name__}")
    params = fast._precise(name, np.asarray(params))
    if params.shape != (net.size,):
        raise ValueError(f"{name} must be ({net.size},); got shape {params.shape}")
    return params


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
    for its numbers at each level: a score p x + q net(c x, t), at any one time t.
    All is in the precision of params. Particle i has the noise of stream first + i. A
    job cut at multiples of 192 has the same bits.
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_fast_net.py::test_a_run_is_the_numpy_drivers_with_the_same_normals
    """
    from refdiff import kernel

    params = _params(net, params)
    finite(params=params)
    x, _, _ = _inputs(net, params, x, 0.0)
    noise.checked_stream(seed, first)
    _tables.fitting(chain)
    if net.widths[-1] != net.d:
        raise ValueError(f"net must have out = {net.d}; got {net.widths[-1]}")
    p, q, scale, t = _probed(chain, to_score, net.d)
    A, b, asked = chain.A.copy(), chain.b * q[:, None], chain.b.any(axis=1)
    A[:, :, 0] += chain.b * p[:, None]
    rows = _tables.rows(chain, A, b, np.where(asked, 0, -1), x.dtype)
    asks = *_without_time(net, params, t), scale.astype(x.dtype)
    path, none = x[None].copy(), np.zeros((1, 1, 1), x.dtype)
    law = none, none[0, 0], none[0, 0]
    key = _tables.key(seed, noise.STEPS, first)
    data = x, path, chain.steps, law, rows, key, None, asks

    def begin():
        room = _tables.room(A.shape[1], net.d, BLOCK, x.dtype)
        return lambda lo, hi: kernel.trained(lo, hi, room, *data)

    with _threads(None):
        shared(threads, len(x), BLOCK, in_each(begin))
    return path[0]


def _probed(chain, to_score, d):
    """p, q, c and t of each row's score p x + q net(c x, t); ValueError for another."""
    u, v = np.linspace(1, 2, d), np.linspace(-1, 0.5, d)
    x = np.array([u, 0 * u, 1e-6 * u - v, u + 1e6 * v])
    y = np.array([0 * v, v, u + 1e-6 * v, v - 1e6 * u])
    found, calls = np.zeros((4, len(chain.b))), []

    def net(at, t):
        calls.append((at, t))
        return y

    model = to_score(net)
    for k in np.flatnonzero(chain.b.any(axis=1)):
        calls.clear()
        s = np.asarray(model(x, chain.level(k)))
        p, q = (
            (s[0] @ u / (u @ u), s[1] @ v / (v @ v)) if s.shape == x.shape else (0, 0)
        )
        rounding = 1e-9 * (np.abs(p * x) + np.abs(q * y))
        if s.shape != x.shape or not (np.abs(s - p * x - q * y) <= rounding).all():
            raise ValueError(f"to_score must be linear in x and net(x, t); row {k}")
        found[:, k] = p, q, *_one_call(calls, x, k)
    return found


def _one_call(calls, x, k):
    """Return c and t, if every call of net was at the same c x and the same time."""
    if not calls:
        return 1.0, 0.0
    scale, (t, *others) = (
        calls[0][0][0, 0],
        {float(t) for _, ts in calls for t in np.ravel(ts)},
    )
    same = all(np.allclose(at, scale * x, rtol=1e-12, atol=0) for at, _ in calls)
    if others or not same or not np.isfinite(t):
        raise ValueError(f"to_score must ask net at c x and one finite time; row {k}")
    return scale, t


def _without_time(net, params, t):
    """The network of x alone that each row asks: widths, parameters, first biases.

    What the embedding of a row's t adds to the first layer is a constant of that row.
    """
    p, width = net.views(params), net.widths[1]
    biases = net.embed(t) @ p["W0"][net.d :] + p["b0"]
    end = net.widths[0] * width
    own = np.concatenate([params[: net.d * width], params[end:]])
    return np.array([net.d, *net.widths[1:]]), own, biases.astype(params.dtype)


@contextmanager
def _threads(threads):
    """So many threads of numba, and one of BLAS in each, as long as this lasts."""
    import numba

    threads, (read, put) = _allowed(threads), _blas()
    with ONE:
        before, blas = numba.get_num_threads(), read()
        numba.set_num_threads(threads)
        put(1)
        try:
            yield
        finally:
            put(blas)
            numba.set_num_threads(before)


def _allowed(threads):
    """The number of threads, which numba must have."""
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    threads = numba.get_num_threads() if threads is None else threads
    whole(threads=threads)
    if threads > most:
        raise ValueError(f"threads must be at most {most}; got {threads}")
    return threads


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
