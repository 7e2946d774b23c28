"""All compiled code for mixtures: the score, and every step of a chain fused.

Whoever reads the mathematics never has to open this file: `fast` is its door. Particles
are worked on in blocks that stay in the cache while all steps pass over them; a block is
rows of one number each, so that the compiler works on many particles at once. Blocks are
padded to whole multiples of 64: no particle ever falls into the remainder of a loop,
where sums could be fused otherwise, and so its bits depend on its own stream alone.
Inner loops take whole arrays and indices: a slice costs more than some loops. Shapes:
X, new (registers, D, n), D = max(d, 2); g, more, out (D + 2, n): a row of the score each
dimension, s, m; z (d + 1, n); t (levels, components, numbers of each).
"""

import numpy as np
from numba import njit
from numba.extending import register_jitable

from refdiff import noise
from refdiff.elementary import exp2, ln, numbers, view
from refdiff.kernel_net import network
from refdiff.kernel_noise import FUSED, KEPT, LEAN, draw, rows, streams, wide
from refdiff.noise import mantissa, xoshiro

STEPS, SAMPLES = np.uint64(noise.STEPS), np.uint64(noise.SAMPLES)


def six(t, k, c):
    """Numbers of component c of t[k] in two dimensions: see `fast._tables`."""
    return t[k, c, 0], t[k, c, 1], t[k, c, 2], t[k, c, 3], t[k, c, 4], t[k, c, 5]


def term(x0, x1, component):
    """Logit of a component, in bits, and its pull: its score over -2 log 2."""
    top, mean0, mean1, inverse0, inverse1, low = component
    y0 = x0 - mean0
    y1 = x1 - mean1 - low * y0
    v0, v1 = y0 * inverse0, y1 * inverse1
    return top - y0 * v0 - y1 * v1, v0 - low * v1, v1


def eight(X, t, k, o, g):
    """Rows g of components o..o+7 of t[k], written out to stay in registers.

    No weight has to wait for the largest logit: m is 0.
    """
    wide()
    num = numbers(g.dtype)
    scale = -num.two * (num.ln2_high + num.ln2_low)
    a, b, c, d = six(t, k, o), six(t, k, o + 1), six(t, k, o + 2), six(t, k, o + 3)
    o += 4
    e, f, q, r = six(t, k, o), six(t, k, o + 1), six(t, k, o + 2), six(t, k, o + 3)
    for i in range(X.shape[2]):
        x, y = X[0, 0, i], X[0, 1, i]
        (l0, u0, v0), (l1, u1, v1) = term(x, y, a), term(x, y, b)
        (l2, u2, v2), (l3, u3, v3) = term(x, y, c), term(x, y, d)
        (l4, u4, v4), (l5, u5, v5) = term(x, y, e), term(x, y, f)
        (l6, u6, v6), (l7, u7, v7) = term(x, y, q), term(x, y, r)
        p0, p1, p2 = exp2(l0, num), exp2(l1, num), exp2(l2, num)
        p3, p4, p5 = exp2(l3, num), exp2(l4, num), exp2(l5, num)
        p6, p7 = exp2(l6, num), exp2(l7, num)
        u = p0 * u0 + p1 * u1 + p2 * u2 + p3 * u3
        v = p0 * v0 + p1 * v1 + p2 * v2 + p3 * v3
        s = p0 + p1 + p2 + p3 + p4 + p5 + p6 + p7
        over = scale / max(s, num.tiny)
        g[0, i] = (u + p4 * u4 + p5 * u5 + p6 * u6 + p7 * u7) * over
        g[1, i] = (v + p4 * v4 + p5 * v5 + p6 * v6 + p7 * v7) * over
        g[2, i], g[3, i] = s, 0


