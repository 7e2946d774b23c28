"""All compiled code for mixtures: the score, and every step of a chain fused.

Whoever reads the mathematics never has to open this file: `fast` is its door. Particles
are worked on in blocks that stay in the cache while all steps pass over them; a block is
rows of one number each, so that the compiler works on many particles at once. Blocks are
padded to whole multiples of 64: no particle ever falls into the remainder of a loop,
where sums could be fused otherwise, and so its bits depend on its own stream alone.
Inner loops take whole arrays and indices: a slice costs more than some loops. Shapes:
X, new (registers, d, n), where d is at least 2; g, out (d + 2, n): a row of pulls or
score each dimension, m, s; z (d + 1, n); t (levels, numbers of all components).
"""

import numpy as np
from numba import njit
from numba.extending import register_jitable

from refdiff import noise
from refdiff.elementary import exp2, ln, numbers
from refdiff.kernel_net import network
from refdiff.kernel_noise import FUSED, KEPT, draw, streams, wide
from refdiff.noise import mantissa, xoshiro

STEPS, SAMPLES = np.uint64(noise.STEPS), np.uint64(noise.SAMPLES)


def six(t, k, o):
    """Numbers of the component at t[k, o:] in two dimensions: see `fast._tables`."""
    return t[k, o], t[k, o + 1], t[k, o + 2], t[k, o + 3], t[k, o + 4], t[k, o + 5]


def term(x0, x1, component):
    """Logit of a component, in bits, and its score over -2 log 2: its pull."""
    top, mean0, mean1, inverse0, inverse1, low = component
    y0 = x0 - mean0
    y1 = x1 - mean1 - low * y0
    v0, v1 = y0 * inverse0, y1 * inverse1
    return top - y0 * v0 - y1 * v1, v0 - low * v1, v1


def eight(X, t, k, o, g):
    """Rows g of the eight components at t[k, o:], written out to stay in registers."""
    wide()
    num = numbers(g.dtype)
    a, b, c, d = six(t, k, o), six(t, k, o + 6), six(t, k, o + 12), six(t, k, o + 18)
    o += 24
    e, f, q, r = six(t, k, o), six(t, k, o + 6), six(t, k, o + 12), six(t, k, o + 18)
    for i in range(X.shape[2]):
        x, y = X[0, 0, i], X[0, 1, i]
        (l0, u0, v0), (l1, u1, v1) = term(x, y, a), term(x, y, b)
        (l2, u2, v2), (l3, u3, v3) = term(x, y, c), term(x, y, d)
        (l4, u4, v4), (l5, u5, v5) = term(x, y, e), term(x, y, f)
        (l6, u6, v6), (l7, u7, v7) = term(x, y, q), term(x, y, r)
        m = max(max(max(l0, l1), max(l2, l3)), max(max(l4, l5), max(l6, l7)), num.least)
        p0, p1, p2 = exp2(l0 - m, num), exp2(l1 - m, num), exp2(l2 - m, num)
        p3, p4, p5 = exp2(l3 - m, num), exp2(l4 - m, num), exp2(l5 - m, num)
        p6, p7 = exp2(l6 - m, num), exp2(l7 - m, num)
        u = p0 * u0 + p1 * u1 + p2 * u2 + p3 * u3
        v = p0 * v0 + p1 * v1 + p2 * v2 + p3 * v3
        g[0, i] = u + p4 * u4 + p5 * u5 + p6 * u6 + p7 * u7
        g[1, i] = v + p4 * v4 + p5 * v5 + p6 * v6 + p7 * v7
        g[2, i], g[3, i] = m, p0 + p1 + p2 + p3 + p4 + p5 + p6 + p7


