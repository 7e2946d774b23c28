"""All compiled code of normals: generators, elementary functions, Box and Muller.

Whoever reads the mathematics never has to open this file: `noise` is its door, and runs
the same source as NumPy, bit for bit: normals are made by IEEE operations one by one.
Here also stands what all compiled code is built with. numba's cache of a function does
not see changes in another file: after one here, remove `__pycache__`.
"""

import warnings

import numpy as np
from numba import njit, types
from numba.cpython.unsafe.numbers import viewer
from numba.extending import intrinsic, overload, register_jitable

# Python's division, which raises, would keep loops from being vectorised. In what is
# FUSED, a b + c may be rounded once.
EXACT = {"nogil": True, "error_model": "numpy", "fastmath": False}
FUSED = {**EXACT, "fastmath": {"contract"}}
try:
    KEPT = {**FUSED, "cache": bool(njit(cache=True)(lambda: None))}
except RuntimeError as reason:  # there is no folder that numba may write to
    warnings.warn(f"kernels are compiled anew: {reason}", RuntimeWarning, stacklevel=2)
    KEPT = FUSED

GOLDEN, EXPONENT = np.uint64(0x9E3779B97F4A7C15), np.uint64(1023 << 52)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def view(x, T):
    """Read the bits of x as type T."""
    return x.view(T)


overload(view)(lambda x, T: lambda x, T: viewer(x, T))


@intrinsic
def widened(typing):
    """Put the attribute of `wide` on the function that calls it."""

    def build(context, builder, signature, args):
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), build


def wide():
    """Let the caller's loops work on vectors of 512 bits, where LLVM would take 256."""


overload(wide, inline="always")(lambda: lambda: widened())


def polynomial(coefficients, x):
    """Sum of coefficients[-1-k] x^k, by Horner's rule."""
    p = coefficients[0]
    for k in range(1, len(coefficients)):
        p = p * x + coefficients[k]
    return p


def ln(u, num):
    """Natural logarithm of u = 2^n (1 + f), with log(1 + f) = 2 atanh(f / (2 + f))."""
    n = (view(u, num.I) - view(num.root_half, num.I)) >> len(num.digits)
    f = view(num.I(view(u, num.I) - num.I(n << len(num.digits))), num.F) - num.one
    n = view(num.I(n + view(num.magic, num.I)), num.F) - num.magic
    s = f / (num.two + f)
    h = num.half * f * f
    tail = s * (h + s * s * polynomial(num.log, s * s)) + n * num.ln2_low
    return n * num.ln2_high + (f - (h - tail))


def turn(g, num):
    """Cosine and sine of pi g, |g| <= 1/2."""
    q, h = g * g, (num.one - (g + g)) * (num.one + (g + g))
    c = h + h * (q * polynomial(num.cos, q))
    return c, (g + g) + g * (num.pi_less_2 + q * polynomial(num.sin, q))


def power(t, r, num):
    """2^(n + r), |r| <= 1/2, of t = n + magic, whose last bits are those of n."""
    c = num.exp2
    odd, even = c[0], c[1]  # powers apart: two short chains where Horner has a long one
    for k in range(2, len(c) - 2, 2):
        odd, even = odd * (r * r) + c[k], even * (r * r) + c[k + 1]
    p = ((odd * r + even) * r + c[-2]) * r + c[-1]
    return view(num.I(view(p, num.I) + num.I(view(t, num.I) << len(num.digits))), num.F)


def exp2(v, num):
    """2^v for v <= 0, and 2^floor below the floor."""
    v = max(v, num.floor)
    t = v + num.magic
    return power(t, v - (t - num.magic), num)


def splitmix(s):
    """First output of splitmix64 from state s; the later ones are at s + k GOLDEN."""
    s = s + GOLDEN
    s = (s ^ (s >> 30)) * MIX_1
    s = (s ^ (s >> 27)) * MIX_2
    return s ^ (s >> 31)


def seeded(seed, stream, i):
    """State of particle i's generator: four outputs of splitmix64 from one hash."""
    s = splitmix(splitmix(splitmix(seed) ^ stream) ^ i)
    t = s + GOLDEN + GOLDEN
    return splitmix(s), splitmix(s + GOLDEN), splitmix(t), splitmix(t + GOLDEN)


def xoshiro(a, b, c, d):
    """One output of xoshiro256++, and its next state; two shifts make a rotation."""
    out = (((a + d) << 23) | ((a + d) >> 41)) + a
    c, d, t = c ^ a, d ^ b, b << 17
    return out, a ^ d, b ^ c, c ^ t, (d << 45) | (d >> 19)


def mantissa(w):
    """Read the upper 52 bits of w as a number in [1, 2)."""
    return view((w >> 12) | EXPONENT, np.float64)


def pair(w, v, num):
    """Two normals of Box and Muller: the angle is pi g, mirrored by v's last bit."""
    u, g = num.F(2.0 - mantissa(w)), num.F(mantissa(v) - 1.5)
    r = np.sqrt(-num.two * ln(u, num))
    c, s = turn(g, num)
    side = view((v << 63) | EXPONENT, np.float64)  # 1 or -1
    return num.F(num.F(side) * r * c), num.F(r * s)


def streams(seed, stream, first, size):
    """Generators (4, n) of particles first..first+size-1, and more to whole 64s."""
    wide()
    S = np.empty((4, -(-size // 64) * 64), np.uint64)
    for i in range(S.shape[1]):
        S[0, i], S[1, i], S[2, i], S[3, i] = seeded(seed, stream, first + np.uint64(i))
    return S


def draw(S, z, step, num):
    """Fill z[:d] with the normals of a step; of an odd number the last waits in z[d]."""
    wide()
    d = len(z) - 1
    odd = step * d % 2
    for i in range(S.shape[1] * odd):
        z[0, i] = z[d, i]
    for j in range(odd, d, 2):
        for i in range(S.shape[1]):
            w, a, b, c, e = xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])
            v, S[0, i], S[1, i], S[2, i], S[3, i] = xoshiro(a, b, c, e)
            z[j, i], z[j + 1, i] = pair(w, v, num)


def uniform(S, i):
    """Number in [0, 1) of the next word of generator i, which stays where it is."""
    return mantissa(xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])[0]) - 1.0


exact = polynomial, ln, turn, splitmix, seeded, xoshiro, mantissa, pair
for function in (*exact, streams, draw, uniform):
    register_jitable(**EXACT)(function)
for function in (power, exp2):
    register_jitable(**FUSED)(function)