def one(X, t, k, c, g):
    """Rows g of component c of t[k] in any dimension, as `term` has it: a pull, no score."""
    wide()
    num = numbers(g.dtype)
    (_, d, n), logit = X.shape, g[-1]
    low = 1 + 2 * d
    g[-2], logit[:] = 1, t[k, c, 0]
    for j in range(d):
        for i in range(n):
            g[j, i] = X[0, j, i] - t[k, c, 1 + j]
        for q in range(j):
            for i in range(n):
                g[j, i] -= t[k, c, low + j * (j - 1) // 2 + q] * g[q, i]
    for j in range(d - 1, -1, -1):
        for i in range(n):
            v = t[k, c, 1 + d + j] * g[j, i]
            logit[i] -= g[j, i] * v
            g[j, i] = v
        for q in range(j + 1, d):
            for i in range(n):
                g[j, i] -= t[k, c, low + q * (q - 1) // 2 + j] * g[q, i]
    for i in range(n):
        logit[i] = max(logit[i], num.least)


def level(g, more):
    """Make s of rows g and more those over the larger m of both."""
    wide()
    num = numbers(g.dtype)
    for i in range(g.shape[1]):
        m = max(g[-1, i], more[-1, i])
        g[-2, i] *= exp2(g[-1, i] - m, num)
        more[-2, i] *= exp2(more[-1, i] - m, num)
        g[-1, i] = m


def join(g, more):
    """Make rows g those of their components and of more's, over the same m."""
    wide()
    num = numbers(g.dtype)
    for i in range(g.shape[1]):
        s = g[-2, i] + more[-2, i]
        least = max(s, num.tiny)
        more[-1, i], more[-2, i] = g[-2, i] / least, more[-2, i] / least
        g[-2, i] = s
    for j in range(len(g) - 2):
        for i in range(g.shape[1]):
            g[j, i] = more[-1, i] * g[j, i] + more[-2, i] * more[j, i]


def singly(X, t, k, g, more):
    """Rows g in any dimension, and however far out."""
    wide()
    num = numbers(g.dtype)
    scale = -num.two * (num.ln2_high + num.ln2_low)
    for c in range(t.shape[1]):
        one(X, t, k, c, more if c else g)
        if c:
            level(g, more)
            join(g, more)
    for j in range(X.shape[1]):
        for i in range(X.shape[2]):
            g[j, i] *= scale


def far_out(X, t, k, g, more, small):
    """Rows g anew for particles whose sum of weights is small."""
    anew = np.empty_like(g)
    singly(X, t, k, anew, more)
    for i in range(g.shape[1]):
        if g[-2, i] < small:
            g[:, i] = anew[:, i]


def gradient(X, t, k, g, more, small):
    """Rows g: the score at X[0] of the mixture t[k], s and m; more: room for a part.

    The density is s 2^m, logits are in bits. One dimension has a row of zeros beside it.
    small: a sum of weights below which one that was cut off may matter.
    """
    wide()
    count = 0
    if X.shape[1] > 2:
        singly(X, t, k, g, more)
    else:
        for o in range(0, t.shape[1], 8):
            eight(X, t, k, o, more if o else g)
            if o:
                join(g, more)
        for i in range(g.shape[1]):
            count += g[-2, i] < small
        if count:
            far_out(X, t, k, g, more, small)


def advance(X, new, A, b, c, out, z, k):
    """Set new = A[k] X + b[k] out + c[k] z, for registers of rows of particles."""
    wide()
    for r in range(A.shape[1]):
        a, f, h = A[k, r, r], b[k, r], c[k, r]
        for j in range(len(z) - 1):
            for i in range(X.shape[2]):
                new[r, j, i] = a * X[r, j, i] + f * out[j, i] + h * z[j, i]
            for q in range(A.shape[1]):
                if q != r and A[k, r, q] != 0:
                    for i in range(X.shape[2]):
                        new[r, j, i] += A[k, r, q] * X[q, j, i]


def load(x, registers):
    """Registers of rows; the first has x (n, d), turned, and copies of its last point."""
    (n, d), D = x.shape, max(x.shape[1], 2)
    X = rows(registers * D, -(-n // 64) * 64, x.dtype).reshape(registers, D, -1)
    X[0, :d, :n], X[0, :d, n:] = x.T, x[-1:].T
    return X


def place(S, z, edges, means, roots, y):
    """Fill rows y: see `sample`. S makes way: S[0] for the components, S[1] for u."""
    wide()
    n = S.shape[1]
    for i in range(n):
        u = mantissa(xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])[0]) - 1
        S[0, i], S[1, i] = 0, view(u, np.uint64)
    for e in range(len(edges) - 1):
        for i in range(n):
            S[0, i] += np.uint64(view(S[1, i], np.float64) >= edges[e])
    for j in range(len(y)):
        for i in range(n):
            y[j, i] = means[S[0, i], j]
        for r in range(j + 1):
            for i in range(n):
                y[j, i] += roots[S[0, i], j, r] * z[r, i]


for function in (six, term, eight, one, level, join, singly, gradient, advance, place):
    register_jitable(**LEAN)(function)
for function in (far_out, load):
    register_jitable(**FUSED)(function)


def run(x, path, lo, hi, every, law, chain, seed, first, block, score, net):
    """Run particles lo..hi-1 of x (n, d), and keep states every, 2 every, ... in path.

    law: tables of the mixture, `small` of each, its mean; chain: A, b, c, ends of a
    `Chain`, whether it is random, and ask[k]: row k's level, -1 for no model, -2 for the
    mean. Where one is given, score(x, out), or the net (see `network`), stands in the
    mixture's place.
    """
    (tables, small, mean), (A, b, c, ends, random, ask), d = law, chain, x.shape[1]
    for at in range(lo, hi, block):
        end = min(at + block, hi)
        X, new = load(x[at:end], A.shape[1]), load(x[at:end], A.shape[1])
        _, D, n = X.shape
        z, S = rows(d + 1, n, X.dtype), streams(seed, STEPS, first + np.uint64(at), n)
        out, more = rows(D + 2, n, X.dtype), rows(D + 2, n, X.dtype)
        step, begins = 0, random
        for k in range(len(ends)):
            if begins:
                draw(S, z, step)
            if ask[k] == -2:
                out[:d] = mean.reshape(d, 1)
            elif ask[k] >= 0:
                if net is not None:  # of these three numba compiles one
                    network(X[0], net, k, out)
                elif score is None:
                    gradient(X, tables, ask[k], out, more, small[ask[k]])
                else:
                    score(X[0, :d], out[:d])
            advance(X, new, A, b, c, out, z, k)
            X, new, begins = new, X, random and ends[k]
            step += ends[k]
            if ends[k] and step % every == 0:
                path[step // every - 1, at:end] = X[0, :d, : end - at].T


# These take the user's function, for which no cache is ever hit.
fill = njit(**FUSED)(lambda score, x, out: score(x, out))
own = njit(**FUSED)(run)
run = njit(**KEPT)(run)


@njit(**KEPT)
def logpdf(x, lo, hi, result, table, small, shift, block):
    """Log density at x[lo:hi], that of the table and a shift; x (n, d)  ->  (n,)."""
    num = numbers(x.dtype)
    wide()
    for at in range(lo, hi, block):
        end = min(at + block, hi)
        X = load(x[at:end], 1)
        _, D, n = X.shape
        g, more = rows(D + 2, n, x.dtype), rows(D + 2, n, x.dtype)
        gradient(X, table, 0, g, more, small)
        for i in range(n):
            g[0, i] = shift + (g[-1, i] * ln(num.two, num) + ln(g[-2, i], num))
        result[at:end] = g[0, : end - at]


@njit(**KEPT)
def sample(x, lo, hi, edges, means, roots, seed, first, block):
    """Fill x[lo:hi] with means[k] + roots[k] z, where edges[k-1] <= u < edges[k].

    u: a word of the stream after those of z; roots: lower triangles
    """
    d = x.shape[1]
    for at in range(lo, hi, block):
        end = min(at + block, hi)
        S = streams(seed, SAMPLES, first + np.uint64(at), end - at)
        y, z = rows(d, S.shape[1], x.dtype), rows(d + 1, S.shape[1], x.dtype)
        draw(S, z, 0)
        place(S, z, edges, means, roots, y)
        x[at:end] = y[:, : end - at].T
