"""All compiled code of the network: shards of rows, forwards and back; SiLU; Adam.

Matrix products are SciPy's BLAS, on one thread inside a shard; the rest is loops that
LLVM vectorises. A shard is small: what it touches stays in the cache, and BLAS need not
pack it. Cuts and the order of sums depend on the number of rows alone, so that the bits
do not depend on the number of threads. numba's cache does not see changes in other
files, nor in `parallel`, so this file imports none and its index goes with it.
"""

import warnings

import numpy as np
from numba import njit, prange

FAST = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
F = np.float32


@njit(**FAST)
def silu64(a, b, slope):
    """SiLU of a + b to a, its derivative to slope; e^x = 2^k e^r with |r| <= ln(2)/2."""
    for j in range(len(b)):
        v = a[j] + b[j]
        x = min(max(-v, -708.0), 708.0)
        m = x * 1.4426950408889634 + 6755399441055744.0  # its low bits are k
        k = m - 6755399441055744.0
        r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
        q = r * r
        p0 = (1.0 + r) + q * (0.5000000000000019 + r * 0.1666666666666668)
        p1 = 0.04166666666648795 + r * 0.008333333333319589
        p1 += q * (0.0013888888952352863 + r * 0.00019841269890076403)
        p2 = 2.4801485441561313e-05 + r * 2.755724088722987e-06
        p2 += q * (2.763265472252779e-07 + r * 2.5110049204818658e-08)
        p = p0 + (q * q) * (p1 + (q * q) * p2)
        bits = np.float64(p).view(np.int64) + (np.float64(m).view(np.int64) << 52)
        s = 1.0 / (1.0 + np.int64(bits).view(np.float64))
        a[j] = v * s
        slope[j] = s + (v * s - v * s * s)


@njit(**FAST)
def silu32(a, b, slope):
    """The same in float32, with a shorter polynomial."""
    for j in range(len(b)):
        v = a[j] + b[j]
        x = min(max(-v, F(-87.0)), F(87.0))
        m = x * F(1.4426950408889634) + F(12582912.0)
        k = m - F(12582912.0)
        r = (x - k * F(0.693359375)) + k * F(0.00021219444005469057)
        q = r * r
        p0 = F(1.0) + r * F(1.0000000377388714)
        p0 += q * (F(0.5000000047146057) + r * F(0.16666415414041177))
        p1 = F(0.04166635277111221) + r * F(0.008375134774624326)
        p = p0 + (q * q) * (p1 + q * F(0.0013941118895837))
        bits = F(p).view(np.int32) + np.int32(F(m).view(np.int32) << 23)
        s = F(1.0) / (F(1.0) + np.int32(bits).view(np.float32))
        a[j] = v * s
        slope[j] = s + (v * s - v * s * s)


@njit(**FAST)
def activate(a, b, slopes):
    """Do so row by row; slopes has as many rows as a, or one."""
    for i in range(len(a)):
        if a.itemsize == 8:
            silu64(a[i], b, slopes[i % len(slopes)])
        else:
            silu32(a[i], b, slopes[i % len(slopes)])


@njit(**FAST)
def layer(params, start, m, n):
    """Weights (m, n) and biases (n,) that begin at start, and where they end."""
    middle, end = start + m * n, start + (m + 1) * n
    return params[start:middle].reshape(m, n), params[middle:end], end


