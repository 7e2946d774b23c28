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

# Python's division, which raises, would keep loops from being vectorised. Normals are
# made by IEEE operations one by one; elsewhere a b + c may be rounded once.
EXACT = {"nogil": True, "error_model": "numpy"}
FUSED = {**EXACT, "fastmath": {"contract"}}
try:
    KEPT = {**EXACT, "cache": bool(njit(cache=True)(lambda: None))}
except RuntimeError as reason:  # there is no folder that numba may write to
    warnings.warn(f"kernels are compiled anew: {reason}", RuntimeWarning, stacklevel=2)
    KEPT = EXACT

GOLDEN, EXPONENT = np.uint64(0x9E3779B97F4A7C15), np.uint64(1023 << 52)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
STEPS, SAMPLES = np.uint64(0), np.uint64(2)  # streams; `fast.start` has 1


def view(x, T):
    """Read the bits of x as type T."""
    return x.view(T)


overload(view)(lambda x, T: lambda x, T: viewer(x, T))


def polynomial(coefficients, x):
    """Sum of coefficients[-1-k] x^k, by Horner's rule."""
    p = coefficients[0]
    for k in range(1, len(coefficients)):
        p = p * x + coefficients[k]
    return p


def exp2(v, num):
    """2^v for v <= 0, and 2^floor below the floor: 2^n 2^r with |r| <= 1/2."""
    v = max(v, num.floor)
    t = v + num.magic
    r = v - (t - num.magic)
    p = num.exp2[0]
    for k in range(1, len(num.exp2)):
        p = p * r + num.exp2[k]
    return view(num.I(view(p, num.I) + num.I(view(t, num.I) << len(num.digits))), num.F)


def ln(u, num):
    """Natural logarithm of u = 2^n (1 + f), with log(1 + f) = 2 atanh(f / (2 + f))."""
    n = (view(u, num.I) - view(num.root_half, num.I)) >> len(num.digits)
    f = view(num.I(view(u, num.I) - num.I(n << len(num.digits))), num.F) - num.one
    n = view(num.I(n + view(num.magic, num.I)), num.F) - num.magic
    s = f / (num.two + f)
    h = num.half * f * f
    tail = s * (h + s * s * polynomial(num.log, s * s)) + n * num.ln2_low
    return n * num.ln2_high + (f - (h - tail))


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
    q, h = g * g, (num.one - (g + g)) * (num.one + (g + g))
    c = h + h * (q * polynomial(num.cos, q))
    s = (g + g) + g * (num.pi_less_2 + q * polynomial(num.sin, q))
    side = view((v << 63) | EXPONENT, np.float64)  # 1 or -1
    return num.F(num.F(side) * r * c), num.F(r * s)


