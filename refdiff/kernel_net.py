"""All compiled code of the network: shards of rows, forwards and back; SiLU; Adam.

Matrix products are SciPy's BLAS, on one thread inside a shard; the rest is loops that
LLVM vectorises. A shard is small: what it touches stays in the cache, and BLAS need not
pack it. Cuts and the order of sums depend on the number of rows alone, so that the bits
do not depend on the number of threads. numba's cache does not see changes in other
files, nor in `parallel`, so this one takes from others what hardly ever changes.
"""

import math

import numpy as np
from numba import njit, prange
from numba.extending import overload, register_jitable
from numba.np.linalg import _BLAS

from refdiff.kernel_noise import EXACT, KEPT, view, wide
from refdiff.noise import DOUBLE, SINGLE

FAST = {**EXACT, "fastmath": {"contract", "nsz"}}
KEPT = {**KEPT, **FAST}
CHUNK = 512  # parameters that Adam takes at a time


@njit(**FAST)
def polynomial(coefficients, x):
    """Do Horner's rule; in a loop over x itself its counter would spoil that loop."""
    p = coefficients[0]
    for k in range(1, len(coefficients)):
        p = p * x + coefficients[k]
    return p


def silu(num):
    """Compile, in one precision: SiLU of a + b to a, its derivative to slope."""
    most = num.F(-np.log(2) * num.floor)

    @njit(**FAST)
    def compiled(a, b, slope):
        wide()
        for j in range(len(b)):
            v = a[j] + b[j]
            x = min(max(-v, -most), most)
            t = x * num.log2_e + num.magic  # its low bits are n: e^x = 2^n 2^r
            n = t - num.magic
            r = ((x - n * num.ln2_high) - n * num.ln2_low) * num.log2_e
            bits = num.I(view(num.F(t), num.I) << len(num.digits))
            bits += view(num.F(polynomial(num.exp2, r)), num.I)
            s = num.one / (num.one + view(num.I(bits), num.F))
            a[j] = v * s
            slope[j] = s + (v * s - v * s * s)

    return compiled


silu64, silu32 = silu(DOUBLE), silu(SINGLE)


def add_product(h, da, dW):
    """Set dW = dW + h^T da."""
    dW += h.T @ da


