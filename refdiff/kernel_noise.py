"""All compiled code of normals, and what all compiled code is built with.

Whoever reads the mathematics never has to open this file: `noise` and `elementary` have
it, and run as NumPy the source that is compiled here: normals are made by IEEE
operations one by one, and so have the same bits.
"""

import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from numba import config, njit, types
from numba.cpython.unsafe.numbers import viewer
from numba.extending import intrinsic, overload, register_jitable

from refdiff import elementary, noise
from refdiff.noise import cartesian, mantissa, radius, seeded, uniforms, xoshiro

# Python's division, which raises, would keep loops from being vectorised. In what is
# FUSED, a b + c may be rounded once. What is LEAN makes no arrays, and so need not count
# who refers to those that it is given: in short functions that takes a tenth of the time.
EXACT = {"nogil": True, "error_model": "numpy", "fastmath": False, "_nrt": True}
FUSED = {**EXACT, "fastmath": {"contract"}}
LEAN = {**FUSED, "_nrt": False}
KEPT = {**FUSED, "cache": True}
SOURCES = "elementary", "noise", "train", "kernel_noise", "kernel_net", "kernel"


def forget():
    """Remove what numba keeps of kernels, where it is older than one of their sources.

    numba itself looks at the file of the function alone, not at those it calls.
    """
    kept = Path(njit(cache=True)(lambda: None).stats.cache_path)
    files = (Path(__file__).with_name(f"{source}.py") for source in SOURCES)
    newest = max(file.stat().st_mtime for file in files)
    for index in kept.glob("kernel*.nbi"):
        with suppress(FileNotFoundError):  # another process forgets it too
            if index.stat().st_mtime < newest:
                index.unlink()


try:
    config.DISABLE_JIT or forget()
except (RuntimeError, OSError) as reason:  # there is no folder that numba may write to
    warnings.warn(f"kernels are compiled anew: {reason}", RuntimeWarning, stacklevel=2)
    KEPT = FUSED

both = (lambda dtype: elementary.SINGLE), (lambda dtype: elementary.DOUBLE)
overload(elementary.numbers)(lambda dtype: both[dtype.dtype.bitwidth // 64])
overload(elementary.view)(lambda x, T: lambda x, T: viewer(x, T))


@intrinsic
def widened(typing):
    """Put the attributes of `wide` on the function that calls it."""

    def build(context, builder, signature, args):
        for attribute in ('"prefer-vector-width"="512"', '"stackrealign"'):
            set.add(builder.function.attributes, attribute)  # llvmlite knows them not
        return context.get_dummy_value()

    return types.none(), build


def wide():
    """Let the caller's loops work on vectors of 512 bits, where LLVM would take 256.

    Registers that are spilled to the stack are aligned to lines of the cache.
    """


overload(wide, inline="always")(lambda: lambda: widened())


def rows(a, n, dtype):
    """Zeros (a, n), of which the first begins a line of the cache."""
    room = np.zeros(a * n + 16, dtype)
    start = -room.ctypes.data % 64 // room.itemsize
    return room[start : start + a * n].reshape(a, n)


def streams(seed, stream, first, size):
    """Generators (4, n) of particles first..first+size-1, and more to whole 64s."""
    S = rows(4, -(-size // 64) * 64, np.uint64)
    for i in range(S.shape[1]):
        S[0, i], S[1, i], S[2, i], S[3, i] = seeded(seed, stream, first + np.uint64(i))
    return S


def draw(S, z, step):
    """Fill z[:d] with the normals of a step; of an odd number the last waits in z[d]."""
    wide()
    d, num = len(z) - 1, elementary.numbers(z.dtype)
    odd = step * d % 2
    for i in range(S.shape[1] * odd):
        z[0, i] = z[d, i]
    for j in range(odd, d, 2):  # loops so short that processors overlap their rounds
        for i in range(S.shape[1]):
            w, a, b, c, e = xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])
            v, S[0, i], S[1, i], S[2, i], S[3, i] = xoshiro(a, b, c, e)
            z[j, i], z[j + 1, i] = uniforms(w, v, num)
        for i in range(S.shape[1]):
            z[j, i] = radius(z[j, i], num)
        for i in range(S.shape[1]):
            z[j, i], z[j + 1, i] = cartesian(z[j, i], z[j + 1, i], num)


exact = elementary.polynomial, elementary.ln, elementary.turn, noise.splitmix
exact += mantissa, uniforms, radius, cartesian, seeded, xoshiro, rows, streams, draw
for function in exact:
    register_jitable(**EXACT)(function)
for function in (elementary.turns, elementary.power, elementary.exp2, elementary.exp):
    register_jitable(**FUSED)(function)
