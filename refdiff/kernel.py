"""All compiled code for mixtures: normals, the score, and every step of a chain fused.

Whoever reads the mathematics never has to open this file: `fast` is its door. Particles
are worked on in blocks that stay in the cache while all steps pass over them; a block is
rows of one number each, so that the compiler works on many particles at once. Blocks are
padded to whole multiples of 64: no particle ever falls into the remainder of a loop,
where sums could be fused otherwise, and so its bits depend on its own stream alone.
Everything stands in one file because numba's cache does not see changes in another.
"""

import warnings

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import viewer
from numba.extending import overload, register_jitable

WHOLE = 64  # particles: a multiple of every vector's length times its unrolling


def view(x, T):
    """Read the bits of x as type T."""
    return x.view(T)


@overload(view)
def _view(x, T):
    return lambda x, T: viewer(x, T)


def polynomial(coefficients, x):
    """Sum of coefficients[-1-k] x^k, by Horner's rule."""
    p = coefficients[0]
    for k in range(1, len(coefficients)):
        p = p * x + coefficients[k]
    return p


def exp(v, num):
    """e^v for v <= 0, and e^floor below the floor: 2^n e^r with |r| <= log(2)/2."""
    v = max(v, num.floor)
    t = v * num.log2_e + num.magic
    n = t - num.magic
    r = (v - n * num.ln2_high) - n * num.ln2_low
    p = num.exp[0]
    for k in range(1, len(num.exp)):
        p = p * r + num.exp[k]
    p = num.one + (r + r * r * p)
    return view(num.I(view(p, num.I) + (view(t, num.I) << num.digits)), num.F)


def ln(u, num):
    """Natural logarithm of u = 2^n (1 + f), with log(1 + f) = 2 atanh(f / (2 + f))."""
    n = (view(u, num.I) - view(num.root_half, num.I)) >> num.digits
    f = view(num.I(view(u, num.I) - (n << num.digits)), num.F) - num.one
    n = view(num.I(n + view(num.magic, num.I)), num.F) - num.magic
    s = f / (num.two + f)
    h = num.half * f * f
    tail = s * (h + s * s * polynomial(num.log, s * s)) + n * num.ln2_low
    return n * num.ln2_high + (f - (h - tail))


GOLDEN = np.uint64(0x9E3779B97F4A7C15)
STEPS, SAMPLES = np.uint64(0), np.uint64(2)  # streams; `fast.start` has 1
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
U1, U12, U17, U19, U23, U27 = (np.uint64(k) for k in (1, 12, 17, 19, 23, 27))
U30, U31, U41, U45, EXPONENT = (np.uint64(k) for k in (30, 31, 41, 45, 1023 << 52))


def splitmix(s):
    """First output of splitmix64 from state s; the later ones are at s + k GOLDEN."""
    s = s + GOLDEN
    s = (s ^ (s >> U30)) * MIX_1
    s = (s ^ (s >> U27)) * MIX_2
    return s ^ (s >> U31)


def seeded(seed, stream, i):
    """State of particle i's generator: four outputs of splitmix64 from one hash."""
    s = splitmix(splitmix(splitmix(seed) ^ stream) ^ i)
    t = s + GOLDEN + GOLDEN
    return splitmix(s), splitmix(s + GOLDEN), splitmix(t), splitmix(t + GOLDEN)


def xoshiro(a, b, c, d):
    """One output of xoshiro256++, and its next state; two shifts make a rotation."""
    out = (((a + d) << U23) | ((a + d) >> U41)) + a
    c, d, t = c ^ a, d ^ b, b << U17
    return out, a ^ d, b ^ c, c ^ t, (d << U45) | (d >> U19)


def mantissa(w):
    """Read the upper 52 bits of w as a number in [1, 2)."""
    return view((w >> U12) | EXPONENT, np.float64)


def pair(w, v, num):
    """Two normals of Box and Muller: the angle is pi g, mirrored by v's last bit."""
    u, g = num.F(2.0 - mantissa(w)), num.F(mantissa(v) - 1.5)
    r = np.sqrt(-num.two * ln(u, num))
    q, h = g * g, (num.one - (g + g)) * (num.one + (g + g))
    c = h + h * (q * polynomial(num.cos, q))
    s = (g + g) + g * (num.pi_less_2 + q * polynomial(num.sin, q))
    flip = num.I(num.I(v & U1) << num.sign)
    c = view(num.I(view(num.F(r * c), num.I) ^ flip), num.F)
    return c, num.F(r * s)


