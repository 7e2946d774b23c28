"""All compiled code of normals.

Whoever reads the mathematics never has to open this file: `noise` and `elementary` have
it, and run as NumPy the source that is compiled here: normals are made by IEEE
operations one by one, and so have the same bits.
"""

import numpy as np
from numba.extending import register_jitable

from refdiff import elementary, noise
from refdiff.compiled import EXACT, wide
from refdiff.noise import cartesian, mantissa, radius, seeded, uniforms, xoshiro


def streams(S, seed, stream, first):
    """Make S (4, n) the generators of particles first..first+n-1."""
    for i in range(S.shape[1]):
        S[0, i], S[1, i], S[2, i], S[3, i] = seeded(seed, stream, first + np.uint64(i))


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


exact = mantissa, uniforms, radius, cartesian, noise.splitmix, seeded, xoshiro
for function in (*exact, streams, draw):
    register_jitable(**EXACT)(function)
