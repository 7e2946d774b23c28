"""Long runs in compiled code: the same chains and mixtures, at the machine's limit.

A chain's table and a mixture's numbers are all that the kernel is given, so no formula
is written twice. Particle i's noise comes from its own stream (`noise`), and the result
has the same bits for any number of threads, any block size, and for one process or many
that each run a shard x[i0:i1] with first = i0 (on one type of processor, and one version
of numba). The first call with a dtype compiles for some seconds, and numba keeps the
result on disk: later processes load it in half a second. Threads are the standard
library's, so a process that has used them may be forked; there are `threads` of them, or
as many as NUMBA_NUM_THREADS in the environment says, or one a processor.
"""

from collections.abc import Callable

import numpy as np

from refdiff import elementary, gaussian, noise
from refdiff._check import Array, finite, whole
from refdiff._share import shared
from refdiff.chain import Chain
from refdiff.mixture import Mixture

ROW = (
    3 * 1024
)  # bytes of a block's rows: long enough for loops, and all stay in the cache


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

    law: a Mixture, or a numba-jitted score(x, out) that fills out (d, B) from x (d, B),
    of which the last columns may repeat a particle; it is compiled in each process, tried
    at the first particles, and for chains that ask at signal 1 and noise 0 alone.
    x float64 or float32, which the run keeps; particle i has the stream first + i, and
    a run that goes on from another's end needs another seed: the same is the same noise.
    -> the last state (n, d); with `every`, states 0, every, 2 every, ..., of which the
    last is the end only if `every` divides the steps: (1 + steps // every, n, d)
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_fast.py::test_a_run_is_the_numpy_drivers_with_the_same_normals
    """
    from refdiff import kernel

    x = _points(x)
    noise.checked_stream(seed, first)
    block = ROW // x.itemsize if block is None else block
    whole(block=block, every=1 if every is None else every)
    block, every = int(block), every and int(every)
    if not isinstance(chain, Chain):
        raise TypeError(f"chain must be a Chain; got {type(chain).__name__}")
    levels, ask = _levels(chain)
    if isinstance(law, Mixture):
        _fits(law, x)
        numbers, score = (*_tables(law, *levels, x.dtype)[:2], law.mean), None
    else:
        none = np.zeros((1, 1, 1)), np.zeros(1), np.zeros(1)
        numbers, score = none, _own(law, levels, ask, x)
    kept, step = (0, chain.steps) if every is None else (chain.steps // every, every)
    path = np.empty((1 + kept, *x.shape), x.dtype)
    path[0] = x  # and states behind it, or the last state over it
    numbers = tuple(part.astype(x.dtype) for part in numbers)
    rows = _rows(chain, chain.A, chain.b, ask, x.dtype)
    data = numbers, rows, np.uint64(seed), np.uint64(first), block, score, None
    compiled = kernel.run if score is None else kernel.own
    to = path if every is None else path[1:]
    shared(threads, len(x), block, lambda lo, hi: compiled(x, to, lo, hi, step, *data))
    return path[0] if every is None else path


def logpdf(law: Mixture, x: Array, threads: int | None = None) -> Array:
    """Log density of a mixture at x (n, d), as `law.logpdf` -> (n,) nats, in x's dtype.

    Beyond about 1e150 standard deviations (4e18 in float32) it is cut off, and `score`
    wrong. ValueError or TypeError that names the bad argument, as for a covariance that
    is singular or whose inverse is beyond the dtype.
    Source: definition
    Test: test_fast.py::test_logpdf_and_score_are_the_mixtures
    """
    from refdiff import kernel

    x = _points(x)
    _fits(law, x)
    parts = _tables(law, np.ones(1), np.zeros(1), x.dtype)
    table, (small,), (shift,) = (part.astype(x.dtype) for part in parts)
    result = np.empty(len(x), x.dtype)
    block = ROW // x.itemsize
    data = result, table, small, shift, block
    shared(threads, len(x), block, lambda lo, hi: kernel.logpdf(x, lo, hi, *data))
    return result


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
    from refdiff import kernel

    whole(n=n)
    noise.checked_stream(seed, first)
    _mixture(law)
    x = np.empty((n, law.d), elementary.numbers(dtype).F)
    # root root' = R' R: triangles take fewer products
    turned = np.linalg.qr(law._root.swapaxes(1, 2), mode="r").swapaxes(1, 2)
    parts = law.means.astype(x.dtype), turned.astype(x.dtype, order="C")
    edges, block = np.cumsum(law.weights), 2 * ROW // x.itemsize
    data = edges / edges[-1], *parts, np.uint64(seed), np.uint64(first), block
    shared(threads, n, block, lambda lo, hi: kernel.sample(x, lo, hi, *data))
    return x


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
    return np.require(a, requirements="CW")  # what is read alone is another type


def _mixture(law):
    if not isinstance(law, Mixture):
        raise TypeError(f"law must be a Mixture; got {type(law).__name__}")


def _fits(law, x):
    _mixture(law)
    if x.shape[1] != law.d:
        raise ValueError(f"x must be (n, {law.d}), as law is; got shape {x.shape}")


def _rows(chain, A, b, ask, dtype):
    """What the kernel takes of a chain, with A and b in place of its own."""
    parts = (part.astype(dtype) for part in (A, b, chain.c))
    begin = (A != 0).argmax(axis=2)  # the first register that each is made of
    return *parts, begin, chain.ends, bool(chain.c.any()), ask


def _levels(chain):
    """The distinct levels, signal (L,) and noise (L,), and the one that each row asks.

    -1: no model is asked; -2: signal = 0, where the model is the mean.
    """
    asked = chain.b.any(axis=1)
    level = np.stack([chain.signal, chain.noise], axis=1)
    at_score = asked & (chain.signal != 0)
    distinct, which = np.unique(level[at_score], axis=0, return_inverse=True)
    ask = np.where(asked, -2, -1)
    ask[at_score] = which.ravel()
    return distinct.T, ask


def _roots(law, signal, noise):
    """Triangular roots of the covariances (levels, K, d, d) at each level."""
    covs = signal[:, None, None, None] ** 2 * law.covs
    covs = covs + noise[:, None, None, None] ** 2 * np.eye(law.d)
    try:
        return gaussian.cholesky(covs)
    except ValueError as reason:
        raise ValueError(
            f"law must have a density where it is asked: {reason}"
        ) from None


def _tables(law, signal, noise, dtype):
    """A mixture's numbers at each level (levels, components, numbers), `small`, shifts.

    A component, of covariance L D L' with a unit L, has the log of its weighted density
    at its mean, in bits; its mean; 1 / (2 D log 2); and, unless that is 0 in all of them,
    what is below the diagonal of L.
    Components are filled up to whole eights in the plane, and d to 2, by such as weigh
    nothing. There logs are less a shift, in nats, that brings the highest to +-digits;
    and in a sum of weights of at least `small` one that is cut off is nothing, even in
    the narrowest, which pulls as many times as it is narrower; nor is a pull of the widest.
    """
    K, d = law.means.shape
    num, bit, L = elementary.numbers(dtype), np.log(2), _roots(law, signal, noise)
    wide, full = max(d, 2), K if d > 2 else -(-K // 8) * 8
    correlated = np.tril(L, -1).any()
    size = 1 + 2 * wide + correlated * (wide * (wide - 1) // 2)
    table = np.zeros((len(signal), full, size))
    table[:, K:, 0] = -np.inf
    top = np.log(law.weights) + gaussian._logpdf(np.zeros(d), L)
    most, reach = top.max(axis=1), num.digits * bit
    shift = (d < 3) * (most - np.clip(most, -reach, reach))
    table[:, :K, 0] = (top - shift[:, None]) / bit
    table[:, :K, 1 : 1 + d] = signal[:, None, None] * law.means
    root = np.diagonal(L, axis1=2, axis2=3)
    inverse = root**-2.0 / (2 * bit)
    table[:, :K, 1 + wide : 1 + wide + d] = inverse
    if correlated:
        i, j = np.tril_indices(d, -1)
        table[:, :K, 1 + 2 * wide :] = (L / root[..., None, :])[..., i, j]
    largest = np.abs(table[:, :K]).max(initial=0)
    if not largest <= np.finfo(dtype).max:
        raise ValueError(
            "law must have means and inverse variances that are numbers of "
            f"{num.F.__name__}; it holds {largest:.3g}"
        )
    high, low = inverse.max(axis=(1, 2)), inverse.min(axis=(1, 2))
    small = np.maximum((high / low) ** 0.5, low**-0.5) * 4.0**num.digits * num.tiny
    return table, np.minimum(small, 1e30), shift


def _own(score, levels, ask, x):
    """Refuse what fills no score, or a chain that asks it at noised levels."""
    from numba import config

    from refdiff import kernel

    if not (hasattr(score, "py_func") or config.DISABLE_JIT and callable(score)):
        raise TypeError(
            f"law must be a Mixture or a numba-jitted score(x, out); "
            f"got {type(score).__name__}"
        )
    signal, noise = levels
    if (ask == -2).any() or (signal != 1).any() or (noise != 0).any():
        raise ValueError(
            "law must be a Mixture where a chain asks at other levels than signal 1, "
            f"noise 0; this chain asks at signal {signal}, noise {noise}"
        )
    points = np.ascontiguousarray(x[:64].T)
    out = np.full_like(points, np.nan)
    kernel.fill(score, points, out)
    for row in np.flatnonzero(np.isnan(out).all(axis=1)):
        raise ValueError(
            f"law must fill out (d, B) from x (d, B); out[{row}] was left unset, or nan"
        )
    return score
