"""All compiled code of normals.

Whoever reads the mathematics never has to open this file: `noise` and `elementary` have
it, and run as NumPy the source that is compiled here: normals are made by IEEE
operations one by one, and so have the same bits.
"""

import numpy as np

from refdiff.compiled import EXACT, inside, wide
from refdiff.elementary import numbers
from refdiff.noise import cartesian, radius, seeded, uniforms, xoshiro


def streams(S, key, at):
    """Make S (4, n) the generators of particles at..at+n-1; key: seed, stream, first."""
    for i in range(S.shape[1]):
        state = seeded(key[0], key[1], key[2] + np.uint64(at + i))
        S[0, i], S[1, i], S[2, i], S[3, i] = state


def draw(S, z, step):
    """Fill z[:d] with the normals of a step; of an odd number the last waits in z[d]."""
    wide()
    d, num = len(z) - 1, numbers(z.dtype)
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


inside(EXACT, streams, draw)