def draw(S, z, step, num):
    """Fill z[:d] with the normals of a step; of an odd number the last waits in z[d]."""
    d = len(z) - 1
    odd = step * d % 2
    for i in range(S.shape[1] * odd):
        z[0, i] = z[d, i]
    for j in range(odd, d, 2):
        z0, z1 = z[j], z[j + 1]
        for i in range(S.shape[1]):
            w, a, b, c, e = xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])
            v, S[0, i], S[1, i], S[2, i], S[3, i] = xoshiro(a, b, c, e)
            z0[i], z1[i] = pair(w, v, num)


def component(t, o):
    """Return a component in the plane from a table: see `fast._tables`."""
    return t[o], t[o + 1], t[o + 2], t[o + 3], t[o + 4], t[o + 5]


def plane(x0, x1, t, m, s, g0, g1, num):
    """Add components, four a pass, to the log-sum-exp m + log s of gradient -g/s."""
    for o in range(0, t.size, 24):
        one, two, three = component(t, o), component(t, o + 6), component(t, o + 12)
        four = one, two, three, component(t, o + 18)  # the compiler unrolls a tuple
        for i in range(m.size):
            mi, si, h0, h1 = m[i], s[i], g0[i], g1[i]
            for k in range(len(four)):
                c, mean0, mean1, inverse0, inverse1, low = four[k]
                y0 = (x0[i] - mean0) * inverse0
                y1 = (x1[i] - mean1 - low * y0) * inverse1
                logit = c - num.half * (y0 * y0 + y1 * y1)
                y1 = y1 * inverse1
                y0 = (y0 - low * y1) * inverse0
                e = exp(-abs(logit - mi), num)  # one weighs the sum, or the new term
                old, new = (e, num.one) if logit > mi else (num.one, e)
                mi, si = max(mi, logit), si * old + new
                h0, h1 = h0 * old + new * y0, h1 * old + new * y1
            m[i], s[i], g0[i], g1[i] = mi, si, h0, h1


