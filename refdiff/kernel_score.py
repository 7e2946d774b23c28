"""All compiled code of a mixture's score: for blocks of particles, at one level.

Whoever reads the mathematics never has to open this file. A block is rows of one number
each, so that the compiler works on many particles at once. Inner loops take whole arrays
and indices: a slice costs more than some loops. Shapes: X (registers, D, n), of which
the first register is the points, D = max(d, 2); g, more (D + 2, n): a row of the score
each dimension, s and m, of a density s 2^m; t (levels, components, numbers of each), see
`_tables.tables`; logits, log densities with their weights, are in bits.
"""

from refdiff.compiled import LEAN, inlined, inside, wide
from refdiff.elementary import exp2, higher, lower, numbers, split

EIGHT = tuple((j,) for j in range(8))


def five(j, t, k, o):
    """Numbers of component o + j of t[k] in the plane: see `_tables.tables`."""
    c = o + j
    return t[k, c, 0], t[k, c, 1], t[k, c, 2], t[k, c, 3], t[k, c, 4], None


def six(j, t, k, o):
    """The same of one whose coordinates are correlated."""
    return five(j, t, k, o)[:5] + (t[k, o + j, 5],)


def term(top, mean0, mean1, inverse0, inverse1, low, x0, x1, num):
    """A component's logit, in bits and split, and its pull: its score over -2 log 2."""
    y0 = x0 - mean0
    y1 = x1 - mean1 if low is None else x1 - mean1 - low * y0
    v0, v1 = y0 * inverse0, y1 * inverse1
    n, r = split(top - y0 * v0 - y1 * v1, num)
    return n, r, v0 if low is None else v0 - low * v1, v1


def begun(n, r, v0, v1, num):
    """The same, with the higher powers of its weight."""
    n, r, p = higher(n, r, num)
    return n, r, p, v0, v1


def weighted(n, r, p, v0, v1, num):
    """Its weight, and its pull as much."""
    w = lower(n, r, p, num)
    return w, w * v0, w * v1


def each(f, v, *more):
    """Tuple of f(*v[k], *more), k < 8: processors overlap what is eight times the same."""
    inlined()
    a, b, c, d = f(*v[0], *more), f(*v[1], *more), f(*v[2], *more), f(*v[3], *more)
    e, g, h = f(*v[4], *more), f(*v[5], *more), f(*v[6], *more)
    return a, b, c, d, e, g, h, f(*v[7], *more)


def total(v, j):
    """Sum of v[k][j], k < 8."""
    half = v[0][j] + v[1][j] + v[2][j] + v[3][j]
    return half + v[4][j] + v[5][j] + v[6][j] + v[7][j]


def eight(X, t, k, o, g, read):
    """Rows g of components o..o+7 of t[k], whose numbers are `five` or `six`.

    No weight has to wait for the largest logit: m is 0.
    """
    wide()
    num = numbers(g.dtype)
    law = each(read, EIGHT, t, k, o)
    for i in range(X.shape[2]):
        parts = each(term, law, X[0, 0, i], X[0, 1, i], num)
        parts = each(weighted, each(begun, parts, num), num)
        s = total(parts, 0)
        over = num.minus_2_ln2 / max(s, num.tiny)
        g[0, i], g[1, i] = total(parts, 1) * over, total(parts, 2) * over
        g[2, i], g[3, i] = s, 0


def one(X, t, k, c, g):
    """Logits g[-1] and scores g[:-2] of component c of t[k] in any dimension."""
    wide()
    (_, d, n), logit, scale = X.shape, g[-1], numbers(g.dtype).minus_2_ln2
    low = 1 + 2 * d
    correlated = t.shape[2] > low
    logit[:] = t[k, c, 0]
    for j in range(d):
        for i in range(n):
            g[j, i] = X[0, j, i] - t[k, c, 1 + j]
        for q in range(j * correlated):
            for i in range(n):
                g[j, i] -= t[k, c, low + j * (j - 1) // 2 + q] * g[q, i]
    for j in range(d - 1, -1, -1):
        for i in range(n):
            v = t[k, c, 1 + d + j] * g[j, i]
            logit[i] -= g[j, i] * v
            g[j, i] = scale * v
        for q in range(j + 1, d * correlated):
            for i in range(n):
                g[j, i] -= t[k, c, low + q * (q - 1) // 2 + j] * g[q, i]


def join(g, more):
    """Make rows g those of their components and of more's, over the same m; more is lost.

    A score is the mean of its parts' by their sums of weights.
    """
    wide()
    num = numbers(g.dtype)
    for i in range(g.shape[1]):
        s = g[-2, i] + more[-2, i]
        least = max(s, num.tiny)
        more[-1, i], more[-2, i], g[-2, i] = g[-2, i] / least, more[-2, i] / least, s
    for j in range(len(g) - 2):
        for i in range(g.shape[1]):
            g[j, i] = more[-1, i] * g[j, i] + more[-2, i] * more[j, i]


def singly(X, t, k, g, more):
    """Rows g in any dimension, and however far out: m is the largest logit.

    The score is nan where all logits are cut off, and with them what it would be.
    """
    wide()
    num = numbers(g.dtype)
    g[:-1], g[-1] = 0, num.least
    for c in range(t.shape[1]):
        one(X, t, k, c, more)
        for i in range(g.shape[1]):
            m = max(g[-1, i], more[-1, i])
            more[-2, i] = exp2(max(more[-1, i], num.least) - m, num)
            g[-2, i], g[-1, i] = g[-2, i] * exp2(g[-1, i] - m, num), m
        join(g, more)
    for j in range(len(g) - 2):
        for i in range(g.shape[1]):
            g[j, i] = g[j, i] if g[-1, i] > num.least else num.nan


def gradient(X, t, k, g, more, anew, small):
    """Rows g: the score at X[0] of the mixture t[k], s and m; more and anew are room.

    One dimension has a row of zeros beside it. small: a sum of weights below which one
    that was cut off may matter, so that the particle is done again.
    """
    wide()
    spatial = X.shape[1] > 2
    again = int(spatial)
    for o in range(0, t.shape[1] * (not spatial), 8):
        if t.shape[2] > 5:
            eight(X, t, k, o, more if o else g, six)
        else:
            eight(X, t, k, o, more if o else g, five)
        if o:
            join(g, more)
    for i in range(g.shape[1]):
        again += g[-2, i] < small
    if again:
        singly(X, t, k, g if spatial else anew, more)
        for i in range(g.shape[1] * (not spatial)):
            if g[-2, i] < small:
                for j in range(len(g)):
                    g[j, i] = anew[j, i]


inside(LEAN, five, six, term, begun, weighted, each, total, eight, one, join, singly)
inside(LEAN, gradient)
