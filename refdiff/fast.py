"""Long runs in compiled code: the same chains and mixtures, at the machine's limit.

A chain's table and a mixture's numbers are all that the kernel is given, so no formula
is written twice. Particle i's noise comes from its own stream (`noise`), and the result
has the same bits for any number of threads, any block size, and for one process or many
that each run a shard x[i0:i1] with first = i0 (on one type of processor, and one version
of numba). The first call with a dtype compiles for some seconds, and machine code is kept
on disk: later processes load it at once, and do not import numba. Threads are the
standard library's, so a process that has used them may be forked, though not while it
compiles; there are `threads` of them, or as many as NUMBA_NUM_THREADS in the environment
says, or one a processor. A run that goes on from another's end needs another seed: the
same is the same noise.

An own score fills out (d, B) from x (d, B), of which each column is a particle by itself;
B may differ from call to call, and the last columns may repeat a particle. It is compiled
in each process, tried at the first particles, and asked at signal 1 and noise 0 alone.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from refdiff import _kept, _tables, elementary, noise
from refdiff._check import Array, finite, whole
from refdiff._share import in_each, shared
from refdiff.chain import Chain
from refdiff.mixture import Mixture

# Bytes of one row of a block: long enough for loops, and a block's rows stay in the cache.
ROW = 3 * 1024


def start(seed: int, n: int, d: int, first: int = 0, dtype: object = float) -> Array:
    """Draw N(0, I) from streams beside those that `run` uses with the same seed.

    -> (n, d); particle i's depends on (seed, first + i) alone
    Source: definition
    Test: test_fast.py::test_a_start_is_independent_of_its_run
    """
    return noise.normals(seed, n, d, first, stream=noise.STARTS, dtype=dtype)[0]


def run(
    chain: Chain,
    law: Mixture | Callable[[Array, Array], None],
    x: Array,
    *,
    seed: int,
    first: int = 0,
    threads: int | None = None,
    every: int | None = None,
    block: int | None = None,
) -> Array:
    """Run a chain from x (n, d) against the exact score of a mixture, or an own score.

    law: a Mixture, or a numba-jitted score(x, out), see above; x float64 or float32,
    which the run keeps; particle i has the stream first + i; block: how many particles
    are worked on at a time, which changes the speed alone. A run that diverges ends in
    nan, and the bounds of `logpdf` are the score's here too.
    -> the last state (n, d); with `every`, states 0, every, 2 every, ..., of which the
    last is the end only if `every` divides the steps: (1 + steps // every, n, d)
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_fast.py::test_a_run_is_the_numpy_drivers_with_the_same_normals
    """
    x = _points(x)
    noise.checked_stream(seed, first)
    block = ROW // x.itemsize if block is None else block
    whole(block=block, every=1 if every is None else every)
    block, every = int(block), every and int(every)
    _tables.fitting(chain)
    levels, ask = _tables.levels(chain)
    if isinstance(law, Mixture):
        _tables.fits(law, x)
        numbers = *_tables.tables(law, *levels, x.dtype)[:2], law.mean
        begin, score = partial(_kept.function, "run"), None
    else:
        numbers = np.zeros((1, 1, 1)), np.zeros(1), np.zeros(1)
        begin, score = _own(law, levels, ask, x), law
    every = every and min(every, chain.steps + 1)
    kept, step = (0, chain.steps) if every is None else (chain.steps // every, every)
    path = np.empty((1 + kept, *x.shape), x.dtype)
    path[0] = x  # and states behind it, or the last state over it
    numbers = tuple(part.astype(x.dtype) for part in numbers)
    rows = _tables.rows(chain, chain.A, chain.b, ask, x.dtype)
    to = path if every is None else path[1:]
    key, registers = _tables.key(seed, noise.STEPS, first), chain.A.shape[1]
    data = to, step, numbers, rows, key, score, None
    _blocks(threads, block, begin, x, *data, registers=registers)
    return path[0] if every is None else path


def logpdf(law: Mixture, x: Array, threads: int | None = None) -> Array:
    """Log density of a mixture at x (n, d), as `law.logpdf` -> (n,) nats, in x's dtype.

    Beyond about 1e150 standard deviations (3e18 in float32) it is cut off, and `score`
    nan, as where |x - mean| / variance is beyond the dtype's numbers. In float32 means
    are rounded to 1 in 2^24: they should be small beside 2^24 deviations.
    ValueError or TypeError that names the bad argument, as for a covariance that is
    singular or whose inverse is beyond the dtype.
    Source: definition
    Test: test_fast.py::test_logpdf_and_score_are_the_mixtures
    """
    x = _points(x)
    _tables.fits(law, x)
    parts = _tables.tables(law, np.ones(1), np.zeros(1), x.dtype)
    table, (small,), (shift,) = (part.astype(x.dtype) for part in parts)
    result = np.empty((len(x), 1), x.dtype)
    begin = partial(_kept.function, "logpdf")
    _blocks(threads, ROW // x.itemsize, begin, x, result, table, small, shift)
    return result[:, 0]


def score(law: Mixture, x: Array, threads: int | None = None) -> Array:
    """Gradient of the log density at x (n, d), as `law.score` -> (n, d), in x's dtype.

    It is the run of one row x <- score(x), right within the bounds of `logpdf`.
    ValueError or TypeError that names the bad argument, as for a singular covariance.
    Source: definition
    Test: test_fast.py::test_logpdf_and_score_are_the_mixtures
    """
    zero, one, no = np.zeros((1, 1)), np.ones(1), np.zeros(1)
    row = Chain(zero[None], one[None], zero, one, no, no, np.array([True]))
    return run(row, law, x, seed=0, threads=threads)


def sample(
    law: Mixture,
    n: int,
    seed: int,
    first: int = 0,
    threads: int | None = None,
    dtype: object = float,
) -> Array:
    """Draw n samples of a mixture, singular covariances included -> (n, d).

    Sample i depends on (seed, first + i) alone, and no run or start shares its stream.
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_fast.py::test_samples_have_the_mixtures_law
    """
    whole(n=n)
    noise.checked_stream(seed, first)
    _tables.mixture(law)
    x = np.empty((n, law.d), elementary.numbers(dtype).F)
    # root root' = R' R: triangles take fewer products
    turned = np.linalg.qr(law._root.swapaxes(1, 2), mode="r").swapaxes(1, 2)
    _tables.holds(
        x.dtype, "means and deviations", np.hstack([law.means, abs(turned).max(1)]), 1
    )
    parts = law.means.astype(x.dtype), turned.astype(x.dtype, order="C")
    edges, begin = np.cumsum(law.weights), partial(_kept.function, "sample")
    edges = np.ceil(edges[:-1] / edges[-1] * 2.0**52).astype(np.uint64)  # of 52 bits
    data = edges, *parts, _tables.key(seed, noise.SAMPLES, first)
    _blocks(threads, 2 * ROW // x.itemsize, begin, x, *data)
    return x


def _blocks(threads, block, begin, x, *data, registers=1):
    """Share x's particles among threads, each with begin(room, x, *data) of its own."""
    block = _tables.block(len(x), block)

    def of_thread():
        room = _tables.room(registers, x.shape[1], block, x.dtype)
        return begin(room, x, *data)

    shared(threads, len(x), block, in_each(of_thread))


def _points(x):
    """Check x (n, d), of one of the two dtypes."""
    (x,) = finite(x=x)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"x must be (n, d), n and d >= 1; got shape {x.shape}")
    return _precise("x", x)