@njit(**FAST)
def forward(widths, params, x, work, slopes):
    """Output of one shard; work[i] keeps that of layer i, slopes[i] its derivative.

    With fewer of them than layers they are used in turn, for who does not go back.
    """
    h, end, last = x, 0, len(widths) - 2
    for i in range(last + 1):
        W, b, end = layer(params, end, widths[i], widths[i + 1])
        a = work[i % len(work), : len(x) * len(b)].reshape(len(x), len(b))
        np.dot(h, W, a)
        if i < last:
            s = slopes[i % len(slopes)]
            rows = min(len(x), len(s) // len(b))
            activate(a, b, s[: rows * len(b)].reshape(rows, len(b)))
        else:
            a += b
        h = a
    return h


@njit(**FAST)
def backward(widths, turned, x, da, work, slopes, grad):
    """Gradient of one shard from that of its output, da; what `forward` kept is used up.

    turned: the parameters with each W transposed, which BLAS multiplies faster
    """
    end = len(grad)
    for i in range(len(widths) - 2, -1, -1):
        m, n = widths[i], widths[i + 1]
        end -= (m + 1) * n
        dW, db, _ = layer(grad, end, m, n)
        h = x if i == 0 else work[i - 1, : len(x) * m].reshape(len(x), m)
        np.dot(h.T, da, dW)
        db[:] = 0
        for row in range(len(da)):
            for j in range(n):
                db[j] += da[row, j]
        if i > 0:
            np.dot(da, turned[end : end + m * n].reshape(n, m), h)  # h becomes dh
            da = slopes[i - 1, : len(x) * m].reshape(len(x), m)
            da *= h


@njit(**FAST)
def turn(widths, params, turned):
    """Write each W, transposed, to where it stands."""
    end = 0
    for i in range(len(widths) - 1):
        m, n = widths[i], widths[i + 1]
        turned[end : end + m * n].reshape(n, m)[:] = layer(params, end, m, n)[0].T
        end += (m + 1) * n


@njit(**FAST)
def lane_grad(
    widths, params, x, y, weight, shards, turned, work, slopes, grads, lane, lanes
):
    """Loss of shards lane, lane + lanes, ..., one after another; gradient to grads[0]."""
    loss, n = params.dtype.type(0), len(x)
    for s in range(lane, shards, lanes):
        lo, hi = n * s // shards, n * (s + 1) // shards
        error = forward(widths, params, x[lo:hi], work, slopes)
        for i in range(len(error)):
            for j in range(error.shape[1]):
                miss = error[i, j] - y[lo + i, j]
                pull = weight[lo + i] * miss
                loss += pull * miss
                error[i, j] = pull + pull
        grad = grads[min(1, s // lanes)]
        backward(widths, turned, x[lo:hi], error, work, slopes, grad)
        if s != lane:
            grads[0] += grad
    return loss


def loss_grad(widths, params, x, y, weight, shards, turned, work, slopes, grads):
    """Partial losses (lanes,) sum weight |net(x) - y|^2; their gradients to grads[:, 0].

    work and slopes (lanes, layers, shard), grads (lanes, 2, size); lanes run in parallel
    """
    lanes = len(work)
    losses = np.zeros(lanes, params.dtype)
    turn(widths, params, turned)
    for k in prange(lanes):
        room = turned, work[k], slopes[k], grads[k]
        losses[k] = lane_grad(widths, params, x, y, weight, shards, *room, k, lanes)
    return losses


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


def predict(widths, params, x, y, rows):
    """Write the network's output at x to y, a shard of `rows` rows at a time."""
    work = np.empty((2, rows * widths.max()), params.dtype)
    slopes = np.empty((1, widths.max()), params.dtype)
    for lo in range(0, len(x), rows):
        y[lo : lo + rows] = forward(widths, params, x[lo : lo + rows], work, slopes)


def run(widths, params, biases, table, x, z, rows):
    """Run a chain on x in place: X <- A X + b net(X[0]) + c z, a shard at a time.

    params: of a network without an embedding, whose first biases in row k are
    biases[k]; table: A, b, c, ends of a `Chain`; z (steps, n, d), or (1, n, d) of zeros
    """
    A, b, c, ends = table
    d, asked, own = x.shape[1], (b != 0).sum(axis=1), params.copy()
    first = own[d * widths[1] : (d + 1) * widths[1]]
    work = np.empty((2, rows * widths.max()), params.dtype)
    slopes = np.empty((1, widths.max()), params.dtype)
    for lo in range(0, len(x), rows):
        here, step = x[lo : lo + rows], 0
        X = np.zeros((A.shape[1], *here.shape), x.dtype)
        new = np.zeros_like(X)
        X[0], y = here, np.zeros_like(here)
        for k in range(len(ends)):
            noise = z[step % len(z), lo : lo + rows]
            if asked[k]:
                first[:] = biases[k]
                y = forward(widths, own, X[0], work, slopes)
            for r in range(A.shape[1]):
                new[r] = b[k, r] * y + c[k, r] * noise
                for q in range(A.shape[1]):
                    new[r] += A[k, r, q] * X[q]
            X, new = new, X
            step += ends[k]
        here[:] = X[0]


SIDES = (loss_grad, adam), (predict, run)
try:
    loss_grad, adam = (njit(parallel=True, cache=True, **FAST)(f) for f in SIDES[0])
    predict, run = (njit(cache=True, **FAST)(f) for f in SIDES[1])
except RuntimeError as reason:  # there is no folder that numba may write to
    warnings.warn(f"kernels are compiled anew: {reason}", RuntimeWarning, stacklevel=2)
    loss_grad, adam = (njit(parallel=True, **FAST)(f) for f in SIDES[0])
    predict, run = (njit(**FAST)(f) for f in SIDES[1])