def streams(seed, stream, first, size):
    """Generators (4, n) of particles first..first+size-1, and more to whole 64s."""
    S = np.empty((4, -(-size // 64) * 64), np.uint64)
    for i in range(S.shape[1]):
        S[0, i], S[1, i], S[2, i], S[3, i] = seeded(seed, stream, first + np.uint64(i))
    return S


def draw(S, z, step, num):
    """Fill z[:d] with the normals of a step; of an odd number the last waits in z[d]."""
    d = len(z) - 1
    odd = step * d % 2
    if odd:
        z[0] = z[d]
    for j in range(odd, d, 2):
        z0, z1 = z[j], z[j + 1]
        for i in range(S.shape[1]):
            w, a, b, c, e = xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])
            v, S[0, i], S[1, i], S[2, i], S[3, i] = xoshiro(a, b, c, e)
            z0[i], z1[i] = pair(w, v, num)


def weigh(logit, m, s, num):
    """Add a term 2^logit to s 2^m: what weighs the old sum, the term; the new m, s."""
    e = exp2(-abs(logit - m), num)
    old, new = (e, num.one) if logit > m else (num.one, e)
    return old, new, max(m, logit), s * old + new


def six(t):
    """Numbers of the first component of a table: see `fast._tables`."""
    return t[0], t[1], t[2], t[3], t[4], t[5]


def plane(x, t, g, num):
    """Add components of a table, four a pass, to `log_sum` in two dimensions."""
    x0, x1, g0, g1, m, s = x[0], x[1], g[0], g[1], g[2], g[3]
    for o in range(0, t.size, 24):
        four = six(t[o:]), six(t[o + 6 :]), six(t[o + 12 :]), six(t[o + 18 :])
        for i in range(m.size):
            mi, si, h0, h1 = m[i], s[i], g0[i], g1[i]
            for k in range(len(four)):  # which the compiler unrolls
                top, mean0, mean1, inverse0, inverse1, low = four[k]
                y0 = x0[i] - mean0
                y1 = x1[i] - mean1 - low * y0
                v0, v1 = y0 * inverse0, y1 * inverse1
                logit = top - (y0 * v0 + y1 * v1)
                old, new, mi, si = weigh(logit, mi, si, num)
                h0, h1 = h0 * old + new * (v0 - low * v1), h1 * old + new * v1
            m[i], s[i], g0[i], g1[i] = mi, si, h0, h1


def add(y, a, x):
    """Set y = y + a x."""
    for i in range(len(y)):
        y[i] += a * x[i]


def space(x, t, g, num):
    """Do so in any dimension, a component a pass, in loops over rows of particles."""
    d, m, s = len(x), g[len(x)], g[len(x) + 1]
    y, logit, old, new = np.empty_like(x), m.copy(), m.copy(), m.copy()
    for o in range(0, t.size, 1 + 2 * d + d * (d - 1) // 2):
        mean, inverse, low = t[o + 1 :], t[o + 1 + d :], t[o + 1 + 2 * d :]
        logit.fill(t[o])
        for j in range(d):
            y[j].fill(-mean[j])
            add(y[j], num.one, x[j])
            for k in range(j):
                add(y[j], -low[j * (j - 1) // 2 + k], y[k])
        for j in range(d):
            yj, inverse_j = y[j], inverse[j]
            for i in range(len(m)):
                v = yj[i] * inverse_j
                logit[i] -= yj[i] * v
                yj[i] = v
        for i in range(len(m)):
            old[i], new[i], m[i], s[i] = weigh(logit[i], m[i], s[i], num)
        for j in range(d - 1, -1, -1):
            yj, gj = y[j], g[j]
            for k in range(j + 1, d):
                add(yj, -low[k * (k - 1) // 2 + j], y[k])
            for i in range(len(m)):
                gj[i] = gj[i] * old[i] + new[i] * yj[i]


def log_sum(x, t, g, num):
    """Rows g: the score, m and s, where the density is s 2^m; logits are in bits."""
    g.fill(0)
    g[len(x)] = num.least
    if len(x) == 2:  # or 1, with a row of zeros beside it
        plane(x, t, g, num)
    else:
        space(x, t, g, num)
    scale = -num.two * (num.ln2_high + num.ln2_low)
    for j in range(len(x)):
        for i in range(x.shape[1]):
            g[j, i] *= scale / g[-1, i]


def advance(X, new, A, b, c, out, z):
    """Set new = A X + b out + c z, for registers of rows of particles."""
    for r in range(len(A)):
        for j in range(len(z) - 1):
            new[r, j] = 0
            for k in range(len(A)):
                if A[r, k] != 0:
                    add(new[r, j], A[r, k], X[k, j])
            add(new[r, j], b[r], out[j])
            add(new[r, j], c[r], z[j])


def load(x, at, end, registers):
    """Registers of rows, padded with zeros; the first has x[at:end], (n, d) turned."""
    X = np.zeros((registers, max(x.shape[1], 2), -(-(end - at) // 64) * 64), x.dtype)
    X[0, : x.shape[1], : end - at] = x[at:end].T
    return X


normals = polynomial, ln, splitmix, seeded, xoshiro, mantissa, pair, streams, draw
for function in (*normals, load):
    register_jitable(**EXACT)(function)
for function in (exp2, weigh, six, plane, add, space, log_sum, advance):
    register_jitable(**FUSED)(function)


def run(path, lo, hi, every, tables, ask, mean, chain, seed, first, block, num, score):
    """Run particles lo..hi-1 from path[0], and keep every `every`-th state in path.

    chain: A, b, c, ends of a `Chain`, and whether it is random; ask[k]: row k's table,
    -1 for no model, -2 for the mean; score(x, out), or None for the mixture's own.
    """
    (A, b, c, ends, random), d = chain, path.shape[2]
    for at in range(lo, hi, block):
        end = min(at + block, hi)
        X = load(path[0], at, end, len(A[0]))
        S = streams(seed, STEPS, first + np.uint64(at), end - at)
        new, z = np.zeros_like(X), np.zeros((d + 1, S.shape[1]), X.dtype)
        out = np.zeros((X.shape[1] + 2, S.shape[1]), X.dtype)
        step, begins = 0, random
        for k in range(len(ends)):
            if begins:
                draw(S, z, step, num)
            if ask[k] == -2:
                for j in range(d):
                    out[j].fill(mean[j])
            elif ask[k] >= 0:
                if score is None:  # which numba decides when it compiles
                    log_sum(X[0], tables[ask[k]], out, num)
                else:
                    score(X[0, :d], out[:d])
            advance(X, new, A[k], b[k], c[k], out, z)
            X, new, begins = new, X, random and ends[k]
            step += ends[k]
            if ends[k] and step % every == 0:
                path[step // every, at:end] = X[0, :d, : end - at].T


own = njit(**EXACT)(run)  # takes the user's function, for which no cache is ever hit
run = njit(**KEPT)(run)


@njit(**KEPT)
def logpdf(x, lo, hi, result, table, block, num):
    """Log density at x[lo:hi]; x (n, d)  ->  result (n,)."""
    for at in range(lo, hi, block):
        end = min(at + block, hi)
        X = load(x, at, end, 1)[0]
        g = np.empty((len(X) + 2, X.shape[1]), X.dtype)
        log_sum(X, table, g, num)
        for i in range(end - at):
            result[at + i] = g[-2, i] * ln(num.two, num) + ln(g[-1, i], num)


@njit(**KEPT)
def sample(x, lo, hi, edges, means, roots, seed, first, block, num):
    """Fill x[lo:hi] with means[k] + roots[k] z, where edges[k-1] <= u < edges[k]."""
    d = x.shape[1]
    for at in range(lo, hi, block):
        S = streams(seed, SAMPLES, first + np.uint64(at), min(block, hi - at))
        z = np.empty((d + 1, S.shape[1]), x.dtype)
        draw(S, z, 0, num)
        for i in range(min(block, hi - at)):
            u = mantissa(xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])[0]) - 1.0
            k = 0
            for e in range(len(edges) - 1):
                k += u >= edges[e]
            for j in range(d):
                y = means[k, j]
                for r in range(d):
                    y += roots[k, j, r] * z[r, i]
                x[at + i, j] = y