def space(x, t, m, s, g, num):
    """Do what `plane` does in any dimension, a component a pass, in loops over rows."""
    d, n = x.shape
    y, old, new = np.empty_like(x), np.empty_like(m), np.empty_like(m)
    for o in range(0, t.size, 1 + 2 * d + d * (d - 1) // 2):
        mean, inverse, low = t[o + 1 :], t[o + 1 + d :], t[o + 1 + 2 * d :]
        for j in range(d):
            for i in range(n):
                y[j, i] = x[j, i] - mean[j]
            for k in range(j):
                for i in range(n):
                    y[j, i] -= low[j * (j - 1) // 2 + k] * y[k, i]
            for i in range(n):
                y[j, i] *= inverse[j]
        for i in range(n):
            logit = t[o]
            for j in range(d):
                logit -= num.half * y[j, i] * y[j, i]
            e = exp(-abs(logit - m[i]), num)
            old[i], new[i] = (e, num.one) if logit > m[i] else (num.one, e)
            m[i], s[i] = max(m[i], logit), s[i] * old[i] + new[i]
        for j in range(d - 1, -1, -1):
            for k in range(j + 1, d):
                for i in range(n):
                    y[j, i] -= low[k * (k - 1) // 2 + j] * y[k, i]
            for i in range(n):
                y[j, i] *= inverse[j]
                g[j, i] = g[j, i] * old[i] + new[i] * y[j, i]


def log_sum(x, t, m, s, g, num):
    """Fill m, s with the log-sum-exp m + log s of all components, g with its gradient."""
    m.fill(num.least)
    s.fill(0)
    g.fill(0)
    if len(x) == 2:  # or 1, with a row of zeros beside it
        plane(x[0], x[1], t, m, s, g[0], g[1], num)
    else:
        space(x, t, m, s, g, num)
    for j in range(len(g)):
        for i in range(len(s)):
            g[j, i] /= -s[i]


def advance(X, new, A, b, c, out, z):
    """Set new = A X + b out + c z, for registers of rows of particles."""
    for r in range(len(A)):
        for j in range(len(z) - 1):
            y, x, f, e, a = new[r, j], X[0, j], out[j], z[j], A[r, 0]
            for i in range(len(y)):
                y[i] = a * x[i] + b[r] * f[i] + c[r] * e[i]
            for k in range(1, len(A)):
                for i in range(len(y) if A[r, k] != 0 else 0):
                    y[i] += A[r, k] * X[k, j, i]


def load(x, at, size, registers):
    """Registers of rows, padded with zeros; the first has particles at.. of x (n, d)."""
    X = np.zeros((registers, max(x.shape[1], 2), -(-size // WHOLE) * WHOLE), x.dtype)
    for j in range(x.shape[1]):
        for i in range(size):
            X[0, j, i] = x[at + i, j]
    return X


def run(path, lo, hi, every, tables, ask, mean, chain, seed, first, block, num, score):
    """Run particles lo..hi-1 from path[0], and keep every `every`-th state in path.

    chain: A, b, c, ends of a `Chain`, and whether it is random; ask[k]: row k's table,
    -1 for no model, -2 for the mean; score(x, out), or None for the mixture's own.
    """
    A, b, c, ends, random = chain
    d = path.shape[2]
    for at in range(lo, hi, block):
        size = min(block, hi - at)
        X = load(path[0], at, size, len(A[0]))
        new, out, m = np.zeros_like(X), np.zeros_like(X[0]), np.zeros_like(X[0, 0])
        s, z = np.zeros_like(m), np.zeros((d + 1, len(m)), m.dtype)
        S = np.empty((4, len(m)), np.uint64)
        for i in range(len(m)):
            i_th = first + np.uint64(at + i)
            S[0, i], S[1, i], S[2, i], S[3, i] = seeded(seed, STEPS, i_th)
        step, begins = 0, True
        for k in range(len(ends)):
            if begins and random:
                draw(S, z, step, num)
            if ask[k] == -2:
                for j in range(d):
                    out[j].fill(mean[j])
            elif ask[k] >= 0:
                if score is None:  # which numba decides when it compiles
                    log_sum(X[0], tables[ask[k]], m, s, out, num)
                else:
                    score(X[0, :d], out[:d])
            advance(X, new, A[k], b[k], c[k], out, z)
            X, new, begins = new, X, ends[k]
            step += ends[k]
            if ends[k] and step % every == 0:
                for i in range(size):
                    for j in range(d):
                        path[step // every, at + i, j] = X[0, j, i]


def logpdf(x, lo, hi, result, table, block, num):
    """Log density at x[lo:hi]; x (n, d)  ->  result (n,)."""
    for at in range(lo, hi, block):
        size = min(block, hi - at)
        X = load(x, at, size, 1)[0]
        m, s, g = np.empty_like(X[0]), np.empty_like(X[0]), np.empty_like(X)
        log_sum(X, table, m, s, g, num)
        for i in range(size):
            result[at + i] = m[i] + ln(s[i], num)


def sample(x, lo, hi, edges, means, roots, seed, first, block, num):
    """Fill x[lo:hi] with means[k] + roots[k] z, where edges[k-1] <= u < edges[k]."""
    d = x.shape[1]
    for at in range(lo, hi, block):
        size = min(block, hi - at)
        S = np.empty((4, -(-size // WHOLE) * WHOLE), np.uint64)
        z = np.empty((d + 1, S.shape[1]), x.dtype)
        for i in range(S.shape[1]):
            i_th = first + np.uint64(at + i)
            S[0, i], S[1, i], S[2, i], S[3, i] = seeded(seed, SAMPLES, i_th)
        draw(S, z, 0, num)
        for i in range(size):
            u = mantissa(xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])[0]) - 1.0
            k = 0
            for e in range(len(edges) - 1):
                k += u >= edges[e]
            for j in range(d):
                y = means[k, j]
                for r in range(d):
                    y += roots[k, j, r] * z[r, i]
                x[at + i, j] = y


# Python's division, which raises, would keep loops from being vectorised. Normals are
# made by IEEE operations one by one; elsewhere a b + c may be rounded once.
EXACT = {"nogil": True, "error_model": "numpy"}
FUSED = {**EXACT, "fastmath": {"contract"}}
for function in (polynomial, ln, splitmix, seeded, xoshiro, mantissa, pair, draw, load):
    register_jitable(**EXACT)(function)
for function in (exp, component, plane, space, log_sum, advance):
    register_jitable(**FUSED)(function)
own = njit(**EXACT)(run)  # takes the user's function, for which no cache is ever hit
try:
    run, logpdf, sample = (njit(cache=True, **EXACT)(f) for f in (run, logpdf, sample))
except RuntimeError as reason:  # there is no folder that numba may write to
    warnings.warn(f"kernels are compiled anew: {reason}", RuntimeWarning, stacklevel=2)
    run, logpdf, sample = (njit(**EXACT)(f) for f in (run, logpdf, sample))
