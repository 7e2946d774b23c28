"""All compiled code of the network: shards of rows, forwards and back; SiLU; Adam.

Matrix products are SciPy's BLAS, on one thread inside a shard; the rest is loops that
LLVM vectorises. A shard is small: what it touches stays in the cache, and BLAS need not
pack it. Cuts and the order of sums depend on the number of rows alone, so that the bits
do not depend on the number of threads. numba's cache does not see changes in other
files, nor in `parallel`, so this one takes from others what hardly ever changes.
"""

import numpy as np
from numba import njit, prange

from refdiff.kernel_noise import EXACT, KEPT, view
from refdiff.noise import DOUBLE, SINGLE

FAST = {**EXACT, "fastmath": {"contract", "nsz"}}
KEPT = {**KEPT, **FAST}


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
    copy, end = np.empty_like(params), 0
    for i in range(len(widths) - 1):
        W, _, after = layer(params, end, widths[i], widths[i + 1])
        rows(copy[end:], widths[i + 1], widths[i])[:] = W.T
        end = after
    return copy


@njit(**FAST)
def backward(widths, turned, x, da, work, grad):
    """Gradient of one shard from that of its output, da; uses up what `forward` kept."""
    end = len(grad)
    for i in range(len(widths) - 2, -1, -1):
        m, n = widths[i], widths[i + 1]
        end -= (m + 1) * n
        dW, db, _ = layer(grad, end, m, n)
        h = rows(work[0, i - 1], len(x), m) if i else x
        np.dot(h.T, da, dW)
        db[:] = 0
        for row in range(len(da)):
            db += da[row]
        if i:
            np.dot(da, rows(turned[end:], n, m), h)  # h becomes dh
            da = rows(work[1, i - 1], len(x), m)
            da *= h


@njit(**FAST)
def lane_grad(widths, params, back, x, y, weight, rows, work, grads):
    """Loss of shards of at most `rows` rows one after another; gradient to grads[0]."""
    loss, n = params.dtype.type(0), len(x)
    shards = max(1, -(-n // rows))
    for s in range(shards):
        lo, hi = n * s // shards, n * (s + 1) // shards
        error = forward(widths, params, x[lo:hi], work)
        for i in range(len(error)):
            for j in range(error.shape[1]):
                miss = error[i, j] - y[lo + i, j]
                pull = weight[lo + i] * miss
                loss += pull * miss
                error[i, j] = pull + pull
        backward(widths, back, x[lo:hi], error, work, grads[min(1, s)])
        if s:
            grads[0] += grads[1]
    return loss


@njit(parallel=True, **KEPT)
def loss_grad(widths, params, x, y, weight, rows, work, grads):
    """Partial losses (lanes,) sum weight |net(x) - y|^2; their gradients to grads[:, 0].

    work (lanes, 2, layers, rows x width), grads (lanes, 2, size); lanes run in parallel
    """
    n, lanes, back = len(x), len(work), turned(widths, params)
    losses = np.zeros(lanes, params.dtype)
    for k in prange(lanes):
        part = slice(n * k // lanes, n * (k + 1) // lanes)
        of = x[part], y[part], weight[part]
        losses[k] = lane_grad(widths, params, back, *of, rows, work[k], grads[k])
    return losses


@njit(parallel=True, **KEPT)
def adam(old, new, grads, c, chunk):
    """Sum grads[:, 0] into the first, and step by `train.adam_step`.

    old, new (4, size): params, ema, m, v; c: the nine numbers of this step
    """
    b1, d1, b2, d2, rate, unbias, eps, keep, take = c
    for part in prange((old.shape[1] + chunk - 1) // chunk):
        lo, hi = part * chunk, min((part + 1) * chunk, old.shape[1])
        g, was, now = grads[0, 0, lo:hi], old[:, lo:hi], new[:, lo:hi]
        for lane in range(1, len(grads)):
            g += grads[lane, 0, lo:hi]
        p, ema, m, v = now[0], now[1], now[2], now[3]
        for i in range(hi - lo):
            m[i] = b1 * was[2, i] + d1 * g[i]
            v[i] = b2 * was[3, i] + d2 * (g[i] * g[i])
        for i in range(hi - lo):
            p[i] = was[0, i] - rate * m[i] / (np.sqrt(unbias * v[i]) + eps)
            ema[i] = keep * was[1, i] + take * p[i]


@njit(**KEPT)
def predict(widths, params, x, y, rows):
    """Write the network's output at x to y, a shard of `rows` rows at a time."""
    work = np.empty((2, len(widths) - 1, rows * widths.max()), params.dtype)
    for lo in range(0, len(x), rows):
        y[lo : lo + rows] = forward(widths, params, x[lo : lo + rows], work)


@njit(**KEPT)
def run(widths, params, biases, table, x, z, rows):
    """Run a chain on x in place: X <- A X + b net(X[0]) + c z, a shard at a time.

    params: of a network without an embedding, whose first biases in row k are
    biases[k]; table: A, b, c, ends of a `Chain`; z (steps, n, d), or (1, n, d) of zeros
    """
    A, b, c, ends = table
    d, own = x.shape[1], params.copy()
    work = np.empty((2, len(widths) - 1, rows * widths.max()), params.dtype)
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