def _precise(name, a):
    """The array in one piece; TypeError unless it has one of the two dtypes."""
    if a.dtype not in (np.float64, np.float32):
        raise TypeError(f"{name} must be float64 or float32; got {a.dtype}")
    return np.require(a, requirements="CAW")  # what is read alone is another type


def _own(score, levels, ask, x):
    """How a run with it begins; refuse a chain of noised levels, or what fills no score."""
    from numba import config

    from refdiff import kernel

    if not (hasattr(score, "py_func") or config.DISABLE_JIT and callable(score)):
        raise TypeError(
            f"law must be a Mixture or a numba-jitted score(x, out); "
            f"got {type(score).__name__}"
        )
    away = [f"{s:g}, noise {v:g}" for s, v in levels.T if (s, v) != (1, 0)]
    away += ["0"] if (ask == -2).any() else []
    if away:
        raise ValueError(
            "law must be a Mixture where a chain asks at other levels than signal 1, "
            f"noise 0; this chain asks at signal {away[0]}"
        )
    points = np.vstack([x[:64].T, 0 * x[:64, 0]])  # and a row that is not the score's
    room = np.full_like(points, np.nan)
    kernel.fill(score, points[:-1], room[:-1])
    for row in np.flatnonzero(np.isnan(room[:-1]).any(axis=1)):
        raise ValueError(
            "law must fill out (d, B) from x (d, B); "
            f"out[{row}] was left unset in places, or nan"
        )
    if not np.isnan(room[-1]).all():
        raise ValueError(f"law must fill {x.shape[1]} rows of out; it filled more")
    return lambda *args: lambda lo, hi: kernel.own(lo, hi, *args)
