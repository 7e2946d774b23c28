"""What compiled runs are given: the numbers of a chain and of a mixture, in tables."""

import math

import numpy as np

from refdiff import elementary, gaussian
from refdiff._check import finite
from refdiff.chain import Chain
from refdiff.mixture import Mixture


def mixture(law):
    """Refuse what is no mixture."""
    if not isinstance(law, Mixture):
        raise TypeError(f"law must be a Mixture; got {type(law).__name__}")


def fits(law, x):
    """Refuse points of another dimension than the mixture's."""
    mixture(law)
    if x.shape[1] != law.d:
        raise ValueError(f"x must be (n, {law.d}), as law is; got shape {x.shape}")


def fitting(chain):
    """Refuse a chain whose parts do not fit each other, or are no numbers."""
    if not isinstance(chain, Chain):
        raise TypeError(f"chain must be a Chain; got {type(chain).__name__}")
    M, *R = np.shape(chain.c) or (0,)
    shapes = {"A": (M, *R, *R), "b": (M, *R)}
    shapes |= dict.fromkeys(("signal", "noise", "ends"), (M,))
    for name, shape in shapes.items():
        part = getattr(chain, name)
        fits = isinstance(part, np.ndarray) and part.shape == shape
        if not fits or len(R) != 1 or R[0] < 1:
            raise ValueError(
                f"chain.{name} must be an array {shape}, as c is {np.shape(chain.c)}; "
                f"got {type(part).__name__} {np.shape(part)}"
            )
    if chain.ends.dtype != bool:  # a step is counted once
        raise TypeError(f"chain.ends must be of bool; got {chain.ends.dtype}")
    if M and not chain.ends[-1]:
        raise ValueError(
            "chain.ends must be True in the last row: a step is unfinished"
        )
    asked = np.any(chain.b, axis=1)
    parts = {"A": chain.A, "b": chain.b, "c": chain.c}
    parts |= {"signal": chain.signal[asked], "noise": chain.noise[asked]}
    finite(**{f"chain.{name}": part for name, part in parts.items()})


def rows(chain, A, b, ask, dtype):
    """What the kernel takes of a chain, with A and b in place of its own."""
    parts = (part.astype(dtype, order="C") for part in (A, b, chain.c))
    start = (A != 0).argmax(axis=2)  # the first register that each is made of
    return *parts, start, chain.ends.astype(bool, order="C"), int(chain.c.any()), ask


def key(*numbers):
    """Seed, stream and first particle, which name all streams of a run."""
    return tuple(np.uint64(number) for number in numbers)


def block(n, most):
    """How many particles to work on at a time: whole 64s, and in all blocks as many."""
    blocks = -(-n // (64 * -(-most // 64)))
    return 64 * -(-n // (64 * blocks))


def aligned(dtype, *shape):
    """Zeros, of which the first begins a line of the cache."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def room(registers, d, n, dtype):
    """What a run of blocks of n particles works in: see `kernel`."""
    wide = max(d, 2)
    shapes = 2 * [(registers, wide, n)] + [(d + 1, n)] + 3 * [(wide + 2, n)]
    parts = (aligned(dtype, *shape) for shape in shapes)
    return *parts, aligned(np.uint64, 4, n)


def levels(chain):
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


def roots(law, signal, noise):
    """Triangular roots of the covariances (levels, K, d, d) at each level."""
    covs = signal[:, None, None, None] ** 2 * law.covs
    covs = covs + noise[:, None, None, None] ** 2 * np.eye(law.d)
    try:
        return gaussian.cholesky(covs)
    except ValueError as reason:
        raise ValueError(
            f"law must have a density where it is asked: {reason}"
        ) from None


def tables(law, signal, noise, dtype):
    """A mixture's numbers at each level (levels, components, numbers), `small`, shifts.

    A component, of covariance L D L' with a unit L, has the log of its weighted density
    at its mean, in bits, less a shift that brings the highest to the digits; its mean;
    1 / (2 D log 2); and what is below L's diagonal, unless that is 0 in all components.
    On a line and in the plane they are filled up to whole eights, and d to 2, by such as
    weigh nothing. A weight below 2^floor is cut off there; beside a sum of weights of at
    least `small` it is nothing to the last digit, though a narrow component's pull is
    (high / low)^(1/2) that of the widest, and the widest's has lost no digits.
    """
    K, d = law.means.shape
    num, bit, L = elementary.numbers(dtype), np.log(2), roots(law, signal, noise)
    wide, full = max(d, 2), K if d > 2 else -(-K // 8) * 8
    correlated = np.tril(L, -1).any()
    size = 1 + 2 * wide + correlated * (wide * (wide - 1) // 2)
    table = np.zeros((len(signal), full, size))
    table[:, K:, 0] = -np.inf
    root = np.diagonal(L, axis1=2, axis2=3)
    unit = root.max(axis=(1, 2))  # logs of what is near 1 keep their digits
    top = np.log(law.weights) - np.log(root / unit[:, None, None]).sum(axis=2)
    most, reach = top.max(axis=1), num.digits * bit
    less = np.maximum(most - reach, 0)
    table[:, :K, 0] = (top - less[:, None]) / bit
    table[:, :K, 1 : 1 + d] = signal[:, None, None] * law.means
    inverse = root**-2.0 / (2 * bit)
    table[:, :K, 1 + wide : 1 + wide + d] = inverse
    if correlated:
        i, j = np.tril_indices(d, -1)
        table[:, :K, 1 + 2 * wide :] = (L / root[..., None, :])[..., i, j]
    high, low = inverse.max(axis=(1, 2)), inverse.min(axis=(1, 2))
    holds(dtype, "means and inverse variances", table[:, :K], low.min(initial=1))
    small = (np.maximum(high, 1) ** 0.5 / low**0.5) * (4.0**num.digits * num.tiny)
    shift = less - d * (np.log(unit) + np.log(2 * np.pi) / 2)
    return table, small, shift


def holds(dtype, what, numbers, least):
    """Refuse a mixture of which some numbers, or their least, are beyond the dtype."""
    limits, largest = np.finfo(dtype), np.abs(numbers).max(initial=0)
    if not (largest <= limits.max and least >= limits.smallest_normal):
        raise ValueError(
            f"law must have {what} that are numbers of {np.dtype(dtype)}; "
            f"it holds {largest if least >= limits.smallest_normal else least:.3g}"
        )
