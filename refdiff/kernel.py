"""All compiled code of runs: every step of a chain fused; log densities and samples.

Whoever reads the mathematics never has to open this file: `fast` is its door. Particles
are worked on in blocks that stay in the cache while all steps pass over them, in room
that the caller gives: what makes no arrays runs without numba (see `_kept`). Blocks
are whole multiples of 64: no particle ever falls into the remainder of a loop, where sums
could be fused otherwise, and so its bits depend on its own stream alone.
Room: X and new (registers, D, n), D = max(d, 2); z (d + 1, n); out, more and anew
(D + 2, n), as the rows g of `kernel_score`, which has the score; S (4, n), generators.
"""

from numba import njit

from refdiff.compiled import ALONE, ARRAYS, CACHED, LEAN, inside, wide
from refdiff.elementary import ln, numbers
from refdiff.kernel_net import network
from refdiff.kernel_noise import draw, streams
from refdiff.kernel_score import gradient
from refdiff.noise import xoshiro


def advance(X, new, A, start, b, c, out, z, k):
    """Set new = A[k] X + b[k] out + c[k] z, for registers of rows of particles.

    start[k, r]: no register before it counts in new[r]
    """
    wide()
    for r in range(A.shape[1]):
        p = start[k, r]
        a, f, h = A[k, r, p], b[k, r], c[k, r]
        for j in range(len(z) - 1):
            for i in range(X.shape[2]):
                new[r, j, i] = a * X[p, j, i] + f * out[j, i] + h * z[j, i]
            for q in range(p + 1, A.shape[1]):
                if A[k, r, q] != 0:
                    for i in range(X.shape[2]):
                        new[r, j, i] += A[k, r, q] * X[q, j, i]


def load(X, x, at, hi):
    """Fill X[0] with x[at:hi] (n, d), turned, as far as it goes, and copies of its end."""
    X[:] = 0
    for j in range(x.shape[1]):
        X[0, j] = x[hi - 1, j]
        for i in range(min(X.shape[2], hi - at)):
            X[0, j, i] = x[at + i, j]


def unload(y, x, at, hi):
    """Fill x[at:hi] (n, d), as far as it goes, with rows y, turned back."""
    for j in range(x.shape[1]):
        for i in range(min(y.shape[1], hi - at)):
            x[at + i, j] = y[j, i]


def place(S, z, edges, means, roots, y):
    """Fill rows y: see `sample`. S makes way: S[0] for u, S[1] for the components."""
    wide()
    n = S.shape[1]
    for i in range(n):
        S[0, i], S[1, i] = xoshiro(S[0, i], S[1, i], S[2, i], S[3, i])[0] >> 12, 0
    for e in range(len(edges)):
        for i in range(n):
            S[1, i] += S[0, i] >= edges[e]
    for j in range(means.shape[1]):
        for i in range(n):
            y[j, i] = means[S[1, i], j]
        for r in range(j + 1):
            for i in range(n):
                y[j, i] += roots[S[1, i], j, r] * z[r, i]


inside(LEAN, advance, load, unload, place)


def run(lo, hi, room, x, path, every, law, chain, key, score, net):
    """Run particles lo..hi-1 of x (n, d), and keep states every, 2 every, ... in path.

    law: tables of the mixture, `small` of each, its mean; chain: A, b, c and ends of a
    `Chain`, `start` (see `advance`), whether it is random, and ask[k]: row k's level, -1
    for no model, -2 for the mean; key: of the `streams`. Where one is given, score(x,
    out), or the net (see `network`), stands in the mixture's place.
    """
    (tables, small, mean), (A, b, c, start, ends, random, ask) = law, chain
    (X, new, z, out, more, anew, S), d = room, x.shape[1]
    for at in range(lo, hi, X.shape[2]):
        load(X, x, at, hi)
        streams(S, key, at)
        out[:], step, fresh = 0, 0, random
        for k in range(len(ends)):
            if fresh:
                draw(S, z, step)
            if ask[k] == -2:
                for j in range(d):
                    out[j] = mean[j]
            elif ask[k] >= 0:
                if net is not None:  # of these three numba compiles one
                    network(X[0], net, k, out)
                elif score is None:
                    gradient(X, tables, ask[k], out, more, anew, small[ask[k]])
                else:
                    score(X[0, :d], out[:d])
            advance(X, new, A, start, b, c, out, z, k)
            X, new, fresh = new, X, random and ends[k]
            step += ends[k]
            if ends[k] and step % every == 0:
                unload(X[0], path[step // every - 1], at, hi)


# These take the user's function, for which no cache is ever hit.
fill = njit(**ARRAYS)(lambda score, x, out: score(x, out))
own = njit(**ARRAYS)(run)
trained = njit(**CACHED)(run)
run = njit(**ALONE)(run)


@njit(**ALONE)
def logpdf(lo, hi, room, x, result, table, small, shift):
    """Log density at x[lo:hi], that of the table and a shift; x (n, d)  ->  (n, 1)."""
    wide()
    (X, _, _, g, more, anew, _), num = room, numbers(x.dtype)
    for at in range(lo, hi, X.shape[2]):
        load(X, x, at, hi)
        gradient(X, table, 0, g, more, anew, small)
        for i in range(X.shape[2]):
            g[0, i] = shift + (g[-1, i] * ln(num.two, num) + ln(g[-2, i], num))
        unload(g, result, at, hi)


@njit(**ALONE)
def sample(lo, hi, room, x, edges, means, roots, key):
    """Fill x[lo:hi] with means[k] + roots[k] z, where edges[k-1] <= u < edges[k].

    u: the upper 52 bits of the stream's word after those of z; roots: lower triangles
    """
    _, _, z, y, _, _, S = room
    for at in range(lo, hi, S.shape[1]):
        streams(S, key, at)
        draw(S, z, 0)
        place(S, z, edges, means, roots, y)
        unload(y, x, at, hi)