def one(X, t, k, o, g):
    """Rows g of the component at t[k, o:] in any dimension, as `term` has it in two."""
    wide()
    num = numbers(g.dtype)
    (_, d, n), logit = X.shape, g[-2]
    low = o + 1 + 2 * d
    logit.fill(t[k, o])
    for j in range(d):
        for i in range(n):
            g[j, i] = X[0, j, i] - t[k, o + 1 + j]
        for q in range(j):
            for i in range(n):
                g[j, i] -= t[k, low + j * (j - 1) // 2 + q] * g[q, i]
    for j in range(d - 1, -1, -1):
        for i in range(n):
            v = t[k, o + 1 + d + j] * g[j, i]
            logit[i] -= g[j, i] * v
            g[j, i] = v
        for q in range(j + 1, d):
            for i in range(n):
                g[j, i] -= t[k, low + q * (q - 1) // 2 + j] * g[q, i]
    for i in range(n):
        logit[i], g[-1, i] = max(logit[i], num.least), num.one


def join(g, more):
    """Add to rows g those of other components, whose rows are used up."""
    wide()
    num = numbers(g.dtype)
    for i in range(g.shape[1]):
        m = max(g[-2, i], more[-2, i])
        old, new = exp2(g[-2, i] - m, num), exp2(more[-2, i] - m, num)
        g[-2, i], g[-1, i] = m, old * g[-1, i] + new * more[-1, i]
        more[-2, i], more[-1, i] = old, new
    for j in range(len(g) - 2):
        for i in range(g.shape[1]):
            g[j, i] = more[-2, i] * g[j, i] + more[-1, i] * more[j, i]


def log_sum(X, t, k, g):
    """Rows g: the sum of pulls at X[0] of the mixture t[k], m and s.

    The density is s 2^m; logits are in bits. One dimension has a row of zeros beside it.
    """
    d = X.shape[1]
    for o in range(0, t.shape[1], 48 if d == 2 else 1 + 2 * d + d * (d - 1) // 2):
        rows = np.empty_like(g) if o else g
        if d == 2:
            eight(X, t, k, o, rows)
        else:
            one(X, t, k, o, rows)
        if o:
            join(g, rows)


def gradient(X, t, k, g):
    """Rows g as by `log_sum`, with the sum of pulls made the score; s makes way."""
    wide()
    num = numbers(g.dtype)
    log_sum(X, t, k, g)
    scale = -num.two * (num.ln2_high + num.ln2_low)
    for i in range(X.shape[2]):
        g[-1, i] = scale / g[-1, i]
    for j in range(X.shape[1]):
        for i in range(X.shape[2]):
            g[j, i] *= g[-1, i]


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
    """Registers of rows, filled up with zeros; the first has x (n, d), turned."""
    n, d = x.shape
    X = np.zeros((registers, max(d, 2), -(-n // 64) * 64), x.dtype)
    X[0, :d, :n] = x.T
    return X


inner = six, term, eight, one, join, log_sum, gradient, advance, load
for function in inner:
    register_jitable(**FUSED)(function)


def run(x, path, lo, hi, every, law, chain, seed, first, block, score, net):
    """Run particles lo..hi-1 of x (n, d), and keep states every, 2 every, ... in path.

    law: tables of the mixture, its mean; chain: A, b, c, ends of a `Chain`, whether it
    is random, and ask[k]: row k's level, -1 for no model, -2 for the mean. Where one is
    given, score(x, out), or the net (see `network`), stands in the mixture's place.
    """
    (tables, mean), (A, b, c, ends, random, ask), d = law, chain, x.shape[1]
    for at in range(lo, hi, block):
        end = min(at + block, hi)
        X = load(x[at:end], A.shape[1])
        S = streams(seed, STEPS, first + np.uint64(at), end - at)
        new, z = np.zeros_like(X), np.zeros((d + 1, S.shape[1]), X.dtype)
        out = np.zeros((X.shape[1] + 2, S.shape[1]), X.dtype)
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
                    gradient(X, tables, ask[k], out)
                else:
                    score(X[0, :d], out[:d])
            advance(X, new, A, b, c, out, z, k)
            X, new, begins = new, X, random and ends[k]
            step += ends[k]
            if ends[k] and step % every == 0:
                path[step // every - 1, at:end] = X[0, :d, : end - at].T


own = njit(**FUSED)(run)  # takes the user's function, for which no cache is ever hit
run = njit(**KEPT)(run)


@njit(**KEPT)
def logpdf(x, lo, hi, result, table, block):
    """Log density at x[lo:hi]; x (n, d)  ->  result (n,)."""
    num = numbers(x.dtype)
    wide()
    for at in range(lo, hi, block):
        end = min(at + block, hi)
        X = load(x[at:end], 1)
        g = np.empty((X.shape[1] + 2, X.shape[2]), X.dtype)
        log_sum(X, table, 0, g)
        for i in range(X.shape[2]):
            g[0, i] = g[-2, i] * ln(num.two, num) + ln(g[-1, i], num)
        result[at:end] = g[0, : end - at]


@njit(**KEPT)
def sample(x, lo, hi, edges, means, roots, seed, first, block):
    """Fill x[lo:hi] with means[k] + roots[k] z, where edges[k-1] <= u < edges[k].

    u: a word of the stream after those of z; roots: lower triangles
    """
    d = x.shape[1]
    for at in range(lo, hi, block):
        y = x[at : min(at + block, hi)]
        S = streams(seed, SAMPLES, first + np.uint64(at), len(y))
        z = np.empty((d + 1, S.shape[1]), x.dtype)
        draw(S, z, 0)
        for i in range(len(y)):
            u, k = mantissa(xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])[0]) - 1, 0
            for e in range(len(edges) - 1):
                k += u >= edges[e]
            for j in range(d):
                v = means[k, j]
                for r in range(j + 1):
                    v += roots[k, j, r] * z[r, i]
                y[i, j] = v