@overload(add_product)
def _add_product(h, da, dW):
    """Call what numba's own np.dot calls, which cannot add."""
    gemm, kind = _BLAS.numba_xxgemm(h.dtype), ord("sd"[h.dtype.bitwidth // 64])
    as_is, turned = ord("n"), ord("t")

    def compiled(h, da, dW):
        one, (m, n) = np.ones(1, h.dtype).ctypes, dW.shape
        right, left, total = da.ctypes, h.ctypes, dW.ctypes
        sizes = n, m, len(h)
        gemm(kind, as_is, turned, *sizes, one, right, n, left, m, one, total, n)

    return compiled


@register_jitable
def aligned(size, like):
    """Make room for so many numbers like those, at a multiple of 64 bytes.

    BLAS multiplies matrices that begin there up to 1.4 times faster.
    """
    room = np.empty(size + 64 // like.itemsize, like.dtype)
    skip = -room.ctypes.data % 64 // like.itemsize
    return room[skip : skip + size]


def padded(shape, size, like):
    """Make room for rows of so many numbers, each aligned, with zeros up to the next."""
    shape = *shape, -(-size // 16) * 16
    rows = aligned(math.prod(shape), like).reshape(shape)
    rows[..., size:] = 0
    return rows


@njit(**FAST)
def embedded(x, t, w, h):
    """Fill the rows h with [x, sin(pi w t), cos(pi w t)], and return them."""
    num, d, f = DOUBLE, x.shape[1], len(w)
    for row in range(len(x)):
        h[row, :d] = x[row]
        sin, cos = h[row, d : d + f], h[row, d + f :]
        for k in range(f):
            n = w[k] * t[row] + num.magic  # its last bit is that of whole half-turns
            r = w[k] * t[row] - (n - num.magic)
            q, c = r * r, (num.one - (r + r)) * (num.one + (r + r))
            side = view((view(n, num.I) << 63) | view(num.one, num.I), num.F)
            sin[k] = side * (r + r + r * (num.pi_less_2 + q * polynomial(num.sin, q)))
            cos[k] = side * (c + c * (q * polynomial(num.cos, q)))
    return h


@njit(**FAST)
def layer(params, start, m, n):
    """Weights (m, n) and biases (n,) that begin at start, and where they end."""
    middle, end = start + m * n, start + (m + 1) * n
    return params[start:middle].reshape(m, n), params[middle:end], end


@njit(**FAST)
def rows(room, n, m):
    """Return the beginning of room as a matrix (n, m)."""
    return room[: n * m].reshape(n, m)


@njit(**FAST)
def room(widths, most, like):
    """Return where `forward` works on at most so many rows."""
    shape = 2, len(widths) - 1, most * widths.max()
    return aligned(shape[0] * shape[1] * shape[2], like).reshape(shape)


@njit(**FAST)
def forward(widths, params, x, work):
    """Output of one shard; work[0, i] keeps that of layer i, work[1, i] its slope."""
    h, end = x, 0
    for i in range(len(widths) - 1):
        W, b, end = layer(params, end, widths[i], widths[i + 1])
        a, slope = rows(work[0, i], len(x), len(b)), rows(work[1, i], len(x), len(b))
        np.dot(h, W, a)
        for row in range(len(a)):
            if i == len(widths) - 2:
                a[row] += b
            elif a.itemsize == 8:
                silu64(a[row], b, slope[row])
            else:
                silu32(a[row], b, slope[row])
        h = a
    return h


@njit(**FAST)
def turned(widths, params):
    """Copy the parameters with each W transposed, which BLAS multiplies faster."""
    copy, end = aligned(len(params), params), 0
    for i in range(len(widths) - 1):
        W, _, after = layer(params, end, widths[i], widths[i + 1])
        back = rows(copy[end:], widths[i + 1], widths[i])
        for top in range(0, len(W), 8):  # by lines of the cache
            back[:, top : top + 8] = W[top : top + 8].T
        end = after
    return copy


@njit(**FAST)
def backward(widths, turned, x, da, work, grad):
    """Add the gradient of one shard, from da, its output's; uses up `forward`'s work."""
    end = len(turned)
    for i in range(len(widths) - 2, -1, -1):
        m, n = widths[i], widths[i + 1]
        end -= (m + 1) * n
        dW, db, _ = layer(grad, end, m, n)
        h = rows(work[0, i - 1], len(x), m) if i else x
        add_product(h, da, dW)
        for row in range(len(da)):
            db += da[row]
        if i:
            np.dot(da, rows(turned[end:], n, m), h)  # h becomes dh
            da = rows(work[1, i - 1], len(x), m)
            da *= h


@njit(**FAST)
def lane_grad(widths, params, back, x, t, w, y, weight, most, work, grad):
    """Loss of shards of at most `most` rows one after another, and its gradient."""
    grad[:] = 0
    loss, n, spare = params.dtype.type(0), len(x), work[1, len(widths) - 2]
    shards = max(1, -(-n // most))
    for s in range(shards):
        lo, hi = n * s // shards, n * (s + 1) // shards
        h = embedded(x[lo:hi], t[lo:hi], w, rows(spare, hi - lo, widths[0]))
        error = forward(widths, params, h, work)
        for i in range(len(error)):
            for j in range(error.shape[1]):
                miss = error[i, j] - y[lo + i, j]
                pull = weight[lo + i] * miss
                loss += pull * miss
                error[i, j] = pull + pull
        backward(widths, back, h, error, work, grad)
    return loss


@njit(parallel=True, **KEPT)
def loss_grad(widths, params, x, t, w, y, weight, rows, work, grads):
    """Partial losses (lanes,) sum weight |net(x, t) - y|^2; gradients to grads.

    work (lanes, 2, layers, rows x width), whose last slope has room for the inputs;
    grads (lanes, size or more); lanes run in parallel
    """
    n, lanes, back = len(x), len(work), turned(widths, params)
    losses = np.empty(lanes, params.dtype)  # zeros would be a loop in threads too
    for k in prange(lanes):
        part = slice(n * k // lanes, n * (k + 1) // lanes)
        of = x[part], t[part], w, y[part], weight[part]
        losses[k] = lane_grad(widths, params, back, *of, rows, work[k], grads[k])
    return losses


@njit(**FAST)
def parts(rows, at):
    """Return the part `at` of params, ema, m and v, each of which lies in one piece."""
    return rows[0, at], rows[1, at], rows[2, at], rows[3, at]


@njit(parallel=True, **KEPT)
def adam(old, new, grads, c):
    """Sum the lanes' grads into the first, and step by `train.adam_step`.

    old, new (4, size): params, ema, m, v; c: the nine numbers of this step
    """
    b1, d1, b2, d2, rate, unbias, eps, keep, take = c
    for part in prange(-(-old.shape[1] // CHUNK)):
        at = slice(part * CHUNK, min((part + 1) * CHUNK, old.shape[1]))
        g, (p0, ema0, m0, v0) = grads[0, at], parts(old, at)
        p, ema, m, v = parts(new, at)
        for lane in range(1, len(grads)):
            g += grads[lane, at]
        for i in range(len(g)):
            m[i] = b1 * m0[i] + d1 * g[i]
            v[i] = b2 * v0[i] + d2 * (g[i] * g[i])
        for i in range(len(g)):
            p[i] = p0[i] - rate * m[i] / (np.sqrt(unbias * v[i]) + eps)
        for i in range(len(g)):
            ema[i] = keep * ema0[i] + take * p[i]


@njit(**KEPT)
def predict(widths, params, x, t, w, y, most):
    """Write the network's output at (x, t) to y, a shard of `most` rows at a time."""
    work = room(widths, most, params)
    for lo in range(0, len(x), most):
        part = slice(lo, min(lo + most, len(x)))
        h = rows(work[1, len(widths) - 2], part.stop - lo, widths[0])
        y[part] = forward(widths, params, embedded(x[part], t[part], w, h), work)


@njit(**KEPT)
def run(widths, params, biases, table, x, z, rows):
    """Run a chain on x in place: X <- A X + b net(X[0]) + c z, a shard at a time.

    params: of a network without an embedding, whose first biases in row k are
    biases[k]; table: A, b, c, ends of a `Chain`; z (steps, n, d), or (1, n, d) of zeros
    """
    A, b, c, ends = table
    d, own, work = x.shape[1], aligned(len(params), params), room(widths, rows, params)
    own[:] = params
    for lo in range(0, len(x), rows):
        here, step = x[lo : lo + rows], 0
        X = np.zeros((A.shape[1], *here.shape), x.dtype)
        new, y = np.zeros_like(X), np.zeros_like(here)
        X[0] = here
        for k in range(len(ends)):
            if b[k].any():
                own[d * widths[1] : (d + 1) * widths[1]] = biases[k]
                y = forward(widths, own, X[0], work)
            noise = z[step % len(z), lo : lo + rows]
            for r in range(A.shape[1]):
                new[r] = b[k, r] * y + c[k, r] * noise
                for q in range(A.shape[1]):
                    new[r] += A[k, r, q] * X[q]
            X, new = new, X
            step += ends[k]
        here[:] = X[0]
