"""All compiled code of the network: forwards and back, in shards of particles; Adam.

A shard is a matrix with a column a particle, so small that it stays in the cache and
that BLAS (SciPy's, on one thread) need not pack it; what is not a product is loops that
LLVM vectorises. Cuts and the order of sums depend on the number of particles alone, so
that the bits do not depend on the number of threads. numba's cache does not see changes
in other files, nor in `parallel`: this one takes from others what hardly ever changes.
"""

import numpy as np
from numba import njit, prange
from numba.extending import overload, register_jitable

from refdiff.kernel_noise import FUSED, KEPT, power, turn, view, wide
from refdiff.noise import DOUBLE, SINGLE

SHARD = 48  # particles
CHUNK = 512  # parameters that Adam takes at a time


def numbers(a):
    """Return the constants of a's precision, known when numba compiles."""
    return DOUBLE if a.itemsize == 8 else SINGLE


both = (lambda a: SINGLE), (lambda a: DOUBLE)
overload(numbers)(lambda a: both[a.dtype.bitwidth // 64])


def silu(a, b, slope):
    """Make SiLU(x) of x = a + b in place of a, and its derivative in slope."""
    wide()
    num = numbers(a)
    most = -num.floor * num.ln2_high
    for j in range(len(b)):
        for i in range(a.shape[1]):
            x = a[j, i] + b[j]
            y = min(max(-x, -most), most)
            t = y * num.log2_e + num.magic
            n = t - num.magic
            r = ((y - n * num.ln2_high) - n * num.ln2_low) * num.log2_e
            s = num.one / (num.one + power(num.F(t), num.F(r), num))
            a[j, i] = x * s
            slope[j, i] = s + (x * s - x * s * s)


def embedding(x, t, w, h):
    """Fill h (d + 2f, n) with x (n, d), sin(pi w t) and cos(pi w t)."""
    wide()
    (n, d), f, num = x.shape, len(w), DOUBLE
    h[:d] = x.T
    for k in range(f):
        for i in range(n):
            whole = w[k] * t[i] + num.magic  # its last bit: is it odd?
            c, s = turn(w[k] * t[i] - (whole - num.magic), num)
            side = view((view(whole, num.I) << 63) | view(num.one, num.I), num.F)
            h[d + k, i], h[d + f + k, i] = side * s, side * c


def layer(params, start, m, n):
    """Weights (m, n) and biases (n,) that begin at start, and where they end."""
    middle, end = start + m * n, start + (m + 1) * n
    return params[start:middle].reshape(m, n), params[middle:end], end


def rows(room, n, size):
    """Return the beginning of room as a matrix (n, size)."""
    return room[: n * size].reshape(n, size)


def forward(widths, params, bias, h, work):
    """Output of one shard; work[0, i] keeps layer i's, work[1, i] its slope.

    bias: of the first layer, in place of its own
    """
    end, last, size = 0, len(widths) - 2, h.shape[1]
    for i in range(last + 1):
        W, b, end = layer(params, end, widths[i], widths[i + 1])
        b = b if i else bias
        a = rows(work[0, i], len(b), size)
        np.dot(W.T, h, a)
        if i < last:
            silu(a, b, rows(work[1, i], len(b), size))
        else:
            a += b.reshape(-1, 1)
        h = a
    return h


def backward(widths, params, h0, da, work, grad):
    """Add the gradient of one shard, from da, its output's; uses up `forward`'s work."""
    wide()
    end, size = len(params), h0.shape[1]
    for i in range(len(widths) - 2, -1, -1):
        m, n = widths[i], widths[i + 1]
        end -= (m + 1) * n
        (W, _, _), (dW, db, _) = layer(params, end, m, n), layer(grad, end, m, n)
        h, turned = rows(work[0, i - 1], m, size) if i else h0, da.T.copy()
        dW += np.dot(h, turned)
        for row in turned:
            db += row
        if i:
            np.dot(W, da, h)  # h becomes dh
            h *= rows(work[1, i - 1], m, size)
            da = h


def network(x, net, k, out):
    """Fill out with the network's output at x (d, n) in row k of a chain.

    net: widths and parameters without an embedding, the first biases of each row, room
    """
    widths, params, biases, work = net
    for lo in range(0, x.shape[1], SHARD):
        at = slice(lo, lo + SHARD)
        y = forward(widths, params, biases[k], x[: widths[0], at].copy(), work)
        out[: len(y), at] = y


for function in (silu, embedding, layer, rows, forward, backward, network):
    register_jitable(**FUSED)(function)


@njit(**KEPT)
def predict(widths, params, x, t, w, y, work):
    """Write the network's output at (x, t) to y."""
    bias = layer(params, 0, widths[0], widths[1])[1]
    for lo in range(0, len(x), SHARD):
        at = slice(lo, min(lo + SHARD, len(x)))
        h = rows(work[1, -1], widths[0], at.stop - lo)
        embedding(x[at], t[at], w, h)
        y[at] = forward(widths, params, bias, h, work).T


@njit(parallel=True, **KEPT)
def loss_grad(widths, params, x, t, w, y, weight, work, grads):
    """Partial losses (lanes,) sum weight |net(x, t) - y|^2; gradients to grads.

    work (lanes, 2, layers, SHARD x width), whose last slope has room for the inputs;
    grads (lanes, size or more); lanes run in parallel
    """
    n, lanes, bias = len(x), len(work), layer(params, 0, widths[0], widths[1])[1]
    losses = np.empty(lanes, params.dtype)
    for k in prange(lanes):
        grads[k], losses[k], hi = 0, 0, n * (k + 1) // lanes
        for lo in range(n * k // lanes, hi, SHARD):
            at = slice(lo, min(lo + SHARD, hi))
            h = rows(work[k, 1, -1], widths[0], at.stop - lo)
            embedding(x[at], t[at], w, h)
            miss = forward(widths, params, bias, h, work[k])
            miss -= y[at].T
            pull = miss * weight[at]
            losses[k] += (pull * miss).sum()
            backward(widths, params, h, pull + pull, work[k], grads[k])
    return losses


@njit(parallel=True, **KEPT)
def adam(old, new, grads, c):
    """Sum the lanes' grads, and step by `train.adam_step`.

    old, new (4, size): params, ema, m, v; c: the nine numbers of this step
    """
    b1, d1, b2, d2, rate, unbias, eps, keep, take = c
    for part in prange(-(-old.shape[1] // CHUNK)):
        at = slice(part * CHUNK, min((part + 1) * CHUNK, old.shape[1]))
        g = grads[0, at]
        for lane in range(1, len(grads)):
            g += grads[lane, at]
        m, v = b1 * old[2, at] + d1 * g, b2 * old[3, at] + d2 * (g * g)
        p = old[0, at] - rate * m / (np.sqrt(unbias * v) + eps)
        new[0, at], new[1, at] = p, keep * old[1, at] + take * p
        new[2, at], new[3, at] = m, v
